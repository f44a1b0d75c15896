"""A table and its formats: rich terminal text, Markdown, LaTeX with booktabs, CSV, JSON, HTML and a data frame."""

import csv
import io
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby
from typing import TYPE_CHECKING, Any

from results.table import Heading, Row, Section

if TYPE_CHECKING:
    import pandas as pd
    from rich.console import Console
    from rich.table import Table as RichTable


@dataclass(repr=False)
class Table:
    """A table ready to be printed in any format; a notebook shows it as HTML, `print` as text."""

    sections: list[Section]
    caption: list[str]  # sentences
    notes: list[str]  # runs that are missing, failed or damaged, one line each
    title: str = ""

    @property
    def measured(self) -> bool:
        """Whether any cell holds a value."""
        entries = [entry for section in self.sections for row in section.rows for entry in row.entries]
        return any(entry.summary is not None or entry.text not in ("missing", "not run") for entry in entries)

    def __str__(self) -> str:
        from rich.console import Console

        text = io.StringIO()
        to_terminal(self, Console(file=text, highlight=False, force_terminal=False, force_jupyter=False))
        return "\n".join(line.rstrip() for line in text.getvalue().splitlines())

    __repr__ = __str__

    def _repr_html_(self) -> str:
        return to_html(self)

    def frame(self) -> "pd.DataFrame":
        """One row per cell, with the columns of the CSV format. Means are shares, bytes or seconds, not rounded."""
        import pandas as pd

        return pd.DataFrame(every_cell(self))


def to_terminal(table: Table, console: "Console | None" = None) -> None:
    """Print to the terminal. A table that is too wide is split into accuracies and costs."""
    from rich.console import Console
    from rich.text import Text

    console = console or Console(highlight=False)
    if not console.is_terminal:  # piped output has no width: it must not be folded at 80
        shown = console.is_jupyter
        console = Console(file=console.file, highlight=False, width=1000, force_terminal=False, force_jupyter=shown)
    if table.title:
        console.print(Text(table.title, style="bold"), soft_wrap=not console.is_terminal)
    for section in table.sections if table.measured else ():
        for columns in _fitting(section, console.width):
            console.print(_rich_table(section, columns))
        if section.not_run:
            console.print(Text(not_run(section), style="dim"), soft_wrap=not console.is_terminal)
    for lines, style in ((table.caption, "dim"), (table.notes, "yellow")):
        for line in lines:
            console.print(Text(line, style=style), soft_wrap=not console.is_terminal)


def not_run(section: Section) -> str:
    """The line below a block that names the rows of other blocks that were not run for this one."""
    return f"not run here: {', '.join(section.not_run)}"


def _fitting(section: Section, width: int) -> list[list[int]]:
    """The positions of the columns, in as few blocks as fit the width. Costs begin a new block."""
    start = max([len(row.name) for row in section.rows] + [6]) + max([len(row.n) for row in section.rows] + [1]) + 6
    needed = [
        2 + max(len(word) for word in [*_words(heading), *(row.entries[i].text + " " for row in section.rows)])
        for i, heading in enumerate(section.headings)
    ]
    if start + sum(needed) <= width:
        return [list(range(len(needed)))]
    blocks: list[list[int]] = []
    used = start
    for i, heading in enumerate(section.headings):
        cost_begins = i and heading.kind == "bytes" and section.headings[i - 1].kind == "share"
        if not blocks or used + needed[i] > width or cost_begins:
            blocks.append([])
            used = start
        blocks[-1].append(i)
        used += needed[i]
    return blocks


def _words(heading: Heading) -> list[str]:
    """A heading as lines, one condition or word per line, so that the column stays narrow."""
    return [*filter(None, heading.group.split(", ")), *heading.text.replace(",", "").split()]


def _rich_table(section: Section, columns: list[int]) -> "RichTable":
    from rich.box import Box
    from rich.table import Table as RichTable
    from rich.text import Text

    # Lines under the headings and between sections only.
    rules = Box("    \n    \n ── \n    \n ── \n    \n    \n    \n")
    title = Text(section.title) if section.title else None
    drawn = RichTable(box=rules, padding=(0, 1), title=title, title_justify="left", pad_edge=False)
    drawn.add_column(section.first[0], no_wrap=True, vertical="bottom")
    drawn.add_column(section.first[1], justify="right", no_wrap=True)
    for i in columns:
        drawn.add_column(Text("\n".join(_words(section.headings[i]))), justify="right", no_wrap=True)
    for bound, rows in groupby(section.rows, key=lambda row: row.bound):
        if bound:
            drawn.add_section()
        for row in rows:
            entries = [row.entries[i] for i in columns]
            cells = [Text(f"{e.text}{'*' if e.best else ' '}", style="bold" if e.best else "") for e in entries]
            drawn.add_row(Text(row.name), row.n, *cells)
    return drawn


def to_markdown(table: Table) -> str:
    """GitHub's Markdown, with title and caption above the table and a line before the bounds."""
    lines = [f"**{_markdown(table.title)}**", ""] if table.title else []
    lines += [" ".join(_markdown(text) for text in table.caption), ""]
    for section in table.sections:
        if section.title:
            lines += [f"**{_markdown(section.title)}**", ""]
        headings = [*section.first, *(_markdown(f"{h.group} {h.text}") for h in section.headings)]
        lines += ["| " + " | ".join(headings) + " |", "| --- |" + " ---: |" * (len(headings) - 1)]
        for bound, rows in groupby(section.rows, key=lambda row: row.bound):
            if bound:
                lines.append("| *bounds* |" + " |" * (len(headings) - 1))
            for row in rows:
                texts = [f"**{_markdown(e.text)}**" if e.best else _markdown(e.text) for e in row.entries]
                lines.append("| " + " | ".join([_markdown(row.name), row.n, *texts]) + " |")
        lines += ["", _markdown(not_run(section)), ""] if section.not_run else [""]
    lines += [f"- {_markdown(note)}" for note in table.notes]
    return "\n".join(lines).rstrip() + "\n"


def _markdown(text: str) -> str:
    for character in "\\|*_<>`[]":
        text = text.replace(character, "\\" + character)
    return " ".join(text.split())


LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "–": "--", "…": r"\ldots{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}",
}  # fmt: skip


def _latex(text: str) -> str:
    # A character that pdflatex cannot print is shown by its number, not dropped.
    return "".join(LATEX.get(c, c if c.isascii() and c.isprintable() else f"[U+{ord(c):04X}]") for c in text)


def _stacked(lines: Sequence[str], side: str) -> str:
    """A heading with one word per line, so that the column stays narrow."""
    text = r"\\".join(map(_latex, lines))
    return rf"\shortstack[{side}]{{{text}}}" if len(lines) > 1 else text


def to_latex(table: Table) -> str:
    """A table environment for booktabs, compiled with `\\usepackage{booktabs}` and `\\usepackage[T1]{fontenc}`."""
    parts = []
    for section in table.sections:
        n_columns = len(section.headings)
        size = r"\small" if n_columns < 5 else r"\footnotesize" if n_columns < 8 else r"\scriptsize"  # fits a page
        lines = [r"\begin{table}", r"\centering", rf"{size}\setlength{{\tabcolsep}}{{4pt}}"]
        lines += [rf"\begin{{tabular}}{{l{'r' * (n_columns + 1)}}}", r"\toprule"]
        groups = [(group, len(list(members))) for group, members in groupby(section.headings, key=lambda h: h.group)]
        if any(group for group, _ in groups):
            stacked = [(_stacked(group.split(", "), "c"), width) for group, width in groups]
            lines.append(" & & " + " & ".join(rf"\multicolumn{{{n}}}{{c}}{{{text}}}" for text, n in stacked) + r" \\")
        headings = [*section.first, *(_stacked(h.text.split(), "r") for h in section.headings)]
        lines += [" & ".join(headings) + r" \\", r"\midrule"]
        first = True
        for bound, rows in groupby(section.rows, key=lambda row: row.bound):
            if bound and not first:
                lines.append(r"\midrule")
            first = False
            for row in rows:
                texts = [rf"\textbf{{{_latex(e.text)}}}" if e.best else _latex(e.text) for e in row.entries]
                lines.append(" & ".join([_latex(row.name), _latex(row.n), *texts]) + r" \\")
        title = [f"{text}." for text in (table.title, section.title) if text]
        absent = [f"{not_run(section)}."] if section.not_run else []
        text = _latex(" ".join([*title, *table.caption, *absent, *(f"{note}." for note in table.notes)]))
        lines += [r"\bottomrule", r"\end{tabular}", rf"\caption{{{text}}}", r"\end{table}"]
        parts.append("\n".join(lines))
    return "% needs \\usepackage{booktabs} and \\usepackage[T1]{fontenc}\n" + "\n\n".join(parts) + "\n"


def to_csv(table: Table) -> str:
    """One line per cell: condition, method, bound, heading, n, asked, mean, half_width, text. Shares are 0 to 1."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["condition", "method", "bound", "quantity", "runs", "n", "mean", "half_width", "text"])
    for cell in every_cell(table):  # a name that a spreadsheet would take for a formula is kept as text
        writer.writerow([_cell_text(value) for value in cell.values()])
    return out.getvalue()


def every_cell(table: Table) -> list[dict[str, Any]]:
    """Every cell as plain values; None if there is no mean or no interval."""
    return [cell for section in table.sections for row in section.rows for cell in _cells(section, row)]


def _cells(section: Section, row: Row) -> list[dict[str, Any]]:
    return [
        {
            "condition": heading.group or section.title,
            "method": row.name,
            "bound": row.bound,
            "quantity": heading.text,
            "runs": row.n,
            "n": entry.summary.n if entry.summary else 0,
            "mean": _finite(entry.summary.mean) if entry.summary else None,
            "half_width": _finite(entry.summary.half_width) if entry.summary else None,
            "text": entry.text,
        }
        for heading, entry in zip(section.headings, row.entries, strict=True)
    ]


def _finite(value: float) -> float | None:
    return None if math.isnan(value) else value


def _cell_text(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@") else value


def to_json(table: Table) -> str:
    """Cells as in the CSV, with title, caption and notes."""
    content = {"title": table.title, "caption": table.caption, "notes": table.notes, "cells": every_cell(table)}
    return json.dumps(content, indent=1) + "\n"


def to_html(table: Table) -> str:
    """HTML for a notebook, every text escaped; the best of a column is bold, bounds stand below a rule."""
    parts = [f"<p><b>{escape(table.title)}</b></p>"] if table.title else []
    for section in table.sections:
        heads = [*section.first, *(f"{h.group} {h.text}".strip() for h in section.headings)]
        parts += [f"<p>{escape(section.title)}</p>"] if section.title else []
        parts.append(f"<table><thead><tr>{''.join(f'<th>{escape(text)}</th>' for text in heads)}</tr></thead>")
        for bound, rows in groupby(section.rows, key=lambda row: row.bound):
            parts.append('<tbody style="border-top: 1.5px solid">' if bound else "<tbody>")
            for row in rows:
                texts = [f"<b>{escape(e.text)}</b>" if e.best else escape(e.text) for e in row.entries]
                cells = "".join(f"<td>{text}</td>" for text in (escape(row.name), escape(row.n), *texts))
                parts.append(f"<tr>{cells}</tr>")
            parts.append("</tbody>")
        parts.append(f"</table>{escape(not_run(section)) if section.not_run else ''}")
    return "\n".join(
        [*parts, *(f"<p><small>{escape(text)}</small></p>" for text in (" ".join(table.caption), *table.notes))]
    )


FORMATS: dict[str, Callable[[Table], str]] = {
    "markdown": to_markdown, "latex": to_latex, "csv": to_csv, "json": to_json,
}  # fmt: skip
