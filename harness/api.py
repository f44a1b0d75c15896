"""What a script or a notebook says, as the words of the command line; and the error for runs that are not done."""

import json
import numbers
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from results.load import Loaded
    from results.runs import LoadedRun


PLAIN = re.compile(r"[\w./:+*-]+")  # texts that Hydra's grammar takes without quotes


class NotDone(RuntimeError):
    """Some runs that were asked for are not done; `runs` holds all of them, the done ones with their records."""

    def __init__(self, runs: "Loaded", missing: Sequence["LoadedRun"]):
        first, self.runs = missing[0], runs
        why = f": {first.reason}" if first.reason else ""
        more = "; the others stand in this error's runs.absent" if len(missing) > 1 else ""
        super().__init__(
            f"{len(missing)} of {len(runs.runs)} runs are not done: {first.run_id} is {first.state}{why} "
            f"(see {first.folder / 'log.txt'}){more}"
        )


def words_of(*given: str | Mapping[str, Any]) -> list[str]:
    """The words of the command line that texts and settings stand for.

    Raises:
        ValueError: a value is nothing that a command line can say.
    """
    words: list[str] = []
    for each in given:
        if isinstance(each, Mapping):
            words += [f"{key}={value}" for key, value in _flat(each)]
        elif isinstance(each, str):
            words.append(each)
        else:
            raise ValueError(f"give words such as 'replicates=3' or a dict of settings, not {each!r}")
    return words


def _flat(settings: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, value in settings.items():
        key = f"{prefix}{name}"
        if isinstance(value, Mapping):
            yield from _flat(value, f"{key}.")
        else:
            yield key, value if isinstance(value, str) else _text(key, value)


def _text(key: str, value: Any) -> str:
    """A value in Hydra's syntax; texts in it are quoted where a sign in them would mean something else."""
    if isinstance(value, str | PurePath):
        text = str(value)
        return text if PLAIN.fullmatch(text) else "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, numbers.Real):
        return str(value)
    if isinstance(value, list | range):
        return f"[{','.join(_text(key, item) for item in value)}]"
    if isinstance(value, tuple) and value:
        return ",".join(_text(key, item) for item in value)
    if isinstance(value, type):
        raise ValueError(
            f"{key}: {value.__name__} is a class, and a run must be known by its file: put it into a file with "
            f"@register('name') and give its name and plugins=['that_file.py']"
        )
    kinds = "a text, a number, True, False, None, a path, a list of these, or a tuple to sweep over"
    raise ValueError(f"{key}={value!r} is not allowed: give {kinds}")
