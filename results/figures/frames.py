"""What plots draw: values of runs with the row and condition of their cell, and their means with 95 % t-intervals."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pandas as pd

from results.figures import NoData
from results.load import Run
from results.pooling import Cell, Pooled, summarise
from results.tables import title_of


def collect(pooled: Pooled, values: Callable[[Run], Iterable[dict[str, Any]]], why_empty: str) -> pd.DataFrame:
    """Rows of `values(run)` for every done run, with method (the row's name), condition, order_seed, seed, run_id.

    Raises NoData(why_empty) where no run gives any.
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
    """Name of a row as data frames have it -> the row."""
    return {" ".join(row): row for row in pooled.rows}


def panels(data: pd.DataFrame, width: float = 3.6, height: float = 2.8, most: int = 12):
    """A figure with a panel a condition (at most `most`, said in the title of the last) and the conditions drawn."""
    from matplotlib import pyplot

    conditions = list(dict.fromkeys(data["condition"]))
    shown = conditions[:most]
    n_columns = min(3, len(shown))
    n_rows = -(-len(shown) // n_columns)
    figure, axes = pyplot.subplots(
        n_rows, n_columns, figsize=(width * n_columns + 1.2, height * n_rows), squeeze=False, sharey=True
    )
    for axis in axes.flat[len(shown) :]:
        axis.set_visible(False)
    for axis, condition in zip(axes.flat, shown, strict=False):
        axis.set_title(plain(condition))
    if len(conditions) > most:
        figure.suptitle(f"{most} of {len(conditions)} conditions; all are in the CSV file")
    return figure, list(zip(axes.flat, shown, strict=False))


def plain(text: str, width: int = 60) -> str:
    """Text that matplotlib prints as it is: a dollar sign would begin a formula."""
    text = text if len(text) <= width else text[: width - 1] + "…"
    return "".join(c if c.isprintable() else "?" for c in text).replace("$", r"\$")


def legend(figure: Any, axes: Sequence[Any]) -> None:
    """One legend for all panels, right of them."""
    handles: dict[str, Any] = {}
    for axis in axes:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    if handles:
        figure.legend(handles.values(), handles.keys(), loc="outside right center")
