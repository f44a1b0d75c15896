"""`python -m harness.list KIND [NAME]`: what there is of a kind, and what can be set of one."""

import importlib
import signal
import sys
from dataclasses import asdict, is_dataclass
from typing import Any

from harness import check_packages
from harness.common import plugins
from harness.common.registry import Registry
from harness.common.settings import lines, search_lines
from harness.common.words import nearest, run_command

# The word for a kind -> its registry, or the folder of its YAML files. No torch is imported for a list.
KINDS = {
    "methods": "methods:METHODS",
    "benchmarks": "benchmarks:BENCHMARKS",
    "protocols": "benchmarks.protocols:PROTOCOLS",
    "profiles": "",
    "presets": "",
    "classifier_networks": "methods.networks:CLASSIFIERS",
    "compressor_networks": "methods.networks:COMPRESSORS",
    "metrics": "results:METRICS",
    "columns": "results:COLUMNS",
    "plots": "results:PLOTS",
}
HELP = f"""usage: python -m harness.list KIND [NAME]   (with entries of your own files: plugins=[mine.py])

KIND is one of {", ".join(KINDS)}."""


def main(words: list[str] | None = None) -> int:
    """Print what there is of a kind, or the details of one; returns the exit code."""
    words = sys.argv[1:] if words is None else words
    if not words:
        print(HELP)
        return 2
    return run_command("harness.list", HELP, lambda: carry_out(words), words)


def carry_out(words: list[str]) -> int:
    """Load the plug-ins, then show; ValueError says what is wrong with the words."""
    check_packages()
    kind, *names = [word for word in words if not word.startswith("plugins=")] or [""]
    if kind not in KINDS:
        raise ValueError(f"unknown kind '{kind}'{nearest(kind, KINDS)} (known: {', '.join(KINDS)})")
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
        raise ValueError(f"unknown {kind[:-1]} '{name}'{nearest(name, known)} (known: {', '.join(known)})")
    print(f"{name}: {known[name]}" if known[name] else name)
    for line in details(kind, name):
        print(line)


def registry_of(kind: str) -> Registry[Any]:
    """The registry that a kind's names are in."""
    module, _, name = KINDS[kind].partition(":")
    found: Registry[Any] = getattr(importlib.import_module(module), name)
    return found


def descriptions(kind: str) -> dict[str, str]:
    """Name -> one line."""
    if not KINDS[kind]:
        from harness.config import schema

        return schema.yaml_descriptions(kind[:-1])
    registry = registry_of(kind)
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
        ranges = [line for group in method.uses for line in search_lines(SHARED[group], f"{group}.")]
        ranges = [*search_lines(method.Settings, f"{name}."), *ranges]
        return [*own, *(["where a random search looks:", *ranges] if ranges else [])]
    if kind == "benchmarks":
        from benchmarks import SETTINGS

        return list(lines(SETTINGS[name], "benchmark."))
    if kind == "protocols":
        return [f"  {key:12} {value}" for key, value in asdict(registry_of(kind).get(name)).items()]
    if KINDS[kind]:
        says = vars(entry) if is_dataclass(entry := registry_of(kind).get(name)) else {}
        return [f"  {key:16} {value}" for key, value in says.items() if key in ("heading", "kind", "caveat") and value]
    from harness.config.schema import CONF

    text = (CONF / kind[:-1] / f"{name}.yaml").read_text(encoding="utf-8")
    return [f"  {line}" for line in text.splitlines() if not line.startswith("#")]


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `| head` ends it quietly
    sys.exit(main())
