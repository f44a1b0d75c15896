"""What plots draw: values of runs with the row and condition of their cell, and their means with 95 % t-intervals."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pandas as pd

from results.figures import NoData
from results.load import Run
from results.pooling import Cell, Pooled, summarise
from results.tables import title_of

MOST = 24  # panels of a figure; the CSV file holds the data of all


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


def panels(titles: Sequence[str], size: tuple[float, float] = (4.2, 3.3), columns: int = 3, sharey: bool | str = True):
    """A figure with a panel a title (at most MOST, and it says so) and the panels in the order of the titles."""
    from matplotlib import pyplot

    shown = titles[:MOST]
    n_columns = min(columns, len(shown))
    n_rows = -(-len(shown) // n_columns)
    figure, axes = pyplot.subplots(
        n_rows, n_columns, figsize=(size[0] * n_columns + 1.2, size[1] * n_rows), squeeze=False, sharey=sharey
    )
    for axis in axes.flat[len(shown) :]:
        axis.set_visible(False)
    for axis, title in zip(axes.flat, shown, strict=False):
        axis.set_title(wrapped(title, int(12 * size[0])))
        axis.tick_params(labelleft=True)
    if len(titles) > MOST:
        figure.suptitle(f"{MOST} of {len(titles)} panels; all are in the CSV file")
    return figure, list(axes.flat[: len(shown)])


def label_left(axes: Sequence[Any], text: str) -> None:
    """The name of the y axis on the first panel of every line of panels."""
    for axis in axes:
        if axis.get_subplotspec().is_first_col():
            axis.set_ylabel(text)


def wrapped(title: str, width: int) -> str:
    """A title whose conditions stand on as many lines as they need, each of at most about `width` characters."""
    lines: list[str] = []
    for paragraph in title.split("\n"):
        begun = len(lines)
        for part in paragraph.split(", "):
            if len(lines) > begun and len(lines[-1]) + len(part) + 2 <= width:
                lines[-1] += f", {part}"
            else:
                lines.append(part)
    return "\n".join(plain(line, width) for line in lines)


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
