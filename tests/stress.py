"""The long counts: `python -m tests.stress kills=100 checkpoint=2`; a check's number alone decides how long it takes.

Checks are functions in modules tests/stress_*.py, listed in the module's CHECKS: name -> function(number). The first
line of a check's docstring says what it shows, its parameter's default is the number for `python -m tests.stress all`.
A check prints its figures in plain words and raises AssertionError where they fall short. Exit code: 0 if all hold.
"""

import difflib
import importlib
import inspect
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

Check = Callable[[float], None]


def checks() -> dict[str, Check]:
    """All checks by name, from the modules beside this one."""
    found: dict[str, Check] = {}
    for file in sorted(Path(__file__).parent.glob("stress_*.py")):
        for name, check in importlib.import_module(f"tests.{file.stem}").CHECKS.items():
            if name in found:
                raise ValueError(f"two checks are called '{name}'")
            found[name] = check
    return found


def default(check: Check) -> float:
    """The number that a check takes where none is given."""
    return next(iter(inspect.signature(check).parameters.values())).default


def listed(known: dict[str, Check]) -> str:
    """A line for each check: name, number, what it shows."""
    return "\n".join(f"  {name}={default(check):g}  {check.__doc__.splitlines()[0]}" for name, check in known.items())


def asked(words: list[str], known: dict[str, Check]) -> dict[str, float]:
    """Check -> number; ValueError for words that ask for none."""
    numbers: dict[str, float] = {}
    for word in words:
        name, _, number = word.partition("=")
        if name == "all":
            numbers |= {each: default(check) for each, check in known.items()}
            continue
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean '{near[0]}'?" if near else ""
            raise ValueError(f"unknown check '{name}'{hint} (known: {', '.join(known)})")
        try:
            numbers[name] = float(number) if number else default(known[name])
        except ValueError as error:
            raise ValueError(f"{word}: give a number, e.g. {name}={default(known[name]):g}") from error
    return numbers


def main(words: list[str]) -> int:
    """Run the checks asked for, one after the other; without words, list them."""
    known = checks()
    if not words or words[0] in ("--help", "-h"):
        print(f"{__doc__}\n{listed(known)}")
        return 0 if words else 2
    try:
        numbers = asked(words, known)
    except ValueError as error:
        print(f"tests.stress: {error}", file=sys.stderr)
        return 2
    failed = []
    for name, number in numbers.items():
        print(f"{name}={number:g}: {known[name].__doc__.splitlines()[0]}", flush=True)
        started = time.monotonic()
        try:
            known[name](int(number) if number == int(number) else number)
        except Exception:  # the next check is still wanted
            traceback.print_exc()
            failed.append(name)
        state = "FAILED" if name in failed else "ok"
        print(f"{state}: {name}={number:g}, {time.monotonic() - started:.0f} s", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
