"""The grammar of the command line: `name=value` with Hydra's value syntax, commas for sweeps, lists from scalars."""

import itertools
import os
import re
from collections.abc import Container, Iterable
from dataclasses import dataclass, replace
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf.errors import OmegaConfBaseException

from harness.config import hints
from harness.config.run_config import EXECUTION
from harness.config.schema import LISTS

OPEN = ("slurm.extra", "slurm.per_method")  # take any name
ONE_VALUE = (*EXECUTION, "plan", "rerun", "plugins", "preset")


@dataclass(frozen=True)
class Argument:
    """One word of the command line; `values` are the alternatives of a sweep, in Hydra's syntax; `typed`: all of it."""

    key: str
    values: tuple[str, ...]
    typed: str = ""

    @property
    def head(self) -> str:
        return self.key.partition(".")[0]


def parse(words: Iterable[str]) -> list[Argument]:
    """The words of the command line; ValueError for one that is not `name=value`."""
    # Of a name given twice the last one holds, as in Hydra.
    return list({argument.key: argument for argument in map(_parse_word, words)}.values())


def combinations(arguments: list[Argument]) -> list[list[str]]:
    """The product of all sweeps: a list of Hydra overrides for each."""
    sides = [[f"{_added(argument.key)}={value}" for value in argument.values] for argument in arguments]
    return [list(chosen) for chosen in itertools.product(*sides)]


def as_words(arguments: list[Argument], texts: Container[str]) -> list[Argument]:
    """The arguments, with what looks like a number quoted where a text is expected: out=20241105_1530 is a word."""
    return [replace(each, values=_texts(each)) if each.typed and each.key in texts else each for each in arguments]


def _texts(argument: Argument) -> tuple[str, ...]:
    """The values as they were typed, numbers among them in quotes; unchanged where quotes or calls were typed."""
    typed = argument.typed
    if re.search(r"['\"(){}\\]", typed):
        return argument.values
    typed = re.sub(r"[^\[\],]+", lambda match: _text(match[0].strip()), typed)
    return _alternatives(argument.key, OverridesParser.create().parse_override(f"{argument.key}={typed}"))


def _text(word: str) -> str:
    value = OverridesParser.create().parse_override(f"x={word}").value() if word else None
    return f"'{word}'" if isinstance(value, bool | int | float) else word


def _added(key: str) -> str:
    """The key as Hydra wants it, which tells names that are there from names to add."""
    return f"++{key}" if any(key == name or key.startswith(f"{name}.") for name in OPEN) else key


def value_of(arguments: list[Argument], key: str) -> list[Any]:
    """The parsed alternatives of `key`; empty where it is not given."""
    parser = OverridesParser.create()
    return [parser.parse_override(f"{key}={value}").value() for a in arguments if a.key == key for value in a.values]


def _parse_word(word: str) -> Argument:
    key = word.partition("=")[0]
    if re.search(r"[\x00-\x08\x0a-\x1f\x7f]", word):
        raise ValueError(f"{word!r} holds a line break or another sign that cannot be shown; write it without")
    if word.startswith(("+", "~")):
        plain = word.lstrip("+~")
        raise ValueError(f"'{word}': settings are only set, not added or removed; write {plain} without {word[0]}")
    if word.startswith("-"):
        meant = hints.use(key.lstrip("-"))
        raise ValueError(f"unknown option '{word}'; settings are written name=value without dashes (see --help){meant}")
    if "=" not in word:
        raise ValueError(f"'{word}' is not of the form name=value, e.g. methods=[cram,er]")
    if key.partition(".")[0] == "hydra" or not re.fullmatch(r"[A-Za-z_][\w.]*", key):
        raise ValueError(f"unknown setting '{key}' (see --help)")
    if word.count("[") != word.count("]"):
        raise ValueError(f"cannot read '{word}': a bracket is missing, or the shell read it (quote: '{key}=[...]')")
    # Shells leave the ~ of name=~/folder alone, and Hydra's grammar has no such sign.
    home = os.path.expanduser("~")
    word = re.sub(r"(?<=[=,\[])~(?=[/,\]]|$)", lambda _: home, word)
    try:
        typed = word.partition("=")[2]
        return Argument(key, _alternatives(key, OverridesParser.create().parse_override(word)), typed)
    except (HydraException, OmegaConfBaseException) as error:
        raise ValueError(f"cannot read '{word}': {hints.first_line(error)} (put a value with odd signs in quotes: "
                         f"{key}=\"'...'\")") from error  # fmt: skip


def _alternatives(key: str, override: Override) -> tuple[str, ...]:
    if not override.is_sweep_override():
        text = override.get_value_element_as_str()
        scalar = override.value() is not None and not isinstance(override.value(), list)
        return (f"[{text}]" if key in LISTS and scalar and text else text,)
    if not override.is_discrete_sweep():
        raise ValueError(f"{key}: only lists of values can be swept, e.g. {key}=A,B")
    values = tuple(override.sweep_string_iterator())
    if key in (*LISTS, "replicates") and not any(value.startswith("[") for value in values):
        return (f"[{','.join(values)}]",)
    if key.partition(".")[0] in ONE_VALUE:
        raise ValueError(f"{key} takes one value for the whole command, not a sweep over {', '.join(values)}")
    return values
