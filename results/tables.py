"""Tables from records: `python -m results.tables OUT [layout=] [format=] [columns=] [methods=] [explain=]`."""

import math
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from results.arguments import SWEEP, Option, command
from results.captions import caption, heading, notes
from results.columns import COLUMNS, DEFAULT, Column
from results.load import Loaded, load, of_sweep
from results.pooling import Cell, Pooled, Summary, bytes_text, select, summarise

LAYOUTS = ("metrics", "grid")
FORMATS = ("terminal", "markdown", "latex", "csv", "json")


@dataclass(frozen=True)
class Entry:
    """One printed value: `text` is what stands in the cell, `summary` what it says."""

    text: str
    summary: Summary | None = None
    best: bool = False


@dataclass
class Row:
    """One line: name, how many runs of how many, an entry a heading."""

    name: str
    bound: bool
    n: str
    entries: list[Entry] = field(default_factory=list)


@dataclass(frozen=True)
class Heading:
    """Of one column; `group` names its condition where conditions are columns."""

    group: str
    text: str
    kind: str


@dataclass
class Section:
    """One block of rows under one set of headings; `title` names the condition.

    `not_run` names the rows of other blocks that nobody asked for here; `first` heads the columns of Row.name and n.
    """

    title: str
    headings: list[Heading]
    rows: list[Row]
    not_run: list[str] = field(default_factory=list)
    first: tuple[str, str] = ("method", "n")


@dataclass
class Table:
    """A table ready to be printed in any format."""

    sections: list[Section]
    caption: list[str]  # sentences
    notes: list[str]  # what is missing, failed or not to be believed, a line each
    title: str = ""

    @property
    def measured(self) -> bool:
        """Whether any cell holds a value."""
        entries = [entry for section in self.sections for row in section.rows for entry in row.entries]
        return any(entry.summary is not None or entry.text not in ("missing", "not run") for entry in entries)


def build(loaded: Loaded, pooled: Pooled, layout: str = "metrics", columns: Sequence[str] = ()) -> Table:
    """Lay out what `pooling.select` gave.

    `metrics`: a block a condition, a column a quantity. `grid`: a column a condition and quantity.
    """
    names = list(columns) or (list(DEFAULT) if layout == "metrics" else ["final_accuracy", "forgetting"])
    shown = [COLUMNS[name] for name in names]
    conditions = pooled.conditions or ((),)
    if layout == "metrics":
        blocks = [(title_of(condition), [(condition, "", column) for column in shown]) for condition in conditions]
    else:
        blocks = [("", [(condition, title_of(condition), column) for condition in conditions for column in shown])]
    sections = [_section(pooled, title, places) for title, places in blocks]
    return Table(sections, caption(loaded, pooled, shown), notes(loaded, pooled), heading(loaded, pooled))


def title_of(condition: Sequence[tuple[str, str]]) -> str:
    return ", ".join(f"{key.removeprefix('benchmark.').removeprefix('memory.')}={value}" for key, value in condition)


def _section(pooled: Pooled, title: str, places: Sequence[tuple[tuple, str, Column]]) -> Section:
    rows, not_run = [], []
    for name in pooled.rows:
        cells = [pooled.cells.get((name, condition)) or pooled.cells.get((name, None)) for condition, _, _ in places]
        if not any(cells):
            not_run.append(" ".join(name))
            continue
        entries = [_entry(cell, column) for cell, (_, _, column) in zip(cells, places, strict=True)]
        rows.append(Row(" ".join(name), pooled.is_bound(name), _n_text([c for c in cells if c]), entries))
    _mark_best(rows, [column for _, _, column in places])
    headings = [Heading(group, column.heading, column.kind) for _, group, column in places]
    return Section(title, headings, rows, not_run)


def _n_text(cells: Sequence[Cell]) -> str:
    """n, or done/asked where runs miss; a range where the columns differ."""
    texts = dict.fromkeys(f"{len(c.done)}" if not c.absent else f"{len(c.done)}/{c.asked}" for c in cells)
    return " ".join(texts) or "0"


def cell_summary(cell: Cell, column: Column) -> Summary:
    """Mean and interval of one quantity over the runs of a cell."""
    return summarise([(run.order_seed, run.seed, column.of(run)) for run in cell.done])


def _entry(cell: Cell | None, column: Column) -> Entry:
    if cell is None:
        return Entry("not run")
    if not cell.done:
        return Entry("missing")
    summary = cell_summary(cell, column)
    if column.kind == "bytes":  # a maximum, as in the record: a budget is kept by every run or not at all
        sizes = [column.of(run) for run in cell.done]
        return Entry(bytes_text(max(sizes)) if not any(map(math.isnan, sizes)) else "–", summary)
    return Entry(number(summary.mean, summary.half_width, column.kind), summary)


def number(mean: float, half_width: float, kind: str) -> str:
    """A share in per cent or decibels with the interval, or a plain count or number of seconds."""
    if math.isnan(mean):
        return "–"
    if kind in ("share", "decibels"):
        scale = 100 if kind == "share" else 1
        text = f"{scale * mean:.1f}"
        return text if math.isnan(half_width) else f"{text} ± {scale * half_width:.1f}"
    return f"{mean:,.1f}" if kind == "seconds" and mean < 10 else f"{mean:,.0f}"


def _mark_best(rows: Sequence[Row], columns: Sequence[Column]) -> None:
    """The best mean of a column among methods under a budget: bounds never compete."""
    for position, column in enumerate(columns):
        values = {
            index: column.better * row.entries[position].summary.mean
            for index, row in enumerate(rows)
            if not row.bound and row.entries[position].summary is not None
            and not math.isnan(row.entries[position].summary.mean)
        }  # fmt: skip
        if column.better and len(values) > 1:
            top = max(values.values())
            for index in (index for index, value in values.items() if value == top):
                old = rows[index].entries[position]
                rows[index].entries[position] = Entry(old.text, old.summary, best=True)


def print_table(
    out: Path, run_ids: list[str] | None = None, layout: str = "metrics", columns: Sequence[str] = ()
) -> None:
    """Print the main table of an out folder (or of some of its runs) and where the records lie.

    Cells of mixed sources or devices are pooled and the caption says so: runs just made must not end without a table.
    Why a run is not done is for the caller to say, who knows where its log lies.
    """
    from results.render import to_terminal

    loaded, pooled = select(load(out, run_ids), mixed=True)
    table = build(loaded, pooled, layout, columns)
    table.notes = [f"not used: {problem}" for problem in loaded.problems]
    to_terminal(table)
    print(f"records: {len(loaded.done)} in {Path(out)}{'/' if loaded.done else ''} (a folder a run, record.json)")


def add_published(table: Table, pooled: Pooled) -> None:
    """Append published numbers on the same streams, and a sentence on streams without any."""
    from results import reference

    sections, sentences = reference.beside(pooled)
    table.sections += sections
    table.caption += sentences


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
    from results import render
    from results.explain import explanation

    loaded, pooled = select(of_sweep(load(outs), sweep), mixed, methods)
    table = explanation(loaded, pooled, explain) if explain else build(loaded, pooled, layout, columns)
    if reference:
        add_published(table, pooled)
    if format == "terminal":
        render.to_terminal(table)
        print(f"records: {len(loaded.done)} in {', '.join(outs)}")
    else:
        sys.stdout.write(render.FORMATS[format](table))
    return 0


OPTIONS = {
    "layout": Option("metrics", "metrics: a column a quantity, a block a condition; grid: a column a condition",
                     choices=LAYOUTS),
    "format": Option("terminal", "how to print", choices=FORMATS),
    "columns": Option([], f"quantities to show: {', '.join(COLUMNS)}", "list", tuple(COLUMNS)),
    "methods": Option([], "methods or rows to show, such as cram,er (default: all)", "list"),
    "sweep": SWEEP,
    "explain": Option([], "rows and columns whose runs and values to list, such as cram,forgetting", "list"),
    "reference": Option(False, "published numbers on the same stream below the table", "flag"),
    "mixed": Option(False, "pool runs of different sources, devices or precisions; the caption says so", "flag"),
}  # fmt: skip

if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `| head` ends it quietly
    sys.exit(command("results.tables", __doc__.splitlines()[0], OPTIONS, run))
