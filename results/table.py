"""The parts of a table, and how a number becomes the text of a cell."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from results.pooling import Cell, Summary, summarise
from results.registries import Column


@dataclass(frozen=True)
class Entry:
    """One printed value: `text` is printed, `summary` holds the numbers behind it."""

    text: str
    summary: Summary | None = None
    best: bool = False


@dataclass
class Row:
    """One line of a table: name, number of runs, and one entry per heading."""

    name: str
    bound: bool
    n: str
    entries: list[Entry] = field(default_factory=list)


@dataclass(frozen=True)
class Heading:
    """The heading of one column. `group` names its condition in the layout `grid`."""

    group: str
    text: str
    kind: str


@dataclass
class Section:
    """One block of rows under one set of headings; `title` names the condition.

    `not_run`: rows of other blocks that nobody asked for in this one. `first`: the headings of name and n.
    """

    title: str
    headings: list[Heading]
    rows: list[Row]
    not_run: list[str] = field(default_factory=list)
    first: tuple[str, str] = ("method", "n")


def title_of(condition: Sequence[tuple[str, str]]) -> str:
    """A condition in words, such as budget=700 kB, setting=scratch."""
    return ", ".join(f"{key.removeprefix('benchmark.').removeprefix('memory.')}={value}" for key, value in condition)


def cell_summary(cell: Cell, column: Column) -> Summary:
    """Mean and 95 % t-interval of one quantity over the runs of a cell."""
    return summarise([(run.order_seed, run.seed, column.of(run)) for run in cell.done])


def number(mean: float, half_width: float, kind: str) -> str:
    """A mean as text, by the kind of its column.

    A share is printed in per cent. Shares, decibels and plain numbers have their interval; counts and seconds do not.
    """
    if math.isnan(mean):
        return "–"
    if kind in ("share", "decibels"):
        scale = 100 if kind == "share" else 1
        text = f"{scale * mean:.1f}"
        return text if math.isnan(half_width) else f"{text} ± {scale * half_width:.1f}"
    if kind == "number":
        return f"{mean:.3g}" if math.isnan(half_width) else f"{mean:.3g} ± {half_width:.2g}"
    return f"{mean:,.1f}" if kind == "seconds" and mean < 10 else f"{mean:,.0f}"
