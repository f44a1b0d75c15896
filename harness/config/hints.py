"""One clear line for a word of the command line that cannot be read: what was given, and what is meant here.

Settings declare the words under which people of other frameworks look for them (`also=` of `setting`).
"""

import re
from collections.abc import Iterator
from dataclasses import fields

from hydra.errors import ConfigCompositionException, MissingConfigException

from benchmarks import SETTINGS, protocols
from harness.common.settings import Declaration, declared
from harness.common.words import nearest, unknown
from harness.config.schema import GROUPS, LISTS, all_settings

COUNTS = re.compile(r"^(num|n|nb|number_of|max|use)_")  # n_tasks is tasks, use_wandb is wandb


def meant_by(key: str) -> dict[str, Declaration]:
    """The settings that a word of another framework stands for, by name; empty for a word that nobody declares.

    A word after a group of ours, as in classifier.lr, is looked for in that group first.
    """
    head, _, last = key.lower().replace("-", "_").rpartition(".")
    known = dict(declarations())
    for word in dict.fromkeys((last, COUNTS.sub("", last))):
        of_word = {name for name, says in known.items() if word in says.also}
        of_word = of_word or {name for name in known if name.rpartition(".")[2] == word}
        found = {name for name in of_word if head and name.startswith(f"{head}.")} or of_word
        if found:
            return {name: known[name] for name in sorted(found)}
    return {}


def declarations() -> Iterator[tuple[str, Declaration]]:
    """All settings by name, but for those of single methods."""
    yield from GROUPS.items()
    for settings in SETTINGS.values():
        yield from ((f"benchmark.{entry.name}", declared(entry)) for entry in fields(settings))
    for prefix, group in all_settings().items():
        yield from ((prefix + entry.name, declared(entry)) for entry in fields(group) if declared(entry).help)


def use(key: str, value: str = "") -> str:
    """The hint `; use NAME or NAME: their meaning` for a word of another framework; empty where none is known."""
    found = meant_by(key)
    if not found:
        return ""
    first, *others = found
    says = found[first]
    if first in LISTS and value:
        items = key if key in says.allowed else value.strip("[]")  # wandb=true is log.to=[wandb]
        first = f"{first}=[{items}]"
    return f"; use {' or '.join([first, *others])}: {says.help}"


def explain(error: Exception, known: list[str], overrides: list[str]) -> ValueError:
    """One clear line for an error that Hydra raised while it composed `overrides`; `known` are all settings."""
    if isinstance(error, MissingConfigException):
        group, _, name = str(error.missing_cfg_file).partition("/")
        hint = _protocols_on(name) if group == "benchmark" else ""
        return ValueError(unknown(group, name, [each for each in error.options or [] if each != "none"], hint))
    cause = error.__cause__ if isinstance(error, ConfigCompositionException) and error.__cause__ else error
    key = re.sub(r"\[\d+\]", "", str(getattr(cause, "full_key", None) or ""))
    given = dict(o.split("=", 1) for o in overrides).get(key)
    deeper = [o.partition("=")[0] for o in overrides if o.startswith(f"{key}.")]
    if given is None and deeper:
        return _unknown(deeper[0], known, "")
    if "Could not override" in str(error) or (given is None and "not in" in str(cause)):
        return _unknown(key, known, given or "")
    if "Invalid type assigned" in str(cause) or "Cannot merge DictConfig" in str(cause):
        hint = use(key, given or "") or f"; set one of them, {key}.NAME=VALUE"
        return ValueError(f"{key}={given}: {key} is a group of settings{hint}")
    if "is not a ListConfig" in str(cause):
        return ValueError(f"{key}={given} is not a list; write e.g. {key}=[{given}]")
    return ValueError(f"{key}={given}: {first_line(cause)}" if given is not None else first_line(cause))


def _protocols_on(given: str) -> str:
    """The protocols with this word in their name: a data set is often an option of a benchmark."""
    plain = re.sub("[^a-z0-9]", "", given.lower())
    found = [name for name in protocols.PROTOCOLS if plain and plain in re.sub("[^a-z0-9]", "", name)]
    return f"; protocol={' or protocol='.join(found)} is on it" if found else ""


def _unknown(key: str, known: list[str], value: str) -> ValueError:
    part, _, rest = key.partition(".")
    if part != "method" or "." not in rest:
        hint = nearest(key, known, 0.85) or use(key, value) or nearest(key, known)
        return ValueError(f"unknown setting '{key}'{hint} (see --help)")
    method, _, name = rest.partition(".")
    own = [each.removeprefix(f"method.{method}.") for each in known if each.startswith(f"method.{method}.")]
    listed = (
        f"its own: {', '.join(own)}" if own else "it has none of its own; those of --help are shared by all methods"
    )
    return ValueError(f"method {method} has no setting '{name}'{nearest(name, own) or use(name, value)} ({listed})")


def first_line(error: BaseException) -> str:
    """The first line of an error's message, or the name of its class."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
