"""Declared settings: a dataclass field says its choices, bounds and meaning; help and checks are made from that."""

import contextlib
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

from harness.common.registry import Registry
from harness.common.words import check_choice

Choices = Sequence[str] | Callable[[], Sequence[str]]


@dataclass(frozen=True)
class Range:
    """Where a random search may look for a value; `kind` is uniform, loguniform, integer or choice."""

    kind: str
    values: tuple[Any, ...]

    def __str__(self) -> str:
        return f"{self.kind}({', '.join(map(shown, self.values))})"


def uniform(low: float, high: float) -> Range:
    """Any number from low to high."""
    return Range("uniform", (low, high))


def loguniform(low: float, high: float) -> Range:
    """Any number from low to high, equally often in each decade."""
    return Range("loguniform", (low, high))


def integer(low: int, high: int) -> Range:
    """A whole number from low to high, both included."""
    return Range("integer", (low, high))


def choice(*values: Any) -> Range:
    """One of these values."""
    return Range("choice", values)


@dataclass(frozen=True)
class Declaration:
    """What a setting says of itself; see `setting`."""

    help: str
    choices: Choices = ()
    minimum: float | None = None
    above: float | None = None
    maximum: float | None = None
    zero: str = ""
    kind: str = "value"
    since: str = ""
    search: Range | None = None
    registry: Registry[Any] | None = None
    also: tuple[str, ...] = ()

    @property
    def allowed(self) -> tuple[str, ...]:
        """The words that are allowed; empty where any value is."""
        if self.registry is not None and not self.choices:
            return tuple(self.registry)
        return tuple(self.choices() if callable(self.choices) else self.choices)

    @property
    def text(self) -> str:
        """Its line of help: the meaning, then its choices, what 0 stands for, and its bounds."""
        more = []
        if self.allowed:
            more.append(" | ".join(filter(None, self.allowed)))
        if self.zero:
            more.append(f"0: {self.zero}")
        if self.above not in (None, 0):
            more.append(f"more than {self.above:g}")
        if self.minimum not in (None, 0, 1):
            more.append(f"at least {self.minimum:g}")
        if self.maximum is not None:
            more.append(f"at most {self.maximum:g}")
        return self.help + (f" ({'; '.join(more)})" if more else "")


def setting(
    default: Any,
    help: str,
    *,
    choices: Choices = (),
    minimum: float | None = None,
    above: float | None = None,
    maximum: float | None = None,
    zero: str = "",
    kind: str = "value",
    since: str = "",
    search: Range | None = None,
    registry: Registry[Any] | None = None,
    also: str = "",
) -> Any:
    """A dataclass field that declares a setting.

    Args:
        default: its value where nobody sets it; a list or dict is copied, a class is a group of settings of its own.
        help: its meaning in one line, without its choices and bounds, which are added from the declaration.
        choices: the words allowed, or a function that gives them.
        minimum, above, maximum: bounds of a number; without any of them it must be 0 or more.
        zero: what 0 stands for, where it is more than a number.
        kind: `value`; `any` (its reader checks it); `pixels`, a value of a benchmark that decides what is decoded and
            so the name of the frame cache; `file`, a file of a method, which is part of a run by its bytes, wherever it
            lies; or `path`, `machine`: it says how a run is carried out, so it is no part of a run's identity.
        since: the version that brought it, if runs existed before; at its default it is left out of a run's config, so
            that the ids of older runs stay valid.
        search: the range that a random search draws from.
        registry: the value names an entry of it; without `choices`, any. If a plug-in gave the entry, its file is a
            part of the run.
        also: words, apart by spaces, under which people look for it; they name it in the error for an unknown setting.
    """
    words = tuple(also.split())
    declared = Declaration(help, choices, minimum, above, maximum, zero, kind, since, search, registry, words)
    if isinstance(default, type):
        return field(default_factory=default, metadata={"declared": declared})
    if isinstance(default, list | dict):
        return field(default_factory=lambda: type(default)(default), metadata={"declared": declared})
    return field(default=default, metadata={"declared": declared})


def declared(entry: "Field[Any]") -> Declaration:
    """The declaration of a field; an empty one for a plain dataclass field."""
    found = entry.metadata.get("declared")
    return found if isinstance(found, Declaration) else Declaration("")


def default_of(entry: "Field[Any]") -> Any:
    """The value of a field that nobody set; None for a field without a default."""
    if entry.default is not MISSING:
        return entry.default
    return entry.default_factory() if entry.default_factory is not MISSING else None


def check(group: type, values: Mapping[str, Any], prefix: str = "") -> None:
    """Check the values of a settings dataclass against its declarations; `prefix` stands before names in errors.

    Raises:
        ValueError: a value is none of its choices, out of its bounds, or not finite.
    """
    for entry in fields(group):
        if entry.name not in values:
            continue
        name, value, says = prefix + entry.name, values[entry.name], declared(entry)
        if isinstance(entry.type, type) and is_dataclass(entry.type):
            check(entry.type, value, f"{name}.")
        elif value is None or isinstance(value, bool) or says.kind == "any":
            continue
        elif says.allowed:
            for each in value if isinstance(value, list) else [value]:
                check_choice(name, str(each), says.allowed)
        elif isinstance(value, int | float):
            check_number(name, value, says)


def check_number(name: str, value: float, says: Declaration) -> None:
    """ValueError if a number is not finite or out of the declared bounds."""
    if not math.isfinite(value):
        raise ValueError(f"{name}={value} is not a finite number")
    minimum = 0.0 if says.minimum is None and says.above is None else says.minimum
    if minimum is not None and value < minimum:
        least = "0 or more" if minimum == 0 else f"at least {minimum:g}"
        raise ValueError(f"{name}={value} is not allowed: it must be {least}")
    if says.above is not None and not value > says.above:
        raise ValueError(f"{name}={value} is not allowed: it must be more than {says.above:g}")
    if says.maximum is not None and value > says.maximum:
        raise ValueError(f"{name}={value} is not allowed: it must be at most {says.maximum:g}")


def typed(group: type, values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The values as their fields' types: a whole number for a decimal one becomes one, a path becomes absolute.

    Raises:
        ValueError: a value is of another type.
    """
    return {entry.name: _typed(entry, values[entry.name], prefix) for entry in fields(group)}


def _typed(entry: "Field[Any]", value: Any, prefix: str) -> Any:
    words: dict[Any, str] = {
        int: "a whole number",
        float: "a number",
        bool: "true or false",
        str: "a text",
        str | None: "a text",
    }
    if entry.type not in words or (value is None and entry.default is None):
        return value
    number = isinstance(value, int) and not isinstance(value, bool)
    if entry.type is int and number:
        return value
    if entry.type is float and (number or isinstance(value, float)):
        return float(value)
    if entry.type is bool and isinstance(value, bool):
        return value
    if entry.type in (str, str | None) and (number or isinstance(value, str)):  # 700 on a command line is a number
        is_path = declared(entry).kind == "path"  # made absolute, since a job on a cluster begins in another folder
        return os.path.abspath(os.path.expanduser(value)) if is_path else str(value)
    raise ValueError(f"{prefix}{entry.name} must be {words[entry.type]}, not {value!r}")


def text_settings(group: type, prefix: str = "") -> Iterator[str]:
    """The names of the settings of a group, and of the groups in it, whose values are texts or lists of them."""
    for entry in fields(group):
        if isinstance(entry.type, type) and is_dataclass(entry.type):
            yield from text_settings(entry.type, f"{prefix}{entry.name}.")
        elif entry.type in (str, str | None, list[str], list[str] | None):
            yield prefix + entry.name


def from_text(entry: "Field[Any]", text: str) -> Any:
    """What `name=text` gives a field: a number or a list where it takes one; else the text, which its check may refuse.

    It serves small commands; harness.run reads values in Hydra's grammar.
    """
    if entry.type is Any and text.startswith("["):
        return [from_text(entry, item.strip()) for item in text.strip("[]").split(",") if item.strip()]
    for kind in (int, float):
        if entry.type in (kind, float) or (entry.type is Any and kind is int):
            with contextlib.suppress(ValueError):
                return kind(text)
    return text


def recorded(group: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values that a run's config records: settings that came later are left out at their default."""
    return {entry.name: values[entry.name] for entry in fields(group)
            if not (declared(entry).since and values[entry.name] == default_of(entry))}  # fmt: skip


def entry_files(group: type, values: Mapping[str, Any]) -> list[Path]:
    """The plug-in files of the registered entries that the values of a group name."""
    named = [(declared(entry).registry, str(values.get(entry.name))) for entry in fields(group)]
    files = [registry.entries[name].file for registry, name in named if registry is not None and name in registry]
    return [file for file in files if file is not None]


def lines(group: type, prefix: str = "") -> Iterator[str]:
    """One line of help for each field of a settings dataclass that is not a group of its own."""
    for entry in fields(group):
        if not (isinstance(entry.type, type) and is_dataclass(entry.type)):
            yield line(prefix + entry.name, shown(default_of(entry)), declared(entry).text)


def search_lines(group: type, prefix: str = "") -> Iterator[str]:
    """One line for each field that declares where a random search may look for its value."""
    for entry in fields(group):
        if found := declared(entry).search:
            yield line(prefix + entry.name, "", str(found))


def line(name: str, default: str, help: str) -> str:
    """One line of a list of settings."""
    return f"  {name + (f'={default}' if default else ''):34} {help}"


def shown(value: Any) -> str:
    """A default as it would be typed."""
    if value is None:
        return "null"
    if isinstance(value, list | tuple):
        return "[" + ",".join(map(shown, value)) + "]"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.4g}" if isinstance(value, float) else str(value)
