"""One kind of list for everything that can be plugged in: methods, benchmarks, networks, launchers, metrics, plots.

A built-in entry is a line of text, `module:object`, which is imported when it is first used; so a list of names costs
nothing. A plug-in's entry is the object itself, registered by a decorator while its file is loaded.
"""

import fnmatch
import importlib
import inspect
import keyword
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from harness.common.words import nearest

T = TypeVar("T")
REGISTRIES: dict[str, "Registry[Any]"] = {}


@dataclass
class Entry(Generic[T]):
    """One name of a registry: where its object is (`module:object`, or the object), what it is, and its file."""

    name: str
    target: str | T
    summary: str
    file: Path | None  # of the user's plug-in; None for what is built in
    facts: dict[str, Any] = field(default_factory=dict)  # what is to be known of it without importing it
    line: int = 0  # of its file

    @property
    def builtin(self) -> bool:
        """Whether it belongs to the project; names of built-in entries cannot be taken."""
        return self.file is None

    @property
    def place(self) -> str:
        """Where the entry comes from, for error messages."""
        if self.file:
            return f"{self.file}, line {self.line}"
        return self.target if isinstance(self.target, str) else "the project"


class Registry(Generic[T]):
    """Names of one kind. `base` is the class (`module:object`) that each object must be or derive from."""

    def __init__(self, kind: str, base: str = "", hint: str = "", settable: bool = False):
        """`kind` is the word for one of them in messages; `hint` is added to the message for an unknown name.

        settable: settings are given as NAME.SETTING=VALUE, so a name is one word, or two with a colon between.
        """
        self.kind, self.base, self.hint, self.settable = kind, base, hint, settable
        self.entries: dict[str, Entry[T]] = {}
        REGISTRIES[kind] = self

    def add(self, name: str, target: str | T, summary: str = "", builtin: bool = False, **facts: Any) -> None:
        """Register an object, or `module:object` as text, under `name`; `facts` are known without importing it.

        builtin: it belongs to the project, even if its module is first imported while a plug-in is loaded.

        Raises:
            ValueError: the name is taken or is no name, or the object is not of the registry's base class; the line
                names both places.
        """
        if not isinstance(name, str) or not all(
            part.isascii() and part.isidentifier() for part in re.split("[:/]", name.replace("-", "_"))
        ):
            raise ValueError(
                f"{self.kind} {name!r}: a name is made of letters, digits, _ and -, and begins with a letter"
            )
        words = name.split(":")
        if self.settable and (len(words) > 2 or any(not w.isidentifier() or keyword.iskeyword(w) for w in words)):
            raise ValueError(
                f"{self.kind} {name!r}: settings are given as NAME.SETTING=VALUE, so a name is made of letters, digits "
                "and _, and is no word of Python's own; write e.g. my_method"
            )
        # A plug-in may be the first to import a module of the project, whose built-in list is made of texts.
        direct = _loading and sys._getframe(1).f_code.co_filename == str(_loading[-1])
        mine = _loading and not builtin and (direct or not isinstance(target, str))
        new = Entry(name, target, summary, _loading[-1] if mine else None, facts, _line(_loading[-1]) if mine else 0)
        old = self.entries.get(name)
        if old is not None:
            if old.builtin and new.builtin and old.target == new.target:
                return
            what = "is built in, and its name cannot be taken" if old.builtin else "is registered twice"
            raise ValueError(f"{self.kind} '{name}' {what}: by {old.place} and by {new.place}")
        if not isinstance(target, str):
            self._check(name, target)
        self.entries[name] = new

    def register(self, name: str, summary: str = "", **facts: Any) -> Callable[[T], T]:
        """Decorator that registers a class or a function under `name`; its docstring's first line is the summary."""

        def decorate(target: T) -> T:
            self.add(name, target, summary, **facts)
            return target

        return decorate

    def get(self, name: str) -> T:
        """The object called `name`, imported now if it was not before.

        Raises:
            ValueError: the name is unknown; the line gives the nearest name and all known ones.
        """
        if name not in self.entries:
            raise ValueError(self.unknown(name))
        entry = self.entries[name]
        if isinstance(entry.target, str):
            module, _, attribute = entry.target.partition(":")
            found: Any = getattr(importlib.import_module(module), attribute)
            self._check(name, found)
            entry.target = found
        return entry.target  # type: ignore[return-value]

    def unknown(self, name: object) -> str:
        """The error line for an unknown name."""
        return f"unknown {self.kind} '{name}'{self.nearest(name)}{self.hint} (known: {', '.join(self.entries)})"

    def nearest(self, name: object) -> str:
        """The hint for an unknown name: the entry that lists it among its facts as `also`, or that is spelt alike."""
        meant = [entry.name for entry in self.entries.values() if str(name).lower() in entry.facts.get("also", ())]
        return nearest(meant[0], meant) if meant else nearest(name, self.entries)

    def names(self) -> list[str]:
        """All names, in the order of their registration."""
        return list(self.entries)

    def items(self) -> list[tuple[str, T]]:
        """All names with their objects, imported now; in the order of their registration."""
        return [(name, self.get(name)) for name in self.entries]

    def match(self, pattern: str) -> list[str]:
        """The names that fit a pattern such as `cr*`.

        Raises:
            ValueError: no name fits.
        """
        found = fnmatch.filter(self.entries, pattern)
        if not found:
            raise ValueError(f"no {self.kind} fits '{pattern}'{self.nearest(pattern)} "
                             f"(known: {', '.join(self.entries)})")  # fmt: skip
        return found

    def summary(self, name: str) -> str:
        """One line that says what an entry is; loads the entry only if it was registered without a summary."""
        entry = self.entries[name]
        return entry.summary or (inspect.getdoc(self.get(name)) or "").partition("\n")[0]

    def __contains__(self, name: object) -> bool:
        return name in self.entries

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def _check(self, name: str, target: Any) -> None:
        if not self.base:
            return
        module, _, attribute = self.base.partition(":")
        base = getattr(importlib.import_module(module), attribute)
        if not (isinstance(target, base) or (isinstance(target, type) and issubclass(target, base))):
            raise ValueError(f"{self.kind} '{name}' is {target!r}, which is not a {self.base.replace(':', '.')}")


_loading: list[Path] = []


def _line(file: Path) -> int:
    """The line of a file that is being carried out just now; 0 where the file is not on its way."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_code.co_filename != str(file):
        frame = frame.f_back
    return frame.f_lineno if frame.f_code.co_filename == str(file) else 0


def drop(file: Path) -> None:
    """Take back everything that a plug-in's file registered."""
    for registry in REGISTRIES.values():
        registry.entries = {name: entry for name, entry in registry.entries.items() if entry.file != file}


@contextmanager
def plugin_of(file: Path) -> Iterator[dict[str, list[str]]]:
    """While this lasts, what is registered belongs to `file`; yields what it registered, by kind.

    What the same file registered before is dropped first, so an edited file replaces itself. If loading fails, what
    it registered is dropped and its old entries are back.
    """
    before = {kind: dict(registry.entries) for kind, registry in REGISTRIES.items()}
    drop(file)
    added: dict[str, list[str]] = {}
    _loading.append(file)
    try:
        yield added
    except BaseException:
        for kind, registry in REGISTRIES.items():
            registry.entries = before.get(kind, registry.entries)
        raise
    finally:
        _loading.pop()
    for kind, registry in REGISTRIES.items():
        names = [name for name, entry in registry.entries.items() if entry.file == file]
        added |= {kind: names} if names else {}
