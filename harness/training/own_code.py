"""Whether the harness is still what was loaded: a plug-in can write on its modules, by mistake or not."""

import sys
from collections.abc import Iterator
from functools import cached_property
from types import FunctionType, ModuleType
from typing import Any

OWN = ("harness.training", "harness.storage", "methods.contract", "methods.shared", "benchmarks")
PLAIN = (int, float, str, bytes, tuple, frozenset, bool, type(None))


def changed() -> list[str]:
    """What is no longer what it was when the harness was loaded, or comes from another file, by full name."""
    now = dict(_code())
    other = [name for name, thing in now.items() if name in _loaded and _loaded[name] is not thing]
    foreign = [name for name, thing in now.items() if name not in _loaded and _is_foreign(name, thing)]
    return sorted(dict.fromkeys(other + foreign))


def _code() -> Iterator[tuple[str, Any]]:
    """Code of functions and methods, and plain constants, of all modules of the harness that are loaded."""
    for name, module in list(sys.modules.items()):
        if name.startswith(OWN) and isinstance(module, ModuleType):
            for key, value in list(vars(module).items()):
                if isinstance(value, type) and value.__module__ == name:
                    for inner, held in list(vars(value).items()):
                        yield from _of(f"{name}.{key}.{inner}", held)
                elif key.isupper() or isinstance(value, FunctionType):
                    yield from _of(f"{name}.{key}", value)


def _of(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, staticmethod | classmethod):
        value = value.__func__
    if isinstance(value, property):
        value = value.fget
    if isinstance(value, cached_property):
        value = value.func
    if isinstance(value, FunctionType):
        yield name, value.__code__
    elif isinstance(value, PLAIN) and name.rpartition(".")[2].isupper():
        yield name, value


def _is_foreign(name: str, thing: Any) -> bool:
    """Whether code of a module that was loaded later was not written in this project."""
    return hasattr(thing, "co_filename") and thing.co_filename.startswith("/") and not _is_known(thing.co_filename)


def _is_known(file: str) -> bool:
    return file.startswith((sys.prefix, sys.base_prefix, _ROOT))


_ROOT = __file__.removesuffix("harness/training/own_code.py")
_loaded = dict(_code())
