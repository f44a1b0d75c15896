"""The command line of the results room: out folders, then `key=value`, in the grammar of `harness.run`."""

import difflib
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Option:
    """One `key=value`; `kind` is one of text, list, flag, int, and `choices` the values allowed (empty: any)."""

    default: Any
    help: str
    kind: str = "text"
    choices: tuple[str, ...] = ()


SWEEP = Option("all", "only the runs of the newest sweep of this preset, or of the sweep with this id (all: every run)")


def nearest(given: str, allowed: Sequence[str]) -> str:
    """', did you mean x?' or nothing."""
    near = difflib.get_close_matches(given, allowed, 1)
    return f"; did you mean {near[0]}?" if near else ""


def parse(argv: Sequence[str], options: dict[str, Option]) -> tuple[list[str], dict[str, Any]]:
    """Out folders and the value of every option; raises ValueError that says what was given and what is allowed."""
    outs: list[str] = []
    values = {name: option.default for name, option in options.items()}
    for word in argv:
        key, equals, text = word.partition("=")
        if not equals and not word.startswith("-"):
            outs.append(word)
        elif key in ("out", "--out") and text:
            raise ValueError(f"'{word}': the folder is given by itself: {text}")
        elif key not in options or not equals:
            raise ValueError(f"unknown option {word!r}; options: {', '.join(options)}{nearest(key, list(options))}")
        else:
            values[key] = value_of(key, text, options[key])
    if not outs:
        raise ValueError("no out folder given, such as runs")
    return outs, values


def value_of(key: str, text: str, option: Option) -> Any:
    """The value that `key=text` stands for; raises ValueError with what is allowed."""
    text = text.strip()
    if option.kind == "list":
        items = [item.strip() for item in text.removeprefix("[").removesuffix("]").split(",") if item.strip()]
        for item in items:
            _check_choice(key, item, option)
        return items
    if option.kind == "flag":
        if text.lower() not in ("true", "false"):
            raise ValueError(f"{key}={text}: give true or false")
        return text.lower() == "true"
    if option.kind == "int":
        if not text.isdigit():
            raise ValueError(f"{key}={text}: give a whole number")
        return int(text)
    _check_choice(key, text, option)
    return text


def _check_choice(key: str, text: str, option: Option) -> None:
    if option.choices and text not in option.choices:
        raise ValueError(
            f"{key}={text}: give one of {', '.join(filter(None, option.choices))}{nearest(text, option.choices)}"
        )


def command(name: str, about: str, options: dict[str, Option], run: Callable[..., int]) -> int:
    """Run a command of this room: --help, one clear line and exit code 2 for bad input."""
    argv = sys.argv[1:]
    if any(word in ("--help", "-h") for word in argv):
        print(f"{about}\n\npython -m {name} OUT [OUT ...] [key=value ...]\n")
        for key, option in options.items():
            shown = ",".join(option.default) if isinstance(option.default, list | tuple) else option.default
            shown = {True: "true", False: "false", None: ""}.get(shown, shown)
            choices = (
                f" ({' | '.join(filter(None, option.choices))})" if option.choices and option.kind != "list" else ""
            )
            print(f"  {key}={shown}\n      {option.help}{choices}")
        return 0
    try:
        outs, values = parse(argv, options)
        return run(outs, **values)
    except BrokenPipeError:  # the reader, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, OSError) as error:
        print(f"{name.rpartition('.')[2]}: {error}", file=sys.stderr)
        return 2
