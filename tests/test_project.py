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
