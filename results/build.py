"""From cells to a table. Each condition is a block and each quantity a column, or each condition is a column."""

import math
from collections.abc import Sequence

from harness.common.units import bytes_text
from results.captions import caption, heading, notes, unequal_replicates
from results.pooling import Cell, Condition, Pooled
from results.registries import Column, column
from results.render import Table
from results.runs import Runs
from results.table import Entry, Heading, Row, Section, cell_summary, number, title_of

DEFAULT = (
    "final_accuracy", "average_incremental_accuracy", "forgetting",
    "bytes_carried", "bytes_live", "bytes_total", "steps_compressor", "steps_classifier", "seconds",
)  # fmt: skip


def build(runs: Runs, pooled: Pooled, layout: str = "metrics", columns: Sequence[str] = ()) -> Table:
    """Lay out what `pooling.select` gave.

    Args:
        layout: `metrics`: one block per condition, one column per quantity. `grid`: one column per condition and
            quantity.
        columns: names of metrics or columns; empty: the main ones.

    Raises:
        ValueError: a column is unknown.
    """
    names = list(columns) or (list(DEFAULT) if layout == "metrics" else ["final_accuracy", "forgetting"])
    shown = [column(name, runs.done) for name in names]
    conditions = pooled.conditions or ((),)
    if layout == "metrics":
        blocks = [(title_of(condition), [(condition, "", each) for each in shown]) for condition in conditions]
    else:
        blocks = [("", [(condition, title_of(condition), each) for condition in conditions for each in shown])]
    sections = [_section(pooled, title, places) for title, places in blocks]
    return Table(sections, caption(runs, pooled, shown), notes(runs, pooled), heading(runs, pooled))


def _section(pooled: Pooled, title: str, places: Sequence[tuple[Condition, str, Column]]) -> Section:
    rows, not_run = [], []
    for name in pooled.rows:
        cells = [pooled.cells.get((name, condition)) or pooled.cells.get((name, None)) for condition, _, _ in places]
        if not any(cells):
            not_run.append(" ".join(name))
            continue
        entries = [_entry(cell, each) for cell, (_, _, each) in zip(cells, places, strict=True)]
        rows.append(Row(" ".join(name), pooled.is_bound(name), _n_text([c for c in cells if c]), entries))
    alike = [not unequal_replicates(pooled, condition) for condition, _, _ in places]
    _mark_best(rows, [each for _, _, each in places], alike)
    headings = [Heading(group, each.heading, each.kind) for _, group, each in places]
    return Section(title, headings, rows, not_run)


def _n_text(cells: Sequence[Cell]) -> str:
    """n, or done/asked if runs are missing; several texts if the columns differ."""
    texts = dict.fromkeys(f"{len(c.done)}" if not c.absent else f"{len(c.done)}/{c.asked}" for c in cells)
    return " ".join(texts) or "0"


def _entry(cell: Cell | None, shown: Column) -> Entry:
    if cell is None:
        return Entry("not run")
    if not cell.done:
        return Entry("missing")
    summary = cell_summary(cell, shown)
    if shown.kind == "bytes":  # a maximum, as in the record: every run keeps to its budget, or none does
        sizes = [shown.of(run) for run in cell.done]
        return Entry(bytes_text(max(sizes)) if not any(map(math.isnan, sizes)) else "–", summary)
    return Entry(number(summary.mean, summary.half_width, shown.kind), summary)


def _mark_best(rows: Sequence[Row], columns: Sequence[Column], alike: Sequence[bool]) -> None:
    """Mark the best mean of each column whose rows have the same replicates. Bounds do not compete."""
    for position, shown in enumerate(columns):
        if not alike[position]:
            continue
        values: dict[int, float] = {}
        for index, row in enumerate(rows):
            summary = row.entries[position].summary
            if not row.bound and summary is not None and not math.isnan(summary.mean):
                values[index] = shown.better * summary.mean
        if shown.better and len(values) > 1:
            top = max(values.values())
            for index in (index for index, value in values.items() if value == top):
                old = rows[index].entries[position]
                rows[index].entries[position] = Entry(old.text, old.summary, best=True)
