"""Lines over tasks or steps: accuracy, forgetting, drift, training loss."""

import json
import math
from collections.abc import Iterable
from typing import Any

import pandas as pd
from matplotlib.ticker import MaxNLocator

from results import metrics
from results.figures import NoData
from results.figures.frames import collect, legend, means, names, panels, plain
from results.load import Loaded, Run
from results.pooling import Pooled
from results.style import look


def _lines(
    pooled: Pooled,
    table: pd.DataFrame,
    x: str,
    labels: tuple[str, str],
    within: tuple[float, float],
    scale: float = 100.0,
):
    """A panel a condition, a line a method with its band; `scale` turns shares into per cent.

    `within`: what the quantity can be (after scaling). Bands of few runs reach beyond it, or dwarf the lines: they are
    cut at the frame, and the CSV has them whole.
    """
    figure, placed = panels(table)
    rows = names(pooled)
    for axis, condition in placed:
        part = table[table["condition"] == condition]
        for name in [name for name in rows if name in set(part["method"])]:
            line = part[part["method"] == name].sort_values(x)
            style = look(rows[name], pooled.rows)
            axis.plot(line[x], scale * line["mean"], label=plain(name), **style)
            low, high = line["mean"] - line["half_width"], line["mean"] + line["half_width"]
            axis.fill_between(line[x], scale * low, scale * high, color=style["color"], alpha=0.15, linewidth=0)
        axis.set_xlabel(labels[0])
        axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    low, high = scale * table["mean"].min(), scale * table["mean"].max()
    room = max(0.15 * (high - low), 0.02 * max(abs(low), abs(high)), 1e-3)
    placed[0][0].set_ylim(max(within[0], low - room), min(within[1], high + room))
    placed[0][0].set_ylabel(labels[1])
    legend(figure, [axis for axis, _ in placed])
    return figure


def accuracy_over_tasks(loaded: Loaded, pooled: Pooled):
    """Task mean over the tasks seen, after each task. A run measured at the end only is one point."""

    def values(run: Run) -> Iterable[dict[str, Any]]:
        stages = metrics.stage_accuracy(run.record["accuracy"])
        return [{"tasks": i + 1, "accuracy": v} for i, v in enumerate(stages) if not math.isnan(v)]

    table = means(collect(pooled, values, "no accuracy was measured"), ["tasks"], "accuracy")
    return _lines(pooled, table, "tasks", ("tasks learnt", "accuracy on the tasks learnt (%)"), (-2, 102)), table


def forgetting_by_task(loaded: Loaded, pooled: Pooled):
    """R[j, j] - R[T-1, j] for each task j before the last."""

    def values(run: Run) -> Iterable[dict[str, Any]]:
        drops = metrics.forgetting_by_task(run.record["accuracy"])
        return [{"task": j + 1, "forgetting": v} for j, v in enumerate(drops) if not math.isnan(v)]

    data = collect(pooled, values, "no run has an accuracy right after learning and at the end")
    table = means(data, ["task"], "forgetting")
    return _lines(pooled, table, "task", ("task", "forgetting (points)"), (-102, 102)), table


def drift(loaded: Loaded, pooled: Pooled):
    """Latent shift before the refresh and at the end of the task; 1: a stored code says no more than another clip's."""

    def values(run: Run) -> Iterable[dict[str, Any]]:
        record = run.record["drift"] or {}
        return [
            {"when": when, "task": i + 1, "latent_shift": value}
            for when, key in (("before the refresh", "latent_shift_before"), ("after the task", "latent_shift_after"))
            for i, value in enumerate(record.get(key) or ())
            if value is not None
        ]

    table = means(
        collect(pooled, values, "no run has codes whose drift was measured"), ["when", "task"], "latent_shift"
    )
    whens = list(dict.fromkeys(table["when"]))
    # Conditions and moments are panels alike: 'before' and 'after' of one condition stand side by side.
    shown = table.assign(condition=[f"{c}, {w}".removeprefix(", ") for c, w in zip(
        table["condition"], table["when"], strict=True)])  # fmt: skip
    order = [f"{c}, {w}".removeprefix(", ") for c in dict.fromkeys(table["condition"]) for w in whens]
    shown = shown.sort_values("condition", key=lambda s: s.map(order.index), kind="stable")
    figure = _lines(pooled, shown, "task", ("task", "latent shift of stored codes"), (-0.02, math.inf), scale=1.0)
    return figure, table


def training(loaded: Loaded, pooled: Pooled):
    """Loss over the steps of the whole run, a panel a phase, first replicate of each method and condition."""
    seen: set[tuple[str, str]] = set()
    parts = []
    every = collect(pooled, lambda run: [{"folder": str(run.folder)}], "no run is done")
    for run in every.sort_values(["order_seed", "seed"], kind="stable").to_dict("records"):
        key = (run["method"], run["condition"])
        lines = [] if key in seen else _steps(run["folder"])
        if lines:
            seen.add(key)
            parts += [{"method": key[0], "at": key[1], **line} for line in lines]
    if not parts:
        raise NoData("no run kept its steps.jsonl")
    table = pd.DataFrame(parts)
    table["condition"] = [f"{at}, {p}".removeprefix(", ") for at, p in zip(table["at"], table["phase"], strict=True)]
    figure, placed = panels(table)
    rows = names(pooled)
    for axis, condition in placed:
        part = table[table["condition"] == condition]
        for name in [name for name in rows if name in set(part["method"])]:
            line = part[part["method"] == name]
            style = look(rows[name], pooled.rows) | {"marker": None, "linewidth": 1}
            axis.plot(line["progress"], line["loss"], label=plain(name), **style)
        axis.set_xlabel("tasks trained")
        axis.set_yscale("log" if (part["loss"] > 0).all() else "linear")
    placed[0][0].set_ylabel("loss")
    legend(figure, [axis for axis, _ in placed])
    return figure, table.drop(columns="condition").rename(columns={"at": "condition"})


def _steps(folder: str) -> list[dict[str, Any]]:
    """Lines with a loss; `progress` counts tasks from 0, with the share of the phase done. Broken lines are skipped."""
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
