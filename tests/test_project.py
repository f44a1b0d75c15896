"""The project's own rules: one direction of imports, pins that agree, files of a readable size."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("harness", "methods", "benchmarks", "slurm", "results")
MAY_IMPORT = {"harness": set(ROOMS), **{room: {room} for room in ROOMS[1:]}}
# Command modules of a room resolve the command line, which lives in harness.config.schema.
COMMANDS = {"results/tables.py", "results/plots.py", "results/report.py", "results/compare.py"}  # fmt: skip
FILES = [path for room in ROOMS for path in sorted((ROOT / room).rglob("*.py"))]


def imported(path: Path) -> set[str]:
    """Full names of the modules that a file imports anywhere."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
    return names


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_go_one_way(path):
    place = path.relative_to(ROOT)
    room = place.parts[0]
    for name in imported(path):
        other = name.partition(".")[0]
        if other not in ROOMS or other in MAY_IMPORT[room] or f"{name}.".startswith("harness.common."):
            continue
        allowed = {"harness.config.schema", "slurm.launcher"} if str(place) in COMMANDS else set()
        assert name in allowed, f"{place} imports {name}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_stay_readable(path):
    assert path.read_text().count("\n") <= 400
    assert path.name != "utils.py"


@pytest.mark.parametrize("room", ["results", "benchmarks", "slurm"])
def test_rooms_that_must_be_quick_import_no_torch(room):
    modules = [".".join(p.relative_to(ROOT).with_suffix("").parts) for p in (ROOT / room).glob("*.py")]
    modules = [name.removesuffix(".__init__") for name in modules if name != "benchmarks.avalanche"]
    code = f"import importlib, sys; [importlib.import_module(m) for m in {modules}]; print('torch' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert run.stdout.strip() == "False"


def test_only_the_adapters_import_avalanche():
    files = [*FILES, *(ROOT / "tests").glob("*.py")]
    found = {path.relative_to(ROOT).as_posix() for path in files
             if any(name.partition(".")[0] == "avalanche" for name in imported(path))}  # fmt: skip
    assert found == {"methods/avalanche.py", "tests/test_avalanche.py", "tests/test_metrics.py",
                     "benchmarks/avalanche.py"}  # fmt: skip


def test_pins_of_uv_and_pip_agree():
    uv = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["uv"]["constraint-dependencies"]
    pip = (ROOT / "constraints.txt").read_text().split()
    assert sorted(uv) == sorted(pip)
    assert all(line.count("==") == 1 and "//" not in line for line in pip)


def edges(path: Path) -> set[str]:
    """The project's files, as module names, that a file imports; imports for types alone do not count."""
    tree = ast.parse(path.read_text())
    for_types = [node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)]
    typing = {id(inner) for node in for_types for statement in node.body for inner in ast.walk(statement)}
    found: set[str] = set()
    for node in (node for node in ast.walk(tree) if id(node) not in typing):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {name if (name := f"{node.module}.{alias.name}") in MODULES else node.module
                      for alias in node.names}  # fmt: skip
    return found & MODULES.keys()


def module_of(path: Path) -> str:
    """The name under which a file is imported."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def circle(graph: dict[str, set[str]]) -> list[str]:
    """The names of a circle, the first one again at the end; empty where there is none."""
    done: set[str] = set()

    def walk(name: str, way: list[str]) -> list[str]:
        if name in way:
            return [*way[way.index(name) :], name]
        if name in done:
            return []
        found = next(filter(None, (walk(other, [*way, name]) for other in sorted(graph[name]))), [])
        done.add(name)
        return found

    return next(filter(None, (walk(name, []) for name in graph)), [])


MODULES = {module_of(path): path for path in FILES}
# The imports between folders that go against the usual direction, and why they are right.
BACKWARDS = {
    ("methods.shared", "methods"): "what methods share keeps the contract, which stands at the top of the room",
    ("methods.rules", "methods"): "a rule keeps the contract, too",
    ("methods.rules", "methods.shared"): "what a rule and a head have in common stands with what methods share",
    ("methods.heads", "methods"): "a head keeps the contract, too",
    ("methods.heads", "methods.shared"): "what a rule and a head have in common stands with what methods share",
    ("methods.networks", "methods.shared"): "networks read the declared settings of compressor and classifier",
    ("benchmarks.frames", "benchmarks"): "random numbers of a stream and of a cache come from one file",
    ("results.reference", "results"): "published numbers are laid out as a table of results is",
    ("harness.training", "harness.launching"): "the loop stops where signals.py says that it was asked to",
}
# What a folder of harness may import of the others; harness.common may be imported by all.
HARNESS = {
    "harness.common": set(),
    "harness.config": {"loggers"},
    "harness.storage": set(),
    "harness.loggers": {"storage"},
    "harness.training": {"config", "storage", "launching", "loggers"},
    "harness.launching": {"config", "storage", "training"},
    "harness.planning": {"config", "training"},
    "harness.benchmarking": {"config", "training", "planning"},
}


def test_no_circle_of_files():
    graph = {name: edges(path) - {name} for name, path in MODULES.items()}
    assert not circle(graph), "files import each other: " + " -> ".join(circle(graph))


def test_no_circle_of_folders():
    folder = {name: ".".join(path.relative_to(ROOT).parent.parts) for name, path in MODULES.items()}
    graph: dict[str, set[str]] = {name: set() for name in folder.values()}
    for name, path in MODULES.items():
        graph[folder[name]] |= {folder[other] for other in edges(path)} - {folder[name]}
    for one, other in BACKWARDS:
        assert other in graph[one], f"{one} imports {other} no more: take it out of BACKWARDS"
        graph[one].remove(other)
    assert not circle(graph), "folders import each other: " + " -> ".join(circle(graph))


@pytest.mark.parametrize("room", HARNESS)
def test_folders_of_harness_import_one_way(room):
    allowed = {room, "harness", "harness.common", *(f"harness.{name}" for name in HARNESS[room])}
    for path in sorted((ROOT / room.replace(".", "/")).glob("*.py")):
        for name in edges(path):
            if name.startswith("harness."):
                folder = ".".join(MODULES[name].relative_to(ROOT).parent.parts)
                assert folder in allowed, f"{path.relative_to(ROOT)} imports {name}"


@pytest.mark.parametrize("path", [path for path in FILES if path.name == "__init__.py"],
                         ids=lambda path: str(path.relative_to(ROOT)))  # fmt: skip
def test_every_folder_says_what_it_is(path):
    text = ast.get_docstring(ast.parse(path.read_text()))
    assert text, f"{path.relative_to(ROOT)} has no docstring"
    assert len(text.splitlines()) <= 15
