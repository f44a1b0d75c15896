"""Plots made of squares: accuracy and confusion matrices, change of each class, filmstrips of decoded clips."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from results.figures.panels import Plot, panels, plain, wrapped
from results.figures.values import cells, collect, means, names
from results.pooling import Pooled, summarise
from results.predictions import confusion as confusion_of
from results.registries import NoData
from results.runs import DoneRun, Runs
from results.table import title_of

MOST_BLOCKS = 4  # conditions side by side; the CSV file holds them all


def _squares(labels: Sequence[tuple[str, str]], size: float, bar: str) -> tuple[Figure, list[Axes]]:
    """Panels for squares of shares, one per (method, condition), with one color bar called `bar`."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    titles = ["\n".join(filter(None, label)) for label in labels]
    figure, axes = panels(titles, (size, size), columns=4, sharey=False)
    for axis in axes:
        axis.title.set_fontsize(7)
    scale = ScalarMappable(Normalize(0, 100), "cividis")
    figure.colorbar(scale, ax=figure.axes, label=bar, shrink=min(1.0, 3 / figure.get_figheight()), aspect=15)
    return figure, axes


def accuracy_matrices(runs: Runs, pooled: Pooled) -> Plot:
    """Mean accuracy on task j (column) after task i (row)."""

    def values(run: DoneRun) -> Iterable[dict[str, Any]]:
        return [
            {"after": i + 1, "task": j + 1, "accuracy": value}
            for i, row in enumerate(run.record.accuracy) for j, value in enumerate(row) if value is not None
        ]  # fmt: skip

    table = means(collect(pooled, values, "no accuracy was measured"), ["after", "task"], "accuracy")
    groups = list(table.groupby(["condition", "method"], sort=False))
    figure, axes = _squares([key[::-1] for key, _ in groups], 2.6, "accuracy (%)")
    for axis, (_, group) in zip(axes, groups, strict=False):
        n = int(group[["after", "task"]].to_numpy().max())
        matrix = group.pivot(index="after", columns="task", values="mean").reindex(range(1, n + 1), axis=0)
        matrix = 100 * matrix.reindex(range(1, n + 1), axis=1)
        _shares(axis, matrix.to_numpy(), numbers=n <= 10)
        tasks = range(0, n, max(1, n // 10))
        axis.set_xticks(tasks, [str(task + 1) for task in tasks])
        axis.set_yticks(tasks, [str(task + 1) for task in tasks])
        axis.set(xlabel="task", ylabel="after task")
    return figure, table


def _shares(axis: Any, matrix: np.ndarray, numbers: bool) -> None:
    """Draw shares as squares in per cent; NaN stays white. seaborn's heatmap is slow: it lays out the whole figure."""
    axis.imshow(matrix, vmin=0, vmax=100, cmap="cividis")
    for i, j in np.argwhere(~np.isnan(matrix)) if numbers else ():
        shade = "black" if matrix[i, j] > 50 else "white"
        axis.text(j, i, f"{matrix[i, j]:.0f}", ha="center", va="center", size=6, color=shade)
    axis.tick_params(labelsize=6)
    axis.grid(False)
    for spine in axis.spines.values():
        spine.set_visible(False)


def confusion(runs: Runs, pooled: Pooled) -> Plot:
    """Share of each class's items (row) put into each class (column) after the last task, summed over replicates.

    Classes stand in the order of learning where all runs share it, else by name.
    """
    parts, found = [], []
    for cell in cells(pooled):
        sums: dict[tuple[str, str], int] = {}
        orders = {tuple(name for task in run.record.class_order for name in task) for run in cell.done}
        order = list(next(iter(orders))) if len(orders) == 1 else sorted(set().union(*orders))
        for run in cell.done:
            try:
                counts, classes = confusion_of(run)
            except (OSError, ValueError):
                continue
            for i, j in np.argwhere(counts):
                key = (classes[i], classes[j])
                sums[key] = sums.get(key, 0) + int(counts[i, j])
        if sums:
            place = {name: i for i, name in enumerate(order)}
            matrix = np.zeros((len(order), len(order)))
            for (target, taken), count in sums.items():
                matrix[place[target], place[taken]] = count
                parts.append({"method": cell.name, "condition": title_of(cell.condition or ()), "target": target,
                              "prediction": taken, "items": count})  # fmt: skip
            label = (cell.name, title_of(cell.condition or ()))
            found.append((label, order, 100 * matrix / np.maximum(matrix.sum(1, keepdims=True), 1)))
    if not found:
        raise NoData("no run kept its predictions.npz")
    figure, axes = _squares([label for label, _, _ in found], 2.9, "share of the class's test items (%)")
    for axis, (_, order, shares) in zip(axes, found, strict=False):
        few = len(order) <= 12
        ticks = [plain(name, 20) for name in order] if few else []
        _shares(axis, shares, numbers=False)
        axis.set_xticks(range(len(ticks)), ticks, rotation=90)
        axis.set_yticks(range(len(ticks)), ticks)
        axis.set(xlabel="prediction", ylabel="class" if few else f"class ({len(order)}, names in the CSV)")
    return figure, pd.DataFrame(parts)


def per_class(runs: Runs, pooled: Pooled) -> Plot:
    """Accuracy at the end minus right after learning, by class, mean over replicates."""
    import seaborn

    def values(run: DoneRun) -> Iterable[dict[str, Any]]:
        for task, classes in enumerate(run.record.class_order[:-1]):
            for name in classes:
                series = run.record.per_class.get(name) or [None]
                learnt, end = series[task if len(series) > 1 else 0], series[-1]
                if learnt is not None and end is not None:
                    yield {"class": name, "change": end - learnt}

    data = collect(pooled, values, "no class was measured right after learning and at the end")
    rows = []
    for (condition, method, name), group in data.groupby(["condition", "method", "class"], sort=False):
        # The last task's classes have no change, and the order says which these are: n differs between classes.
        summary = summarise(list(zip(group["order_seed"], group["seed"], group["change"], strict=True)))
        rows.append({"condition": condition, "method": method, "class": name, "mean": summary.mean,
                     "half_width": summary.half_width, "n": summary.n})  # fmt: skip
    table = pd.DataFrame(rows)
    conditions = list(dict.fromkeys(table["condition"]))[:MOST_BLOCKS]
    wides = [_wide(table[table["condition"] == condition], pooled) for condition in conditions]
    height = 1.6 + 0.16 * max(map(len, wides))
    widths = [max(3.2, 1.6 + 0.42 * wide.shape[1]) for wide in wides]
    figure = Figure(figsize=(sum(widths) + 1, height))
    axes = figure.subplots(1, len(wides), squeeze=False, gridspec_kw={"width_ratios": widths})
    for axis, wide, condition, width in zip(axes[0], wides, conditions, widths, strict=True):
        last = axis is axes[0][-1]
        seaborn.heatmap(wide, ax=axis, cmap="vlag", center=0, vmin=-100, vmax=100, annot=True, fmt=".0f",
                        annot_kws={"size": 6}, cbar=last, cbar_kws={"label": "change (points)"})  # fmt: skip
        axis.set_yticks(np.arange(len(wide)) + 0.5, [plain(str(name), 40) for name in wide.index], size=6)
        axis.set_xticks(np.arange(wide.shape[1]) + 0.5, [plain(name, 40) for name in wide.columns],
                        rotation=90, size=7)  # fmt: skip
        axis.grid(False)
        few = len(wide) < table.loc[table["condition"] == condition, "class"].nunique()
        axis.set(xlabel="", ylabel="30 worst and 30 best classes" if few else "")
        axis.set_title(wrapped(condition, int(10 * width)))
    return figure, table


def _wide(part: pd.DataFrame, pooled: Pooled) -> pd.DataFrame:
    """Change in points, a row a class (worst first, the middle ones left out of many), a column a method."""
    wide = 100 * part.pivot(index="class", columns="method", values="mean")
    wide = wide[[name for name in names(pooled) if name in wide.columns]]
    wide = wide.loc[wide.mean(axis=1).sort_values().index]
    return wide if len(wide) <= 60 else pd.concat([wide.head(30), wide.tail(30)])


def filmstrip(runs: Runs, pooled: Pooled) -> Plot:
    """The middle frame of the same stored clips, original and as decoded after each task; one block per method.

    From filmstrip.npz of a run: `original` uint8 [K, H, W, 3], `decoded` uint8 [T, K, H, W, 3], `stored` bool [T, K],
    `sample_id` [K].
    """
    strips, rows = [], []
    for cell in cells(pooled):
        for run in sorted(cell.done, key=lambda run: (run.order_seed, run.seed)):
            strip = _read_filmstrip(run)
            if strip is not None:
                strips.append((f"{cell.name}\n{title_of(cell.condition or ())}".strip(), strip))
                error = ((strip["decoded"].astype(float) - strip["original"]) ** 2).mean((2, 3, 4))
                rows += [
                    {"method": cell.name, "condition": title_of(cell.condition or ()), "run_id": run.run_id,
                     "sample_id": str(strip["sample_id"][k]), "after": t + 1, "psnr": _psnr(error[t, k])}
                    for t, k in np.argwhere(strip["stored"])
                ]  # fmt: skip
                break
    if not strips:
        raise NoData("no run saved a filmstrip.npz")
    strips = strips[:6]
    n_columns = 1 + max(len(strip["decoded"]) for _, strip in strips)
    n_clips = [min(3, len(strip["original"])) for _, strip in strips]
    figure = Figure(figsize=(0.8 * n_columns + 1, 0.85 * sum(n_clips)))
    axes = figure.subplots(sum(n_clips), n_columns, squeeze=False)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
        axis.grid(False)
    line = 0
    for (name, strip), n in zip(strips, n_clips, strict=True):
        for k in range(n):
            axes[line][0].imshow(strip["original"][k])
            label = wrapped(name, 24) if k == 0 else ""
            axes[line][0].set_ylabel(label, rotation=0, ha="right", va="center", size=7)
            for t in range(len(strip["decoded"])):
                axes[line][t + 1].imshow(strip["decoded"][t, k]) if strip["stored"][t, k] else None
            line += 1
    for t, axis in enumerate(axes[0]):
        axis.set_title("original" if t == 0 else f"after task {t}", size=7)
    return figure, pd.DataFrame(rows)


def _psnr(error: float) -> float:
    """Peak signal-to-noise ratio in dB, 10 log10(255^2 / MSE) (ITU-T J.247), of a mean squared error of pixels."""
    return float(10 * np.log10(255**2 / max(error, 1e-6)))


def _read_filmstrip(run: DoneRun) -> dict[str, np.ndarray] | None:
    try:
        with np.load(run.folder / "filmstrip.npz", allow_pickle=False) as file:
            strip = {name: file[name] for name in ("original", "decoded", "stored", "sample_id")}
    except (OSError, ValueError, KeyError, EOFError):
        return None
    t, k = strip["stored"].shape if strip["stored"].ndim == 2 else (0, 0)
    fits = strip["decoded"].shape[:2] == (t, k) and strip["decoded"].shape[1:] == strip["original"].shape
    return strip if fits and t and k and strip["decoded"].dtype == np.uint8 else None
