"""The words of the commands of this room: a folder, and name=value settings."""

import difflib
import sys
from pathlib import Path
from typing import Any


def parse(command: str, usage: str, words: list[str], defaults: dict[str, Any]) -> tuple[Path, dict[str, Any]]:
    """The folder and the settings of a command line, by the types of the defaults; --help prints and ends.

    ValueError for an unknown setting, a value of the wrong kind, or a folder without runs.
    """
    if {"--help", "-h"} & set(words):
        print(usage)
        sys.exit(0)
    given, folders = dict(defaults), []
    for word in words:
        name, equals, value = word.partition("=")
        if not equals:
            folders.append(word)
        elif name not in defaults:
            near = difflib.get_close_matches(name, defaults, n=1)
            hint = f"; did you mean '{near[0]}'?" if near else ""
            raise ValueError(f"unknown setting '{name}'{hint} (known: {', '.join(defaults)})")
        else:
            given[name] = _value(name, value, defaults[name])
    if len(folders) != 1:
        raise ValueError(f"give one folder of runs, e.g. python -m {command} runs (not {' '.join(folders) or 'none'})")
    out = Path(folders[0]).expanduser().resolve()
    if not out.is_dir():
        raise ValueError(f"there is no folder {out}")
    return out, given


def _value(name: str, text: str, default: Any) -> Any:
    if not isinstance(default, bool):
        return text
    if text.lower() not in ("true", "false"):
        raise ValueError(f"{name}={text} is not allowed (allowed: true, false)")
    return text.lower() == "true"
