"""Words of the command line: hints for misspelt names, `name=value` for the small commands, exit codes."""

import difflib
import math
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DONE, NOT_DONE, BAD_INPUT, INTERRUPTED = 0, 1, 2, 130


def nearest(given: object, known: Iterable[object], cutoff: float = 0.5) -> str:
    """The hint `; did you mean 'name'?` for a misspelt or shortened word, or an empty text.

    cutoff: how alike the two must be, from 0 to 1 (as difflib measures it).
    """
    names, word = [str(name) for name in known], str(given).lower()
    lower = {name.lower(): name for name in reversed(names)}  # a word in other letters is the nearest of all
    longer = [name for name in names if len(word) > 2 and name.lower().startswith(word)]
    near = difflib.get_close_matches(str(given), names, n=1, cutoff=cutoff)
    found = lower.get(word) or min(longer, key=len, default="") or (near[0] if near else "")
    return f"; did you mean '{found}'?" if found else ""


def unknown(what: str, given: object, known: Iterable[object], hint: str = "") -> str:
    """One line for an unknown name: what was given, the nearest name, an optional hint, and what is known."""
    names = [str(name) for name in known]
    return f"unknown {what} '{given}'{nearest(given, names)}{hint} (known: {', '.join(names)})"


def one_line(error: BaseException) -> str:
    """The message of an error in one line; the name of its class where it has no message."""
    return " ".join(str(error).split()) or type(error).__name__


@dataclass(frozen=True)
class Option:
    """One `name=value` of a small command.

    kind: text, list (texts), flag (true or false), int (from `least` on) or number (more than `least`). choices: the
    values that are allowed; empty allows any.
    """

    default: Any
    help: str
    kind: str = "text"
    choices: tuple[str, ...] = ()
    least: int = 0


def parse(
    words: Sequence[str], options: Mapping[str, Option], free: Sequence[str] = ()
) -> tuple[list[str], dict[str, Any], list[str]]:
    """Split words into positional ones, the value of every option, and the words that begin with one of `free`.

    Raises:
        ValueError: a name is unknown, or a value is not of its kind; the line says what is allowed.
    """
    positional: list[str] = []
    passed_on: list[str] = []
    values = {name: option.default for name, option in options.items()}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals and not word.startswith("-"):
            positional.append(word)
        elif equals and any(name == each or name.startswith(f"{each}.") for each in free):
            passed_on.append(word)
        elif name in options and equals:
            values[name] = value_of(name, text, options[name])
        else:
            raise ValueError(unknown("option", name, options))
    return positional, values, passed_on


def value_of(name: str, text: str, option: Option) -> Any:
    """The value that `name=text` stands for.

    Raises:
        ValueError: the text is not of the option's kind, or not one of its choices.
    """
    text = text.strip()
    if option.kind == "list":
        items = [item.strip() for item in text.removeprefix("[").removesuffix("]").split(",") if item.strip()]
        for item in items:
            check_choice(name, item, option.choices)
        return items
    if option.kind == "flag":
        check_choice(name, text.lower(), ("true", "false"))
        return text.lower() == "true"
    if option.kind == "int":
        if not text.isdecimal() or int(text) < option.least:
            raise ValueError(f"{name}={text} is not allowed: give a whole number from {option.least} on")
        return int(text)
    if option.kind == "number":
        try:
            number = float(text)
        except ValueError:
            number = math.nan
        if not option.least < number < math.inf:
            raise ValueError(f"{name}={text} is not allowed: give a number of more than {option.least}")
        return number
    check_choice(name, text, option.choices)
    return text


def one_folder(command: str, given: Sequence[str]) -> Path:
    """The folder of runs that a command was given.

    Raises:
        ValueError: not one folder was given, or it is not there.
    """
    if len(given) != 1:
        raise ValueError(f"give one folder of runs, e.g. python -m {command} runs (not {' '.join(given) or 'none'})")
    folder = Path(given[0]).expanduser().resolve()
    if not folder.is_dir():
        raise ValueError(f"there is no folder {folder}")
    return folder


def check_choice(name: str, given: object, choices: Sequence[str]) -> None:
    """ValueError with the nearest word if `given` is not among the choices; no choices allow any word."""
    if choices and given not in choices:
        allowed = ", ".join(filter(None, choices))
        raise ValueError(f"{name}={given} is not allowed{nearest(given, choices)} (allowed: {allowed})")


def help_text(name: str, about: str, positional: str, options: Mapping[str, Option]) -> str:
    """The text of --help of a small command, made from its options."""
    lines = [f"usage: python -m {name} {positional} [name=value ...]".replace("  ", " "), "", about, ""]
    for key, option in options.items():
        shown = option.default
        if isinstance(shown, list | tuple):
            shown = ",".join(map(str, shown))
        elif isinstance(shown, bool):
            shown = str(shown).lower()
        elif shown is None:
            shown = ""
        choices = f" ({' | '.join(filter(None, option.choices))})" if option.choices and option.kind != "list" else ""
        lines += [f"  {key}={shown}", f"      {option.help}{choices}"]
    return "\n".join(lines)


def run_command(name: str, help: str | Callable[[], str], run: Callable[[], int], words: Sequence[str]) -> int:
    """Carry out a command with the rules that all commands share; returns the exit code.

    --help prints the help. Bad input (ValueError, OSError) ends in one line and exit code 2. A reader that has seen
    enough, such as `head`, ends it quietly. `debug=true` among the words shows the whole traceback.
    """
    if {"--help", "-h"} & set(words):
        print(help if isinstance(help, str) else help())
        return DONE
    try:
        return run()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except KeyboardInterrupt:
        return INTERRUPTED
    except (ValueError, OSError) as error:
        if "debug=true" in words:
            raise
        print(f"{name}: {one_line(error)}", file=sys.stderr)
        return BAD_INPUT
