"""`python -m harness.list KIND [NAME]`: what there is of a kind, and what can be set of one."""

import importlib
import pkgutil
import signal
import sys
from dataclasses import asdict, is_dataclass
from functools import cache
from typing import Any

from harness import check_packages
from harness.common import plugins
from harness.common.registry import REGISTRIES, Registry
from harness.common.settings import lines, search_lines
from harness.common.words import run_command, unknown

WITH_REGISTRIES = ("benchmarks.protocols", "results", "methods", "harness")  # and the folders of the last two
IN_FILES = ("profiles", "presets")  # kept in YAML files instead of a registry


@cache
def kinds() -> dict[str, Registry[Any] | None]:
    """The word for each kind -> its registry; None for what is kept in files. It imports no torch."""
    for room in WITH_REGISTRIES:
        module = importlib.import_module(room)
        for folder in pkgutil.iter_modules(module.__path__, f"{room}.") if room in WITH_REGISTRIES[2:] else ():
            if folder.ispkg:
                importlib.import_module(folder.name)
    return {f"{kind.replace(' ', '_')}s": registry for kind, registry in REGISTRIES.items()} | dict.fromkeys(IN_FILES)


def help() -> str:
    """The text of --help."""
    return f"""usage: python -m harness.list KIND [NAME]   (with entries of your own files: plugins=[mine.py])

KIND is one of {", ".join(kinds())}."""


def main(words: list[str] | None = None) -> int:
    """Print what there is of a kind, or the details of one; returns the exit code."""
    words = sys.argv[1:] if words is None else words
    if not words:
        print(help())
        return 2
    return run_command("harness.list", help, lambda: carry_out(words), words)


def carry_out(words: list[str]) -> int:
    """Load the plug-ins, then show; ValueError says what is wrong with the words."""
    check_packages()
    kind, *names = [word for word in words if not word.startswith("plugins=")] or [""]
    if kind not in kinds():
        raise ValueError(unknown("kind", kind, kinds()))
    if len(names) > 1:
        raise ValueError(f"one NAME at a time, not {', '.join(names)}")
    plugins.load(plugins.named(words))
    show(kind, names[0] if names else None)
    return 0


def show(kind: str, name: str | None) -> None:
    """All of a kind with a line each, or one with its settings; ValueError names the nearest where it is unknown."""
    if kind == "protocols" and name is not None:
        from benchmarks.protocols import find

        name = str(find(name))
    known = descriptions(kind)
    if name is None:
        width = max(map(len, known)) + 1
        for each, text in known.items():
            print(f"{each:{width}} {text}")
        return
    if name not in known:
        raise ValueError(unknown(kind[:-1], name, known))
    print(f"{name}: {known[name]}" if known[name] else name)
    for line in details(kind, name):
        print(line)


def descriptions(kind: str) -> dict[str, str]:
    """Name -> one line."""
    registry = kinds()[kind]
    if registry is None:
        from harness.config import schema

        return schema.yaml_descriptions(kind[:-1])
    names = registry.names()
    if kind == "protocols":
        return {name: f"benchmark={p.benchmark} label={p.label} tasks={p.tasks} budget={p.budget} "
                      f"setting=scratch{'|pretrained' if p.pretrains else ''}"
                for name, p in registry.items()}  # fmt: skip
    if kind == "methods":
        from methods import native

        names = [*native(), *(name for name in names if name not in native())]
    return {name: described(registry, name) for name in names}


def described(registry: Registry[Any], name: str) -> str:
    """What an entry is, and the file that registered it where that is a plug-in."""
    file = registry.entries[name].file
    return registry.summary(name) + (f" ({file})" if file else "")


def details(kind: str, name: str) -> list[str]:
    """Settings with defaults, meanings and search ranges, or what a protocol, profile or preset fixes."""
    if kind == "methods":
        from methods import find
        from methods.shared.settings import SHARED

        method = find(name)
        own = list(lines(method.Settings, f"{name}."))
        own = own or ["  no settings of its own; the shared ones are in python -m harness.run --help"]
        shared = [line for group in method.uses if group in SHARED for line in search_lines(SHARED[group], f"{group}.")]
        ranges = [*search_lines(method.Settings, f"{name}."), *shared]
        return [*own, *(["where a random search looks:", *ranges] if ranges else [])]
    if kind == "benchmarks":
        from benchmarks import SETTINGS

        return list(lines(SETTINGS[name], "benchmark."))
    if kind == "protocols":
        from benchmarks.protocols import PROTOCOLS

        return [f"  {key:12} {value}" for key, value in asdict(PROTOCOLS.get(name)).items()]
    if registry := kinds()[kind]:
        says = vars(entry) if is_dataclass(entry := registry.get(name)) else {}
        return [f"  {key:16} {value}" for key, value in says.items() if key in ("heading", "kind", "caveat") and value]
    from harness.config.schema import CONF

    text = (CONF / kind[:-1] / f"{name}.yaml").read_text(encoding="utf-8")
    return [f"  {line}" for line in text.splitlines() if not line.startswith("#")]


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `| head` ends it quietly
    sys.exit(main())
