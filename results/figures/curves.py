"""Lines over tasks or steps: accuracy, forgetting, drift, training loss."""

import json
import math
from collections.abc import Iterable
from typing import Any

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from results import metrics
from results.figures.panels import Plot, label_left, legend, panels, plain
from results.figures.values import collect, means, names
from results.pooling import Pooled
from results.registries import NoData
from results.runs import DoneRun, Runs
from results.style import look


def _panels(
    pooled: Pooled,
    table: pd.DataFrame,
    x: str,
    labels: tuple[str, str],
    within: tuple[float, float],
    columns: int = 3,
    bars: bool = False,
    scale: float = 100.0,
    sharey: bool | str = True,
) -> Figure:
    """One panel per condition, one line per method with its 95 % band. With `bars`: points side by side.

    `scale` turns shares into per cent. `within`: the smallest and largest possible value, after scaling. Intervals of
    few runs can be much wider than the means; they are cut at the frame, and the CSV has them whole.
    """
    conditions = list(dict.fromkeys(table["condition"]))
    figure, axes = panels(conditions, (6.4, 3.4) if bars else (4.2, 3.4), columns, sharey)
    rows = names(pooled)
    for axis, condition in zip(axes, conditions, strict=False):
        part = table[table["condition"] == condition]
        shown = [name for name in rows if name in set(part["method"])]
        for place, name in enumerate(shown):
            line = part[part["method"] == name].sort_values(x)
            style = look(rows[name], pooled.rows)
            mean, half = scale * line["mean"], scale * line["half_width"]
            if bars:
                at = line[x] + 0.8 * ((place + 0.5) / len(shown) - 0.5)
                axis.errorbar(at, mean, yerr=half.fillna(0), label=plain(name), elinewidth=1,
                              **style | {"linestyle": "none"})  # fmt: skip
                continue
            axis.plot(line[x], mean, label=plain(name), **style)
            shade = 0.15 if len(shown) < 6 else 0.07
            axis.fill_between(line[x], mean - half, mean + half, color=style["color"], alpha=shade, linewidth=0)
        axis.set_xlabel(labels[0])
        axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        if bars:
            axis.grid(False, axis="x")
            for edge in range(2, int(part[x].max()) + 1):
                axis.axvline(edge - 0.5, color="0.85", linewidth=0.8)
    together = len(axes) if sharey is True else columns if sharey == "row" else 1
    for first in range(0, len(axes), together):
        here = conditions if sharey is True else conditions[first : first + together]
        _limit(axes[first], scale * table.loc[table["condition"].isin(here), "mean"], within)
    label_left(axes, labels[1])
    legend(figure, axes)
    return figure


def _limit(axis: Any, values: pd.Series, within: tuple[float, float]) -> None:
    """Make the y axis somewhat wider than the range of the means."""
    low, high = values.min(), values.max()
    room = max(0.15 * (high - low), 0.02 * max(abs(low), abs(high)), 1e-3)
    axis.set_ylim(max(within[0], low - room), min(within[1], high + room))


def accuracy_over_tasks(runs: Runs, pooled: Pooled) -> Plot:
    """The mean over the tasks seen, after each task. A run that was measured only at the end is one point."""

    def values(run: DoneRun) -> Iterable[dict[str, Any]]:
        stages = metrics.stage_accuracy(run.record.accuracy)
        return [{"tasks": i + 1, "accuracy": v} for i, v in enumerate(stages) if not math.isnan(v)]

    table = means(collect(pooled, values, "no accuracy was measured"), ["tasks"], "accuracy")
    return _panels(pooled, table, "tasks", ("tasks learnt", "accuracy on the tasks learnt (%)"), (-2, 102)), table


def forgetting_by_task(runs: Runs, pooled: Pooled) -> Plot:
    """R[j, j] - R[T-1, j] for each task j before the last."""

    def values(run: DoneRun) -> Iterable[dict[str, Any]]:
        drops = metrics.forgetting_by_task(run.record.accuracy)
        return [{"task": j + 1, "forgetting": v} for j, v in enumerate(drops) if not math.isnan(v)]

    data = collect(pooled, values, "no run has an accuracy right after learning and at the end")
    table = means(data, ["task"], "forgetting")
    labels = ("task, in the order of learning", "forgetting (points)")
    return _panels(pooled, table, "task", labels, (-102, 102), columns=2, bars=True), table


def drift(runs: Runs, pooled: Pooled) -> Plot:
    """Latent shift before the refresh and after the task. 0: none; 1: a stored code is as far off as another clip's."""

    def values(run: DoneRun) -> Iterable[dict[str, Any]]:
        return [
            {"when": when, "task": i + 1, "latent_shift": value}
            for when, key in (("before the refresh", "latent_shift_before"), ("after the task", "latent_shift_after"))
            for i, value in enumerate(run.record.drift_of(key))
            if value is not None
        ]

    table = means(
        collect(pooled, values, "no run has codes whose drift was measured"), ["when", "task"], "latent_shift"
    )
    # Conditions and moments are panels alike: 'before' and 'after' of one condition stand side by side.
    order = [(c, w) for c in dict.fromkeys(table["condition"]) for w in ("before the refresh", "after the task")]
    shown = pd.concat([
        table[(table["condition"] == c) & (table["when"] == w)].assign(condition=f"{c}\n{w}".strip()) for c, w in order
    ])  # fmt: skip
    labels = ("task", "latent shift of stored codes\n(0 none, 1 as far as another clip's)")
    figure = _panels(pooled, shown, "task", labels, (-0.02, math.inf), columns=2, scale=1.0, sharey="row")
    return figure, table


def reported(runs: Runs, pooled: Pooled) -> Plot:
    """Numbers that methods report of themselves after each task, or their steps log, a panel a condition and number."""

    def values(run: DoneRun) -> Iterable[dict[str, Any]]:
        return [{"quantity": name, "task": i + 1, "value": value}
                for name, series in (*run.record.reported.items(), *run.record.logged.items())
                for i, value in enumerate(series)
                if value is not None]  # fmt: skip

    table = means(
        collect(pooled, values, "no method reports or logs numbers of its own"), ["quantity", "task"], "value"
    )
    titles = [f"{c}\n{q}".strip() for c, q in zip(table["condition"], table["quantity"], strict=True)]
    figure = _panels(pooled, table.assign(condition=titles), "task", ("task", "value"),
                     (-math.inf, math.inf), scale=1.0, sharey=False)  # fmt: skip
    return figure, table


def training(runs: Runs, pooled: Pooled) -> Plot:
    """The loss over the steps of the whole run, one panel per phase; first replicate of each method and condition."""
    seen: set[tuple[str, str]] = set()
    parts = []
    every = collect(pooled, lambda run: [{"folder": str(run.folder)}], "no run is done")
    for run in every.sort_values(["order_seed", "seed"], kind="stable").to_dict("records"):
        key = (run["method"], run["condition"])
        lines = [] if key in seen else _steps(run["folder"])
        if lines:
            seen.add(key)
            parts += [{"method": key[0], "condition": key[1], **line} for line in lines]
    if not parts:
        raise NoData("no run kept its steps.jsonl")
    table = pd.DataFrame(parts)
    phases = list(dict.fromkeys(table["phase"]))
    placed = [(c, p) for c in dict.fromkeys(table["condition"]) for p in phases]
    # The losses of two phases cannot be compared, so they share no axis.
    figure, axes = panels([f"{c}\n{p}".strip() for c, p in placed], columns=min(3, len(phases)), sharey=False)
    rows = names(pooled)
    for axis, (condition, phase) in zip(axes, placed, strict=False):
        part = table[(table["condition"] == condition) & (table["phase"] == phase)]
        for name in [name for name in rows if name in set(part["method"])]:
            line = part[part["method"] == name]
            style = look(rows[name], pooled.rows) | {"marker": None, "linewidth": 1}
            axis.plot(line["progress"], line["loss"], label=plain(name), **style)
        axis.set_xlabel("tasks trained")
        axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axis.set_yscale("log" if len(part) and (part["loss"] > 0).all() else "linear")
    label_left(axes, "training loss")
    legend(figure, axes)
    return figure, table


def _steps(folder: str) -> list[dict[str, Any]]:
    """The lines of steps.jsonl that have a loss; broken lines are skipped. `progress` counts tasks, with fractions."""
    lines = []
    try:
        with open(f"{folder}/steps.jsonl", encoding="utf-8") as file:
            for text in file:
                try:
                    line = json.loads(text)
                    loss = float(line["loss"])
                    progress = int(line["experience"]) + int(line["step"]) / int(line["steps"])
                except (ValueError, KeyError, TypeError, ZeroDivisionError):
                    continue
                if math.isfinite(loss):
                    lines.append({"phase": str(line["phase"]), "experience": line["experience"], "step": line["step"],
                                  "progress": progress, "loss": loss})  # fmt: skip
    except OSError:
        return []
    return lines
