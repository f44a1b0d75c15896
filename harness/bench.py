"""Speed of this machine, measured side by side: `python -m harness.bench [only=step,refresh,...] [out=bench.json]`.

Each comparison interleaves its two sides in one run and reports medians and quartiles of processor milliseconds, so
that a noisy neighbour meets both alike.
"""

import json
import sys
from pathlib import Path
from typing import Any

from harness import check_packages

HELP = """usage: python -m harness.bench [only=NAME[,NAME...]] [out=FILE.json] [budget=2GB]

step      a training step of er in the harness against the same step in a bare PyTorch loop
refresh   cram's refresh phase against its decode and encode forward passes
loader    the cached loader against the bare decoder, clips a second
videos    long 1080p and short 340x256 videos, decoded once and read from the cache, against the bare decoder
waiting   share of a training step that is spent waiting for data
models    seconds a clip of each kind of step with settings of harness.run (profile=...); kept for plan=true's hours
paper     a step of cram and of er at the size of the paper against the bare step, and waits for the GPU (wants one)
storage   bytes of stored codes against their information
fill      a buffer of 8,232-byte clips filled, sampled and rewritten at `budget`
start     start-up of `python -m harness.run --help`"""


def main(words: list[str]) -> int:
    """Run the comparisons asked for, print a table, write the JSON."""
    if words and words[0] in ("--help", "-h"):
        print(HELP)
        return 0
    check_packages()
    from harness.benchmarking.paper_size import bench_paper
    from harness.benchmarking.steps import bench_loader, bench_models, bench_refresh, bench_step, bench_waiting
    from harness.benchmarking.storage import bench_fill, bench_start, bench_storage
    from harness.benchmarking.videos import bench_videos
    from harness.common.words import nearest

    given = dict(word.partition("=")[::2] for word in words)
    own = ("only", "out", "budget")
    every = {"step": bench_step, "refresh": bench_refresh, "loader": bench_loader, "videos": bench_videos,
             "waiting": bench_waiting, "storage": bench_storage, "start": bench_start,
             "fill": lambda: bench_fill(given.get("budget", "2GB"))}  # fmt: skip
    wanted = given.get("only", ",".join(every)).strip("[]").split(",")
    settings = [word for word in words if word.partition("=")[0] not in own]
    every |= {"models": lambda: bench_models(settings), "paper": lambda: bench_paper(settings)}
    alone = wanted in (["models"], ["paper"])
    wrong = [name for name in wanted if name not in every] + ([] if alone else settings)
    for name in wrong:
        print(f"harness.bench: unknown '{name}'{nearest(name.partition('=')[0], [*every, *own])}", file=sys.stderr)
        return 2
    try:
        rows = [line for name in wanted for line in every[name]()]
    except ValueError as error:
        print(f"harness.bench: {error}", file=sys.stderr)
        return 2
    _print(rows)
    if "out" in given:
        Path(given["out"]).write_text(json.dumps(rows, indent=1) + "\n")
    return 0


def _print(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console() if sys.stdout.isatty() else Console(width=110)
    table = Table("what", "unit", title="Speed of this machine (medians, interleaved)")
    for name in ("harness", "bare", "ratio"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("goal")
    for line in rows:
        numbers = (("harness", ",.2f"), ("bare", ",.2f"), ("ratio", ".3f"))
        shown = ("-" if line[key] is None else format(line[key], how) for key, how in numbers)
        table.add_row(line["name"], line["unit"], *shown, line["goal"])
    console.print(table)
    console.print("milliseconds of a round where no unit is named: median (lowest to highest)")
    for line in rows:
        if line["detail"]:
            console.print(f"{line['name']}: {_words(line['detail'])}", markup=False, highlight=False, soft_wrap=True)


def _words(detail: Any) -> str:
    """Measurements behind a row, in the order and units of their names; spread as lowest to highest."""
    if isinstance(detail, dict) and detail.keys() == {"median", "low", "high"}:
        return "{} ({} to {})".format(*map(_words, (detail["median"], detail["low"], detail["high"])))
    if isinstance(detail, dict):
        return "; ".join(f"{name} {_words(value)}" for name, value in detail.items())
    if isinstance(detail, list | tuple):
        return ", ".join(_words(value) for value in detail)
    return str(detail) if not isinstance(detail, float) else f"{detail:,.0f}" if detail >= 1000 else f"{detail:.3g}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
