"""Tables from records: `python -m results.tables OUT [layout=] [format=] [columns=] [explain=] [mixed=true]`."""

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from results.arguments import Option, command, nearest
from results.columns import COLUMNS, DEFAULT, Column
from results.load import Loaded, Run, load
from results.pooling import Cell, Pooled, Summary, bytes_text, pool, summarise

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
    """One block of rows under one set of headings; `title` names the condition."""

    title: str
    headings: list[Heading]
    rows: list[Row]


@dataclass
class Table:
    """A table ready to be printed in any format."""

    sections: list[Section]
    caption: list[str]  # sentences
    notes: list[str]  # what is missing, failed or not to be believed, a line each


def build(loaded: Loaded, layout: str = "metrics", columns: Sequence[str] = (), mixed: bool = False) -> Table:
    """Pool the runs and lay them out; raises ValueError where a cell would mix sources, devices or precisions.

    `metrics`: a block a condition, a column a quantity. `grid`: a column a condition and quantity.
    """
    pooled = pool(loaded, mixed)
    names = list(columns) or (list(DEFAULT) if layout == "metrics" else ["final_accuracy", "forgetting"])
    shown = [COLUMNS[name] for name in names]
    conditions = pooled.conditions or ((),)
    if layout == "metrics":
        blocks = [(title_of(condition), [(condition, "", column) for column in shown]) for condition in conditions]
    else:
        blocks = [("", [(condition, title_of(condition), column) for condition in conditions for column in shown])]
    sections = [_section(pooled, title, places) for title, places in blocks]
    return Table(sections, caption(loaded, pooled, shown), notes(loaded, pooled))


def title_of(condition: Sequence[tuple[str, str]]) -> str:
    return ", ".join(f"{key.removeprefix('benchmark.').removeprefix('memory.')}={value}" for key, value in condition)


def _section(pooled: Pooled, title: str, places: Sequence[tuple[tuple, str, Column]]) -> Section:
    rows = []
    for name in pooled.rows:
        cells = [pooled.cells.get((name, condition)) or pooled.cells.get((name, None)) for condition, _, _ in places]
        entries = [_entry(cell, column) for cell, (_, _, column) in zip(cells, places, strict=True)]
        rows.append(Row(" ".join(name), pooled.is_bound(name), _n_text([c for c in cells if c]), entries))
    _mark_best(rows, [column for _, _, column in places])
    return Section(title, [Heading(group, column.heading, column.kind) for _, group, column in places], rows)


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
    """A share in per cent with its interval, or a plain count or number of seconds."""
    if math.isnan(mean):
        return "–"
    if kind == "share":
        text = f"{100 * mean:.1f}"
        return text if math.isnan(half_width) else f"{text} ± {100 * half_width:.1f}"
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


def caption(loaded: Loaded, pooled: Pooled, shown: Sequence[Column]) -> list[str]:
    """Sentences that say how to read the table: written from the records, never by hand."""
    done = loaded.done
    if not done:
        return ["No run is done."]
    protocols = dict.fromkeys(f"{r.record['protocol']['id']} ({r.record['protocol']['hash']})" for r in done)
    stream = dict.fromkeys(f"{r.record['benchmark']} {r.record['label']}, setting {r.record['setting']}" for r in done)
    budgets = dict.fromkeys(
        f"{bytes_text(r.record['memory']['budget'])} {r.record['memory']['count']}"
        for r in done if r.record["memory"]["budget"] is not None and not r.record["bound"]
    )  # fmt: skip
    texts = [
        f"Protocol {'; '.join(protocols)}; {'; '.join(stream)}; measured on the "
        f"{' and the '.join(dict.fromkeys(r.record['evaluate'] for r in done))} part.",
        f"Memory budget: {', '.join(budgets) or 'none'}.",
        _varies(pooled),
    ]
    if any(column.kind == "share" for column in shown):
        texts[-1] += " Accuracies and forgetting in per cent."
    texts += [f"{c.heading[0].upper()}{c.heading[1:]}: {c.help.rstrip('.')}." for c in shown if "forgetting" in c.name]
    if any(pooled.is_bound(row) for row in pooled.rows):
        texts.append("Below the rule: bounds, which keep to no budget.")
    if any(entry_column.better for entry_column in shown) and sum(not pooled.is_bound(r) for r in pooled.rows) > 1:
        texts.append(
            "Bold (* in plain text): best mean of the column, bounds apart; that is no test, results.compare is."
        )
    data_seeds = {r.config.get("benchmark", {}).get("data_seed") for r in done} - {None}
    if data_seeds:
        texts.append(f"Data seed {', '.join(str(seed) for seed in sorted(data_seeds, key=str))}.")
    texts += [f"Mixed: {text}." for text in pooled.mixtures]
    n_sources = len({run.record["sources"] for run in done})
    if n_sources > 1 and not any("sources" in text for text in pooled.mixtures):
        texts.append(f"The rows were made by {n_sources} different versions of the sources.")
    texts.append(f"{len(done)} records, hash {loaded.digest}.")
    return texts


def _varies(pooled: Pooled) -> str:
    """What a cell's values differ in, and what ± means."""
    cells = [cell for cell in pooled.cells.values() if cell.done]
    summaries = [summarise([(r.order_seed, r.seed, 0.0) for r in cell.done]) for cell in cells]
    sizes = sorted({summary.n for summary in summaries})
    n = f"n={sizes[0]}" if len(sizes) == 1 else f"n={sizes[0]} to {sizes[-1]}"
    if sizes[-1] == 1:
        return f"{n}: one run a cell, hence no interval."
    over = {summary.over for summary in summaries if summary.n > 1}
    words = {
        "replicates": "replicates (class order, weights and sampling vary together)",
        "orders": "class orders (seeds averaged within an order)",
        "seeds": "seeds (weights and sampling vary, one class order)",
    }
    return f"Mean ± half width of the 95 % t-interval over {n} {' or '.join(words[name] for name in sorted(over))}."


def notes(loaded: Loaded, pooled: Pooled) -> list[str]:
    """A line for each run that is not counted, with the reason."""
    lines = [f"{run.state}: {run.run_id}{f': {run.reason}' if run.reason else ''}" for run in loaded.absent]
    lines += [f"unknown cell: {run.run_id} (it left no configuration)" for run in pooled.unplaced]
    return lines + [f"not used: {problem}" for problem in loaded.problems]


def explanation(loaded: Loaded, words: Sequence[str], mixed: bool = False) -> Table:
    """The runs and values behind the cells of one method (or row) and metric."""
    pooled = pool(loaded, mixed)
    names = {cell.name for cell in pooled.cells.values()} | {row[0] for row in pooled.rows}
    unknown = [word for word in words if word not in names and word not in COLUMNS]
    if unknown:
        allowed = [*sorted(names), *COLUMNS]
        raise ValueError(
            f"explain={','.join(words)}: {unknown[0]!r} is neither a row ({', '.join(sorted(names))}) "
            f"nor a column ({', '.join(COLUMNS)}){nearest(unknown[0], allowed)}"
        )
    columns = [COLUMNS[word] for word in words if word in COLUMNS] or [COLUMNS["final_accuracy"]]
    rows_wanted = [word for word in words if word in names] or sorted(names)
    sections = []
    for cell in pooled.cells.values():
        if cell.name in rows_wanted or cell.row[0] in rows_wanted:
            rows = [_explained(run, columns) for run in sorted(cell.done, key=lambda r: (r.order_seed, r.seed))]
            rows += [
                Row(
                    run.run_id,
                    False,
                    run.state,
                    [Entry(str(run.order_seed)), Entry(str(run.seed)), *([Entry("missing")] * len(columns))],
                )
                for run in cell.absent
            ]
            summaries = [cell_summary(cell, column) for column in columns]
            pooled_entries = [Entry(_plain(s.mean, c) + f" ± {_plain(s.half_width, c)}") for s, c in zip(
                summaries, columns, strict=True)]  # fmt: skip
            rows.append(
                Row("pooled", True, f"{summaries[0].n} {summaries[0].over}", [Entry(""), Entry(""), *pooled_entries])
            )
            title = ", ".join(filter(None, [cell.name, title_of(cell.condition or ())]))
            headings = [Heading("", "order seed", "seed"), Heading("", "seed", "seed")]
            headings += [Heading("", column.heading, column.kind) for column in columns]
            sections.append(Section(title, headings, rows))
    return Table(sections, caption(loaded, pooled, columns), notes(loaded, pooled))


def _explained(run: Run, columns: Sequence[Column]) -> Row:
    values = [Entry(_plain(column.of(run), column)) for column in columns]
    return Row(run.run_id, False, run.state, [Entry(str(run.order_seed)), Entry(str(run.seed)), *values])


def _plain(value: float, column: Column) -> str:
    if math.isnan(value):
        return "–"
    return (
        f"{value:.4f}" if column.kind == "share" else f"{value:,.1f}" if column.kind == "seconds" else f"{value:,.0f}"
    )


def print_table(out: Path, run_ids: list[str] | None = None) -> None:
    """Print the main table of an out folder (or of some of its runs) and where the records lie.

    Cells of mixed sources or devices are pooled and the caption says so: runs just made must not end without a table.
    """
    from results.render import to_terminal

    loaded = load(out, run_ids)
    to_terminal(build(loaded, mixed=True))
    print(f"records: {len(loaded.done)} in {Path(out)}{'/' if loaded.done else ''} (a folder a run, record.json)")


def add_published(table: Table, loaded: Loaded, mixed: bool) -> None:
    """Append published numbers on the same streams, and a sentence on streams without any."""
    from results import reference

    sections, sentences = reference.beside(pool(loaded, mixed))
    table.sections += sections
    table.caption += sentences


def run(
    outs: list[str], layout: str, format: str, columns: list[str], explain: list[str], reference: bool, mixed: bool
) -> int:
    from results import render

    loaded = load(outs)
    table = explanation(loaded, explain, mixed) if explain else build(loaded, layout, columns, mixed)
    if reference:
        add_published(table, loaded, mixed)
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
    "explain": Option([], "rows and columns whose runs and values to list, such as cram,forgetting", "list"),
    "reference": Option(False, "published numbers on the same stream below the table", "flag"),
    "mixed": Option(False, "pool runs of different sources, devices or precisions; the caption says so", "flag"),
}  # fmt: skip

if __name__ == "__main__":
    sys.exit(command("results.tables", __doc__.splitlines()[0], OPTIONS, run))
