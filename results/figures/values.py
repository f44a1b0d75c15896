"""The data of plots: values of runs, with the row and condition of their cell, and means with 95 % t-intervals."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pandas as pd

from results.pooling import Cell, Pooled, summarise
from results.registries import NoData
from results.runs import DoneRun
from results.table import title_of


def collect(pooled: Pooled, values: Callable[[DoneRun], Iterable[dict[str, Any]]], why_empty: str) -> pd.DataFrame:
    """Rows of `values(run)` for every done run, with method (the row's name), condition, order_seed, seed, run_id.

    Raises NoData(why_empty) if no run gives any.
    """
    rows = [
        {"method": cell.name, "condition": title_of(cell.condition or ()), "order_seed": run.order_seed,
         "seed": run.seed, "run_id": run.run_id, **value}
        for cell in cells(pooled) for run in cell.done for value in values(run)
    ]  # fmt: skip
    if not rows:
        raise NoData(why_empty)
    return pd.DataFrame(rows)


def cells(pooled: Pooled) -> list[Cell]:
    """Cells in the order of the table."""
    conditions = [*(pooled.conditions or ((),)), None]
    found = [pooled.cells.get((row, condition)) for condition in conditions for row in pooled.rows]
    return [cell for cell in found if cell is not None]


def means(data: pd.DataFrame, by: Sequence[str], value: str) -> pd.DataFrame:
    """Mean, half_width and n of `value` for each method, condition and `by`; seeds averaged within orders."""
    keys = ["method", "condition", *by]
    rows = []
    for key, group in data.groupby(keys, sort=False):
        summary = summarise(list(zip(group["order_seed"], group["seed"], group[value], strict=True)))
        rows.append(dict(zip(keys, key, strict=True)) | {
            "mean": summary.mean, "half_width": summary.half_width, "n": summary.n})  # fmt: skip
    return pd.DataFrame(rows)


def names(pooled: Pooled) -> dict[str, tuple[str, ...]]:
    """Name of a row, as in data frames -> the row."""
    return {" ".join(row): row for row in pooled.rows}
