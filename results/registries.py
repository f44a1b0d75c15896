"""Metrics, columns and plots by name. Listing them imports neither numpy nor a drawing library.

A plug-in file adds to them:

    from results import METRICS

    @METRICS.register("worst_task", heading="worst task", definition="min_j R[T-1, j]", names_matrix=True)
    def worst_task(record):
        return min(value for value in record.accuracy[-1] if value is not None)

A metric is a column of every table by itself. `COLUMNS` holds what else a table can show of a run.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from harness.common.registry import Registry
from harness.common.words import unknown

if TYPE_CHECKING:
    from results.record import Record
    from results.runs import DoneRun

T = TypeVar("T")
KINDS = ("share", "bytes", "count", "seconds", "decibels", "number")
OWN = ("reported", "logged")  # prefixes of columns: numbers that a method reports, and numbers that its steps log


class NoData(Exception):
    """Why a plot cannot be drawn from these records."""


@dataclass(frozen=True)
class Column:
    """One quantity of a run: `of(run)` is a number, or NaN if it is not known."""

    of: Callable[["DoneRun"], float]
    heading: str
    definition: str  # one sentence; captions and lists show it
    kind: str = "number"  # one of KINDS: how it is printed; a share lies between 0 and 1
    better: int = 0  # 1: high is good, -1: low is good, 0: neither
    names_matrix: bool = False  # the definition uses R[i, j], so the caption explains it
    always_defined: bool = False  # the definition stands below every table that shows the column
    caveat: str = ""  # a sentence that stands below every table that shows the column
    name: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"kind={self.kind!r} is not one of {', '.join(KINDS)}")


@dataclass(frozen=True)
class Metric:
    """A number computed from a record: `of(record)` is NaN if that is not possible. Other fields are as in `Column`."""

    of: Callable[["Record"], float]
    heading: str
    definition: str
    kind: str = "share"
    higher_is_better: bool = True
    names_matrix: bool = False
    always_defined: bool = False

    def column(self, name: str) -> Column:
        """The column that shows this metric."""
        better = 1 if self.higher_is_better else -1
        return Column(lambda run: self.of(run.record), self.heading, self.definition, self.kind, better,
                      self.names_matrix, self.always_defined, name=name)  # fmt: skip


class Declared(Registry[T]):
    """A registry of metrics or of columns. Its decorator takes their fields as named values."""

    def __init__(self, kind: str, make: Callable[..., T], base: str):
        """`make(of=function, **says)` makes the entry."""
        super().__init__(kind, base)
        self.make = make

    def register(self, name: str, summary: str = "", **says: Any) -> Callable[[Any], Any]:
        """Decorator that registers a function under `name`; `says` are the fields of `Metric` or `Column`."""

        def decorate(function: Any) -> Any:
            self.add(name, self.make(of=function, **says), summary or says["definition"])
            return function

        return decorate

    def add(self, name: str, target: str | T, summary: str = "", builtin: bool = False, **facts: Any) -> None:
        """Register a metric or a column. One name cannot be both, because each metric is a column too."""
        for other in (METRICS, COLUMNS):
            if other is not self and name in other:
                raise ValueError(f"{self.kind} '{name}': a {other.kind} is called so already")
        super().add(name, target, summary, builtin, **facts)


METRICS: Declared[Metric] = Declared("metric", Metric, "results.registries:Metric")
COLUMNS: Declared[Column] = Declared("column", Column, "results.registries:Column")
# name -> function(runs, pooled) that returns (figure, data frame) or raises NoData; the summary says what it shows.
PLOTS: Registry[Callable[..., Any]] = Registry("plot")


def column_names() -> list[str]:
    """Every name of a column, metrics first. Numbers that methods report or log are not among them."""
    return [*METRICS, *COLUMNS]


def comparable_columns() -> list[str]:
    """Names of the columns that can be compared: the shares. Their differences are in points."""
    return [name for name in column_names() if column(name).kind == "share"]


def check_columns(names: Iterable[str]) -> None:
    """ValueError for a name that is no column in any records; the line gives the nearest name."""
    for name in names:
        if name.partition(".")[0] not in OWN:
            column(name)


def column(name: str, runs: Iterable["DoneRun"] = ()) -> Column:
    """The column called `name`: a metric, another column, or `reported.NAME` or `logged.NAME` where `runs` have it.

    Raises:
        ValueError: nothing is called so; the line gives the nearest name and all known ones.
    """
    if name in METRICS:
        return METRICS.get(name).column(name)
    if name in COLUMNS:
        return replace(COLUMNS.get(name), name=name)
    own = own_columns(runs)
    if name not in own:
        raise ValueError(unknown("column", name, [*column_names(), *own]))
    where, _, short = name.partition(".")
    said = "as the method reports it after" if where == "reported" else "as steps log it, their mean over"
    return Column(lambda run: last(getattr(run.record, where).get(short)), short,
                  f"{short} {said} the last task", name=name)  # fmt: skip


def own_columns(runs: Iterable["DoneRun"]) -> list[str]:
    """Names of the columns that only these runs have: reported.NAME and logged.NAME."""
    return list(
        dict.fromkeys(f"{where}.{each}" for run in runs for where in OWN for each in getattr(run.record, where))
    )


def last(series: Sequence[float | None] | None) -> float:
    """The last value of a series [T]; NaN if there is none."""
    return math.nan if not series or series[-1] is None else series[-1]
