"""Comparisons of methods with a reference method: the pairs of runs, the table, and the conclusions in words."""

import json
import math
from collections.abc import Sequence

from results import statistics
from results.captions import definitions
from results.pooling import Condition, Pooled, pool, select
from results.registries import Column, comparable_columns
from results.render import Table
from results.runs import Runs
from results.statistics import Comparison
from results.table import Entry, Heading, Row, Section, title_of


def primary_metric(runs: Runs) -> str:
    """The primary metric of the records' protocols; final accuracy if the protocols have several."""
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
    """One block per condition, one row per comparison. The caption explains the columns, the notes conclude."""
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
    """Every comparison with full numbers and its conclusion in words."""

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
