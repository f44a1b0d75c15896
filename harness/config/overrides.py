"""The grammar of the command line: `name=value` with Hydra's value syntax, commas for sweeps, lists from scalars."""

import itertools
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import ConfigCompositionException, HydraException, MissingConfigException
from omegaconf.errors import OmegaConfBaseException

from harness.common.words import nearest
from harness.config.schema import EXECUTION

LISTS = ("methods", "seeds", "order_seeds", "plugins", "slurm.setup", "benchmark.classes", "log.to")
OPEN = ("slurm.extra", "slurm.per_method")  # take any name
ONE_VALUE = (*EXECUTION, "plan", "rerun", "plugins", "preset")


@dataclass(frozen=True)
class Argument:
    """One word of the command line; `values` are the alternatives of a sweep, in Hydra's syntax."""

    key: str
    values: tuple[str, ...]

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


def _added(key: str) -> str:
    """The key as Hydra wants it, which tells names that are there from names to add."""
    return f"++{key}" if any(key == name or key.startswith(f"{name}.") for name in OPEN) else key


def value_of(arguments: list[Argument], key: str) -> list:
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
        raise ValueError(f"unknown option '{word}'; settings are written name=value without dashes (see --help)")
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
        return Argument(key, _alternatives(key, OverridesParser.create().parse_override(word)))
    except (HydraException, OmegaConfBaseException) as error:
        raise ValueError(f"cannot read '{word}': {first_line(error)} (put a value with odd signs in quotes: "
                         f"{key}=\"'...'\")") from error  # fmt: skip


def _alternatives(key: str, override) -> tuple[str, ...]:
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


def explain(error: Exception, known: list[str], overrides: list[str]) -> ValueError:
    """One clear line for an error that Hydra raised while it composed `overrides`; `known` are all settings."""
    if isinstance(error, MissingConfigException):
        group, _, given = str(error.missing_cfg_file).partition("/")
        options = [name for name in error.options or [] if name != "none"]
        return ValueError(f"unknown {group} '{given}'{nearest(given, options)} (known: {', '.join(options)})")
    cause = error.__cause__ if isinstance(error, ConfigCompositionException) and error.__cause__ else error
    key = re.sub(r"\[\d+\]", "", str(getattr(cause, "full_key", None) or ""))
    given = next((o.partition("=")[2] for o in overrides if o.partition("=")[0] == key), None)
    if "Could not override" in str(error) or (given is None and "not in" in str(cause)):
        whole = [name for name in (o.partition("=")[0] for o in overrides) if name.startswith(f"{key}.")]
        return _unknown(whole[0] if whole else key, known)
    if "Invalid type assigned" in str(cause):
        return ValueError(f"{key}={given}: {key} is a group of settings; set one of them, {key}.NAME=VALUE")
    if "is not a ListConfig" in str(cause):
        return ValueError(f"{key}={given} is not a list; write e.g. {key}=[{given}]")
    return ValueError(f"{key}={given}: {first_line(cause)}" if given is not None else first_line(cause))


def _unknown(key: str, known: list[str]) -> ValueError:
    part, _, rest = key.partition(".")
    if part != "method" or "." not in rest:
        return ValueError(f"unknown setting '{key}'{nearest(key, known)} (see --help)")
    method, _, name = rest.partition(".")
    own = [each.removeprefix(f"method.{method}.") for each in known if each.startswith(f"method.{method}.")]
    listed = (
        f"its own: {', '.join(own)}" if own else "it has none of its own; those of --help are shared by all methods"
    )
    return ValueError(f"method {method} has no setting '{name}'{nearest(name, own)} ({listed})")


def first_line(error: Exception) -> str:
    """The first line of an error's message, or the name of its class."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
