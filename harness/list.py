"""`python -m harness.list methods|benchmarks|protocols|profiles|presets [NAME]`: what there is, and its settings."""

import signal
import sys
from dataclasses import asdict
from typing import Any

from harness import check_packages
from harness.common.registry import Registry
from harness.common.settings import lines
from harness.common.words import nearest

KINDS = ("methods", "benchmarks", "protocols", "profiles", "presets")
USAGE = f"usage: python -m harness.list {'|'.join(KINDS)} [NAME]   (methods of your own files: plugins=[my_method.py])"


def main(words: list[str] | None = None) -> int:
    """Print what there is of a kind, or the details of one; returns the exit code."""
    words = sys.argv[1:] if words is None else words
    if not words or {"--help", "-h"} & set(words):
        print(USAGE)
        return 0 if words else 2
    try:
        check_packages()
        plugins = [word.partition("=")[2].strip("[]") for word in words if word.startswith("plugins=")]
        kind, *names = [word for word in words if not word.startswith("plugins=")]
        if kind not in KINDS:
            raise ValueError(f"unknown kind '{kind}'{nearest(kind, KINDS)} (known: {', '.join(KINDS)})")
        if len(names) > 1:
            raise ValueError(f"one NAME at a time, not {', '.join(names)}")
        show(kind, names[0] if names else None, [path for given in plugins for path in given.split(",") if path])
    except (ValueError, OSError) as error:
        print(f"harness.list: {error}", file=sys.stderr)
        return 2
    return 0


def show(kind: str, name: str | None, plugins: list[str]) -> None:
    """All of a kind with a line each, or one with its settings; ValueError names the nearest where it is unknown."""
    if kind == "protocols" and name is not None:
        from benchmarks.protocols import find
        from harness.common import plugins as user_files

        user_files.load(plugins)
        name = str(find(name))
    known = descriptions(kind, plugins)
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


def descriptions(kind: str, files: list[str]) -> dict[str, str]:
    """Name -> one line."""
    if kind == "methods":
        from harness.common import plugins
        from methods import METHODS, native

        plugins.load(files)
        ours_first = [*native(), *(name for name in METHODS if name not in native())]
        return {name: described(METHODS, name) for name in ours_first}
    if kind == "benchmarks":
        from benchmarks import BENCHMARKS
        from harness.common import plugins

        plugins.load(files)
        return {name: described(BENCHMARKS, name) for name in BENCHMARKS}
    if kind == "protocols":
        from benchmarks.protocols import PROTOCOLS
        from harness.common import plugins

        plugins.load(files)
        return {name: f"benchmark={p.benchmark} label={p.label} tasks={p.tasks} budget={p.budget} "
                      f"setting=scratch{'|pretrained' if p.pretrains else ''}"
                for name, p in PROTOCOLS.items()}  # fmt: skip
    from harness.config import schema

    found = schema.yaml_descriptions(kind[:-1])
    return {name: text for name, text in found.items() if name != "none"}


def described(registry: Registry[Any], name: str) -> str:
    """What an entry is, and the file that registered it where that is a plug-in."""
    file = registry.entries[name].file
    return registry.summary(name) + (f" ({file})" if file else "")


def details(kind: str, name: str) -> list[str]:
    """Settings with defaults and meanings, or what a protocol, profile or preset fixes."""
    if kind == "methods":
        from methods import find

        own = list(lines(find(name).Settings, f"{name}."))
        return own or ["  no settings of its own; the shared ones are in python -m harness.run --help"]
    if kind == "benchmarks":
        from benchmarks import SETTINGS

        return list(lines(SETTINGS[name], "benchmark."))
    if kind == "protocols":
        from benchmarks.protocols import PROTOCOLS

        return [f"  {key:12} {value}" for key, value in asdict(PROTOCOLS.get(name)).items()]
    from harness.config.schema import CONF

    text = (CONF / kind[:-1] / f"{name}.yaml").read_text(encoding="utf-8")
    return [f"  {line}" for line in text.splitlines() if not line.startswith("#")]


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `| head` ends it quietly
    sys.exit(main())
