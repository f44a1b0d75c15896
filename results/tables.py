"""Tables from records: `python -m results.tables OUT [layout=] [format=] [columns=] [methods=] [explain=]`."""

import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from harness.common.words import Option
from results.command import MIXED, SWEEP, carry_out
from results.registries import check_columns, column_names

LAYOUTS = ("metrics", "grid")
FORMATS = ("terminal", "markdown", "latex", "csv", "json")


def print_table(
    out: Path, run_ids: list[str] | None = None, layout: str = "metrics", columns: Sequence[str] = ()
) -> None:
    """Print the main table of an out folder (or of some of its runs) and where the records lie.

    Cells of mixed sources or devices are pooled, and the caption says so: a command must not end without a table. The
    caller says why a run is not done, because it knows where the log is.
    """
    from results.build import build
    from results.pooling import select
    from results.predictions import usable
    from results.read import read
    from results.render import to_terminal

    runs, pooled = select(usable(read(out, run_ids), columns), mixed=True)
    table = build(runs, pooled, layout, columns)
    table.notes = [f"not used: {problem}" for problem in runs.problems]
    to_terminal(table)
    print(f"records: {len(runs.done)} in {Path(out)}{'/' if runs.done else ''} (a folder a run, record.json)")


def run(
    outs: list[str],
    layout: str,
    format: str,
    columns: list[str],
    methods: list[str],
    sweep: str,
    explain: list[str],
    reference: bool,
    mixed: bool,
) -> int:
    """Print one table; returns the exit code."""
    # --help needs none of these, and they take longer to import than it to answer.
    from results import render
    from results.build import build
    from results.explain import explanation
    from results.pooling import select
    from results.predictions import usable
    from results.read import read
    from results.reference import add_published

    check_columns(columns)
    runs, pooled = select(usable(read(outs).of_sweep(sweep), columns), mixed, methods)
    table = explanation(runs, pooled, explain) if explain else build(runs, pooled, layout, columns)
    if reference:
        add_published(table, pooled)
    if format == "terminal":
        render.to_terminal(table)
        print(f"records: {len(runs.done)} in {', '.join(outs)}")
    else:
        sys.stdout.write(render.FORMATS[format](table))
    return 0


OPTIONS = {
    "layout": Option("metrics", "metrics: a column a quantity, a block a condition; grid: a column a condition",
                     choices=LAYOUTS),
    "format": Option("terminal", "how to print", choices=FORMATS),
    "columns": Option([], f"quantities to show: {', '.join(column_names())}", "list"),
    "methods": Option([], "methods or rows to show, such as cram,er (default: all)", "list"),
    "sweep": SWEEP,
    "explain": Option([], "rows and columns whose runs and values to list, such as cram,forgetting", "list"),
    "reference": Option(False, "published numbers on the same stream below the table", "flag"),
    "mixed": MIXED,
}  # fmt: skip


def main(words: Sequence[str]) -> int:
    """Carry out the command; returns the exit code."""
    return carry_out("tables", __doc__.splitlines()[0], OPTIONS, run, words)


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `| head` ends it quietly
    sys.exit(main(sys.argv[1:]))
