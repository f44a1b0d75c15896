"""The text of `python -m harness.run --help`, made from the dataclasses of the settings; imports no torch, no Hydra."""

from collections.abc import Iterator
from dataclasses import MISSING, Field, fields, is_dataclass
from typing import Any

from harness.common.settings import help_of
from harness.config.schema import GROUPS, Command, shared_settings

HEAD = """usage: python -m harness.run methods=[cram,er,no_refresh] [name=value ...]

Runs methods on a stream of video clips and prints a table; each finished run leaves a record in its folder under out.
The same command again continues what is not finished. Values are written in Hydra's syntax: lists as [a,b], a single
value is taken for a list of one, commas sweep any setting (compressor.steps=50,100 doubles the runs), and of a name
given twice the last one holds.

  python -m harness.run methods=[cram,er] replicates=3 memory.budget=700kB out=runs
  python -m harness.run methods=[cram,er] plan=true
  python -m harness.run preset=smoke
  python -m harness.list methods          also: benchmarks, protocols, profiles, presets; each with [NAME]
"""
TAIL = """One method only: NAME.setting=value or method.NAME.setting=value (python -m harness.list methods NAME).
Exit code: 0 if every run asked for is done, 1 if some are not, 2 for a command that cannot be run, 130 if interrupted.
"""


def text() -> str:
    """The whole help."""
    parts = [HEAD, "Chosen by name (harness.list shows them)"]
    parts += [line(name, "", help) for name, help in GROUPS.items()]
    plain = [entry for entry in fields(Command) if not is_dataclass(entry.type)]
    parts += ["", "The command", *(field_line(entry) for entry in plain)]
    nested = {entry.name: entry.type for entry in fields(Command) if is_dataclass(entry.type)}
    for name, settings in {**nested, **shared_settings()}.items():
        parts += ["", f"{name}: {first_sentence(settings)}", *settings_lines(settings, f"{name}.")]
    return "\n".join([*parts, "", TAIL])


def settings_lines(settings: type, prefix: str = "") -> Iterator[str]:
    """A line for each field of a settings dataclass: name, default, meaning."""
    for entry in fields(settings):
        yield field_line(entry, prefix)


def field_line(entry: Field, prefix: str = "") -> str:
    """Name, default and meaning of one field."""
    default = entry.default if entry.default is not MISSING else entry.default_factory()
    return line(prefix + entry.name, shown(default), entry.metadata.get("help") or help_of(entry))


def line(name: str, default: str, help: str) -> str:
    """One line of a list of settings."""
    return f"  {name + (f'={default}' if default else ''):34} {help}"


def shown(value: Any) -> str:
    """A default as it would be typed."""
    if value is None:
        return "null"
    if isinstance(value, list):
        return "[" + ",".join(map(shown, value)) + "]"
    return str(value).lower() if isinstance(value, bool) else f"{value:.4g}" if isinstance(value, float) else str(value)


def first_sentence(thing: Any) -> str:
    """The first line of a docstring."""
    return (thing.__doc__ or "").strip().partition("\n")[0]
