"""The command line that all commands of this room share: out folders, then `name=value`."""

import os
from collections.abc import Callable, Mapping, Sequence

from harness.common import plugins
from harness.common.words import Option, check_choice, help_text, parse, run_command

SWEEP = Option("all", "only the runs of the newest sweep of this preset, or of the sweep with this id (all: every run)")
MIXED = Option(False, "pool runs of different sources, devices or precisions; captions say so", "flag")
PLUGINS = Option([], "files that register metrics, columns or plots", "list")


def carry_out(
    name: str, about: str, options: Mapping[str, Option], run: Callable[..., int], words: Sequence[str]
) -> int:
    """Carry out `python -m results.NAME words` with `run(outs, **values)`; returns the exit code."""

    every = {**options, "plugins": PLUGINS}
    os.environ["MPLBACKEND"] = "agg"  # a notebook's shell names a backend of its own, and none is needed here

    def go() -> int:
        outs, values, _ = parse(words, every)
        if not outs:
            raise ValueError("no out folder given, such as runs")
        plugins.load(values.pop("plugins"))
        return run(outs, **values)

    module = f"results.{name}"
    return run_command(module, lambda: help_text(module, about, "OUT [OUT ...]", every), go, words)


def checked_names(option: str, given: Sequence[str], known: Sequence[str]) -> list[str]:
    """The names themselves; ValueError with the nearest one for a name that is not known."""
    for name in given:
        check_choice(option, name, known)
    return list(given)
