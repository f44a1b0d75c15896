"""Paired comparison with a reference method: `python -m results.compare OUT reference=cram [metric=] [methods=]`."""

import json
import math
import signal
import sys
from collections.abc import Sequence

from harness.common.words import Option
from results import statistics
from results.captions import definitions, notes
from results.command import MIXED, SWEEP, carry_out, checked_names
from results.pooling import Condition, Pooled, pool, select
from results.read import read
from results.registries import Column, column, column_names
from results.render import FORMATS, Table, to_terminal
from results.runs import Runs
from results.statistics import Comparison
from results.table import Entry, Heading, Row, Section, title_of


def comparable_columns() -> list[str]:
    """Names of the columns that can be compared: shares, whose differences are points."""
    return [name for name in column_names() if column(name).kind == "share"]


def primary_metric(runs: Runs) -> str:
    """The one metric by which the records' protocols are judged; final accuracy where they differ in it."""
    primaries = {run.record.protocol.primary for run in runs.done}
    return primaries.pop() if len(primaries) == 1 and primaries <= set(comparable_columns()) else "final_accuracy"


def paired(
    runs: Runs, reference: str, column: Column, methods: Sequence[str] = (), mixed: bool = False
) -> tuple[Runs, Pooled, list[Comparison]]:
    """The runs of `methods` (default: all) and of the reference, their cells, and the comparisons.

    Bounds are compared only where they are named.

    Raises:
        ValueError: no row has the name of the reference or of a method.
    """
    row = statistics.resolve_row(reference, pool(runs).rows)
    runs, pooled = select(runs, mixed, [*methods, row] if methods else [])
    return runs, pooled, statistics.compare(pooled, row, column, bounds=bool(methods))


def compare_table(
    comparisons: Sequence[Comparison], pooled: Pooled, column: Column, note_lines: Sequence[str] = ()
) -> Table:
    """A block a condition, a row a comparison; the caption says what the columns mean, the notes what follows."""
    sections, words = [], []
    reference = comparisons[0].reference
    headings = [
        Heading("", text, "share") for text in ("difference", "p sign-flip", "smallest p possible", "p Holm", "")
    ]
    wanted = dict.fromkeys(c.row for c in comparisons)
    for condition in pooled.conditions or ((),):
        here = [c for c in comparisons if c.condition == condition]
        words += [f"{_prefix(condition)}{sentence}" for sentence in statistics.all_in_words(here, column)]
        if here:
            rows = [_row(c) for c in here]
            missing = [name for name in wanted if name not in {row.name for row in rows}]
            sections.append(Section(title_of(condition), headings, rows, missing, ("method", "pairs")))
        elif not any(" ".join(row) == reference and place == condition for row, place in pooled.cells):
            words.append(f"{_prefix(condition)}{reference} was not run here, so nothing is compared.")
    higher = "higher is better" if column.better > 0 else "lower is better"
    name = f"{column.heading[0].upper()}{column.heading[1:]}"
    caption = [
        f"{name} minus that of {reference}, in points ({higher}), paired by replicate (equal class order and seed): "
        "mean ± half width of the 95 % t-interval, which is not corrected for the number of comparisons.",
        *(definitions([column]) if column.always_defined else []),
        "p: exact two-sided sign-flip test; smallest p possible: all pairs of one sign at this n; "
        "p Holm: corrected for the comparisons of this block.",
        "* marks p Holm < 0.05, only where k comparisons of n pairs could reach it (k * 2 / 2^n < 0.05).",
    ]
    return Table(sections, caption, [*words, *note_lines], f"{name} against {reference}, paired by replicate")


def _prefix(condition: Condition) -> str:
    return f"[{title_of(condition)}] " if condition else ""


def _row(c: Comparison) -> Row:
    difference = "–" if not c.n else f"{100 * c.mean:+.1f}"
    if c.n > 1:
        difference += f" ± {100 * c.half_width:.1f}"
    n = f"{c.n}" + (f" ({c.unpaired} unpaired)" if c.unpaired else "")
    texts = [difference, _p(c.p), _p(c.smallest_p), _p(c.adjusted), "*" if c.marked else ""]
    return Row(c.row, False, n, [Entry(text) for text in texts])


def _p(value: float) -> str:
    return "–" if math.isnan(value) else f"{value:.3f}" if value >= 0.001 else f"{value:.1e}"


def to_json(comparisons: Sequence[Comparison], column: Column) -> str:
    """Every comparison with full numbers and the sentence that follows from them."""

    def finite(value: float) -> float | None:
        return None if math.isnan(value) else value

    rows = [
        {
            "condition": dict(c.condition), "method": c.row, "reference": c.reference, "metric": column.name, "n": c.n,
            "unpaired": c.unpaired, "mean": finite(c.mean), "half_width": finite(c.half_width), "p": finite(c.p),
            "smallest_p": finite(c.smallest_p), "p_holm": finite(c.adjusted), "k": c.k, "marked": c.marked,
            "differences": list(c.differences), "words": statistics.in_words(c, column),
        }
        for c in comparisons
    ]  # fmt: skip
    return json.dumps(rows, indent=1) + "\n"


def run(outs: list[str], reference: str, metric: str, methods: list[str], sweep: str, format: str, mixed: bool) -> int:
    """Print one comparison; returns the exit code."""
    runs = read(outs).of_sweep(sweep)
    checked_names("metric", [metric] if metric else [], comparable_columns())
    shown = column(metric or primary_metric(runs))
    runs, pooled, comparisons = paired(runs, reference, shown, methods, mixed)
    if not comparisons:
        raise ValueError(f"nothing to compare with {reference}: no other row without a bound shares a block with it")
    if format == "json":
        sys.stdout.write(to_json(comparisons, shown))
        return 0
    table = compare_table(comparisons, pooled, shown, notes(runs, pooled))
    if format == "terminal":
        to_terminal(table)
    else:
        sys.stdout.write(FORMATS[format](table))
    return 0


OPTIONS = {
    "reference": Option("cram", "the row that the others are compared with"),
    "metric": Option("", "what is compared (default: the protocol's primary metric): "
                         f"{', '.join(comparable_columns())}"),
    "methods": Option([], "methods or rows to compare; the fewer were declared before, the more can be shown", "list"),
    "sweep": SWEEP,
    "format": Option("terminal", "how to print", choices=("terminal", "markdown", "latex", "json")),
    "mixed": MIXED,
}  # fmt: skip


def main(words: Sequence[str]) -> int:
    """Carry out the command; returns the exit code."""
    return carry_out("compare", __doc__.splitlines()[0], OPTIONS, run, words)


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `| head` ends it quietly
    sys.exit(main(sys.argv[1:]))
