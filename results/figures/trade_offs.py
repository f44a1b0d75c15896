"""Accuracy against what it costs: bytes, compression rate, clips stored; and seconds by phase."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import pandas as pd

from results import metrics
from results.figures import NoData
from results.figures.frames import cells, collect, legend, means, names, plain
from results.load import Loaded, Run
from results.pooling import Pooled, bytes_text
from results.style import colour, look


def _accuracy_against(pooled: Pooled, x: dict[str, Callable[[Run], float]], why_empty: str) -> pd.DataFrame:
    """A row a cell and quantity: mean accuracy with interval, and the largest x of its runs."""

    def values(run: Run) -> Iterable[dict[str, Any]]:
        accuracy = metrics.final_accuracy(run.record["accuracy"])
        return [{"quantity": name, "x": of(run), "accuracy": accuracy} for name, of in x.items() if of(run) > 0]

    data = collect(pooled, values, why_empty)
    largest = data.groupby(["method", "condition", "quantity"], sort=False)["x"].max().reset_index()
    bounds = {cell.name for cell in cells(pooled) if cell.bound}
    table = means(data, ["quantity"], "accuracy").merge(largest)
    return table.assign(bound=table["method"].isin(bounds))


def _scatter(pooled: Pooled, table: pd.DataFrame, labels: dict[str, str], front: bool):
    """A panel a quantity, points of one method joined by a line; the Pareto front of methods under a budget."""
    from matplotlib import pyplot

    rows = names(pooled)
    figure, axes = pyplot.subplots(1, len(labels), figsize=(4.2 * len(labels) + 1.2, 3.2), squeeze=False, sharey=True)
    for axis, (quantity, label) in zip(axes[0], labels.items(), strict=True):
        part = table[table["quantity"] == quantity]
        for name in [name for name in rows if name in set(part["method"])]:
            points = part[part["method"] == name].sort_values("x")
            style = look(rows[name], pooled.rows)
            error = (100 * points["half_width"]).fillna(0)
            axis.errorbar(points["x"], 100 * points["mean"], yerr=error, capsize=2, label=plain(name), **style)
        if front:
            best = pareto_front(part[~part["bound"]])
            if len(best) > 1:
                axis.step(best["x"], 100 * best["mean"], where="post", color="0.6", linewidth=4, alpha=0.4, zorder=0,
                          label="Pareto front of the means")  # fmt: skip
        _log_axis(axis, part["x"], "bytes" in label and "rate" not in label)
        axis.set_xlabel(label)
    axes[0][0].set_ylabel("final accuracy (%)")
    legend(figure, list(axes[0]))
    return figure


def _log_axis(axis: Any, x: pd.Series, are_bytes: bool) -> None:
    """A logarithmic axis just wide enough, with plain numbers or bytes with units."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axis.set_xscale("log")
    axis.set_xlim(x.min() / 1.5, x.max() * 1.5)
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: bytes_text(value) if are_bytes else f"{value:,.0f}"))


def pareto_front(points: pd.DataFrame) -> pd.DataFrame:
    """Points that no other beats in both bytes (x) and mean accuracy, by rising x."""
    ordered = points.sort_values(["x", "mean"], ascending=[True, False])
    before = ordered["mean"].cummax().shift(fill_value=-math.inf)
    return ordered[ordered["mean"] > before]


def accuracy_bytes(loaded: Loaded, pooled: Pooled):
    """Bytes carried, and carried with the live model; a method that carries nothing has no place on a log axis."""
    quantities = {
        "carried": lambda run: run.record["memory"]["carried_max"],
        "total": lambda run: run.record["memory"]["total"],
    }
    table = _accuracy_against(pooled, quantities, "no run carries anything")
    labels = {"carried": "bytes carried", "total": "bytes carried and live"}
    shown = {key: text for key, text in labels.items() if key in set(table["quantity"])}
    return _scatter(pooled, table, shown, front=True), table


def compression_rate(config: dict[str, Any]) -> float:
    """Raw bytes of a patch (uint8 RGB) over the bytes of its code: the compressor's rate, labels and ids apart."""
    compressor = config.get("compressor", {})
    try:
        raw_bits = 8 * 3 * math.prod(compressor["patch"])
        return raw_bits / (compressor["n_codebooks"] * math.ceil(math.log2(compressor["entries"])))
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return math.nan


def accuracy_rate(loaded: Loaded, pooled: Pooled):
    """For methods that trained a compressor, at more than one rate."""

    def rate(run: Run) -> float:
        return compression_rate(run.config) if run.record["work"]["steps"].get("compressor") else math.nan

    table = _accuracy_against(pooled, {"rate": rate}, "no run trained a compressor whose rate the configuration tells")
    if table["x"].nunique() < 2:
        raise NoData(f"all codes have one compression rate, {table['x'].iloc[0]:.0f}")
    return _scatter(pooled, table, {"rate": "compression rate (raw bytes / code bytes)"}, front=False), table


def accuracy_buffer(loaded: Loaded, pooled: Pooled):
    """Against the clips in the buffer at the end."""

    def stored(run: Run) -> float:
        return run.record["memory"]["clips_stored"] or math.nan

    table = _accuracy_against(pooled, {"clips": stored}, "no run has a buffer")
    return _scatter(pooled, table, {"clips": "clips stored at the end"}, front=False), table


def cost(loaded: Loaded, pooled: Pooled):
    """Mean wall seconds of a run by phase, stacked; evaluation and the drift probe are not the method's."""
    from matplotlib import pyplot
    from seaborn import color_palette

    def values(run: Run) -> Iterable[dict[str, Any]]:
        seconds = run.record["seconds"]
        apart = {"evaluate (harness)": seconds["evaluate"], "drift probe (harness)": seconds["drift"]}
        return [{"phase": phase, "seconds": s} for phase, s in {**seconds["by_phase"], **apart}.items()]

    table = means(collect(pooled, values, "no run is done"), ["phase"], "seconds")
    bars = list(dict.fromkeys(zip(table["condition"], table["method"], strict=True)))
    figure, axis = pyplot.subplots(figsize=(7.5, 0.9 + 0.32 * len(bars)))
    left = dict.fromkeys(bars, 0.0)
    usual = ["compressor", "rehearsal", "refresh", "encode", "classifier", "store"]
    phases = list(dict.fromkeys(table["phase"]))
    phases.sort(key=lambda phase: usual.index(phase) if phase in usual else len(usual) + ("harness" in phase))
    # Not the colours of methods: those stand for methods everywhere.
    for phase, shade in zip(phases, color_palette("Set3", len(phases)), strict=True):
        part = {(r.condition, r.method): r.mean for r in table[table["phase"] == phase].itertuples()}
        widths = [part.get(bar, 0.0) for bar in bars]
        hatch = "///" if "harness" in phase else None
        axis.barh(
            range(len(bars)), widths, left=[left[bar] for bar in bars], color=shade, label=plain(phase), hatch=hatch
        )
        for bar, width in zip(bars, widths, strict=True):
            left[bar] += width
    axis.set_yticks(range(len(bars)), [plain(", ".join(filter(None, bar[::-1]))) for bar in bars])
    for tick, (_, method) in zip(axis.get_yticklabels(), bars, strict=True):
        tick.set_color(colour(names(pooled)[method][0]))
    axis.invert_yaxis()
    axis.set_xlabel("wall seconds of a run, whatever else the machine did")
    legend(figure, [axis])
    return figure, table
