"""The runs and values behind the cells of a table: `python -m results.tables OUT explain=cram,forgetting`."""

import math
from collections.abc import Sequence

from harness.common.words import nearest
from results.captions import definitions
from results.pooling import Cell, Pooled, Summary
from results.registries import Column, column, column_names, own_columns
from results.render import Table
from results.runs import DoneRun, LoadedRun, Runs
from results.table import Entry, Heading, Row, Section, cell_summary, title_of

SHARES = ("final_accuracy", "average_incremental_accuracy", "forgetting")  # where only rows are named
UNITS = {"share": "%", "bytes": "B", "seconds": "s", "count": "", "decibels": "dB", "number": ""}


def explanation(runs: Runs, pooled: Pooled, words: Sequence[str]) -> Table:
    """One block per cell, one row per run. `words` name methods or rows, and columns.

    Raises:
        ValueError: a word is neither a row nor a column.
    """
    known = [*column_names(), *own_columns(runs.done)]
    names = {cell.name for cell in pooled.cells.values()} | {row[0] for row in pooled.rows}
    unknown = [word for word in words if word not in names and word not in known]
    if unknown:
        raise ValueError(
            f"explain={','.join(words)}: {unknown[0]!r} is neither a row ({', '.join(sorted(names))}) "
            f"nor a column ({', '.join(known)}){nearest(unknown[0], [*sorted(names), *known])}"
        )
    columns = [column(word, runs.done) for word in words if word in known] or [column(name) for name in SHARES]
    wanted = [word for word in words if word in names] or sorted(names)
    cells = [cell for cell in pooled.cells.values() if cell.name in wanted or cell.row[0] in wanted]
    caption = "A row a run, units in the headings; pooled: mean ± half width of the 95 % t-interval."
    return Table(
        [_section(cell, columns) for cell in cells],
        [caption, *definitions(columns)],
        [f"not used: {problem}" for problem in runs.problems],
    )


def _section(cell: Cell, columns: Sequence[Column]) -> Section:
    rows = [_row(run, columns) for run in sorted(cell.done, key=lambda run: (run.order_seed, run.seed))]
    rows += [
        Row(run.run_id, False, run.state, [*_seeds(run), *(Entry("missing") for _ in columns)]) for run in cell.absent
    ]
    summaries = [cell_summary(cell, column) for column in columns]
    entries = [
        Entry(_text(s.mean, column) + (f" ± {_text(s.half_width, column)}" if s.n > 1 else ""), s)
        for s, column in zip(summaries, columns, strict=True)
    ]
    rows.append(Row("pooled", True, f"{summaries[0].n} {summaries[0].over}", [Entry(""), Entry(""), *entries]))
    headings = [Heading("", "order seed", "seed"), Heading("", "seed", "seed")]
    headings += [Heading("", f"{column.heading} {UNITS[column.kind]}".strip(), column.kind) for column in columns]
    return Section(
        ", ".join(filter(None, [cell.name, title_of(cell.condition or ())])), headings, rows, first=("run", "state")
    )


def _row(run: DoneRun, columns: Sequence[Column]) -> Row:
    values = [column.of(run) for column in columns]
    entries = [
        Entry(_text(value, column), Summary(value, math.nan, 1, "run"))
        for value, column in zip(values, columns, strict=True)
    ]
    return Row(run.run_id, False, run.state, [*_seeds(run), *entries])


def _seeds(run: LoadedRun) -> list[Entry]:
    return [Entry("–" if seed is None else str(seed)) for seed in (run.order_seed, run.seed)]


def _text(value: float, column: Column) -> str:
    if math.isnan(value):
        return "–"
    if column.kind == "share":
        return f"{100 * value:.2f}"
    if column.kind == "number":
        return f"{value:.4g}"
    return f"{value:,.1f}" if column.kind in ("seconds", "decibels") else f"{value:,.0f}"
