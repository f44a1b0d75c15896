"""Accuracy against what it costs: bytes, compression rate, clips stored; and seconds by phase."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

from harness.common.units import bytes_text
from results import metrics
from results.figures.panels import Plot, label_left, legend, panels, plain, wrapped
from results.figures.values import cells, collect, means, names
from results.pooling import Pooled
from results.registries import NoData
from results.runs import DoneRun, Runs
from results.style import color, look
from results.table import title_of

# Kinds of phases in the order of drawing. Other kinds come last.
KINDS = ("compressor", "rehearsal", "refresh", "encode", "classifier", "store")
EVALUATE, DRIFT = "evaluate (harness)", "drift probe (harness)"  # time that is not the method's


@dataclass(frozen=True)
class Quantity:
    """What an x axis shows. `of(run)` must be above 0 to be drawn, because the axis is logarithmic."""

    of: Callable[[DoneRun], float]
    label: str
    is_bytes: bool = False


def _accuracy_against(pooled: Pooled, x: dict[str, Quantity], why_empty: str, along: tuple[str, ...]) -> pd.DataFrame:
    """One row per cell and quantity: mean accuracy with interval, and the largest x of its runs.

    `panel` is the condition without the keys that begin with one of `along`, because these move a point along x.
    """

    def values(run: DoneRun) -> Iterable[dict[str, Any]]:
        accuracy = metrics.final_accuracy(run.record.accuracy)
        return [{"quantity": name, "x": each.of(run), "accuracy": accuracy}
                for name, each in x.items() if each.of(run) > 0]  # fmt: skip

    data = collect(pooled, values, why_empty)
    largest = data.groupby(["method", "condition", "quantity"], sort=False)["x"].max().reset_index()
    bounds = {cell.name for cell in cells(pooled) if cell.bound}
    rest = {
        title_of(cell.condition or ()): title_of([kv for kv in cell.condition or () if not kv[0].startswith(along)])
        for cell in cells(pooled)
    }
    table = means(data, ["quantity"], "accuracy").merge(largest)
    return table.assign(bound=table["method"].isin(bounds), panel=table["condition"].map(rest))


def _scatter(pooled: Pooled, table: pd.DataFrame, x: dict[str, Quantity], front: bool) -> Figure:
    """One line of panels per condition, one panel per quantity. The points of one method are joined.

    `front` draws the Pareto front of the methods under a budget.
    """
    rows = names(pooled)
    placed = [(panel, quantity) for panel in dict.fromkeys(table["panel"]) for quantity in x]
    columns = len(x) if len(x) > 1 else 3
    figure, axes = panels([panel for panel, _ in placed], columns=columns, size=(4.4, 3.5))
    for axis, (panel, quantity) in zip(axes, placed, strict=False):
        part = _side_by_side(table[(table["quantity"] == quantity) & (table["panel"] == panel)])
        for name in [name for name in rows if name in set(part["method"])]:
            points = part[part["method"] == name].sort_values("x")
            error = (100 * points["half_width"]).fillna(0)
            axis.errorbar(points["at"], 100 * points["mean"], yerr=error, capsize=2, elinewidth=1, label=plain(name),
                          **look(rows[name], pooled.rows))  # fmt: skip
        best = pareto_front(part[~part["bound"].astype(bool)])
        if front and len(best) > 1:
            axis.step(best["at"], 100 * best["mean"], where="post", color="0.6", linewidth=4, alpha=0.4, zorder=0,
                      label="Pareto front of the means")  # fmt: skip
        if len(part):
            _log_axis(axis, part["at"], x[quantity].is_bytes)
        axis.set_xlabel(x[quantity].label)
    low = (100 * (table["mean"] - table["half_width"].fillna(0))).min()
    axes[0].set_ylim(max(-2, low - 4), 102)  # an interval may end beyond what an accuracy can be
    label_left(axes, "final accuracy (%)")
    legend(figure, axes)
    return figure


def _side_by_side(points: pd.DataFrame) -> pd.DataFrame:
    """Add a column `at`: where a point is drawn on the x axis, so that points at (nearly) equal x do not overlap."""
    if points.empty:
        return points.assign(at=points["x"])
    step = 0.025 * math.log(points["x"].max() / points["x"].min() * 2.25)
    ordered = points.sort_values("x", kind="stable")
    logs = ordered["x"].map(math.log)
    group = (logs.diff() > step / 2).cumsum()
    place = ordered.groupby(group)["method"].transform(lambda methods: pd.factorize(methods)[0])
    place -= place.groupby(group).transform("max") / 2
    return points.assign(at=(logs + step * place).map(math.exp))


def _log_axis(axis: Any, x: pd.Series, are_bytes: bool) -> None:
    """Make the x axis logarithmic and just wide enough, with as many plain numbers or byte sizes as fit."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    axis.set_xscale("log")
    axis.set_xlim(x.min() / 1.5, x.max() * 1.5)
    decades = math.log10(x.max() / x.min()) + 0.35
    subs = (1, 2, 5) if decades < 2 else (1, 3) if decades < 3 else (1,)
    axis.xaxis.set_major_locator(LogLocator(subs=subs) if decades > 0.8 else MaxNLocator(4, steps=[1, 2, 5, 10]))
    axis.xaxis.set_minor_locator(NullLocator())
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: bytes_text(value) if are_bytes else f"{value:,.0f}"))


def pareto_front(points: pd.DataFrame) -> pd.DataFrame:
    """The Pareto front: points with a higher `mean` than every point of equal or smaller `x`, by rising x."""
    ordered = points.sort_values(["x", "mean"], ascending=[True, False])
    before = ordered["mean"].cummax().shift(fill_value=-math.inf)
    return ordered[ordered["mean"] > before]


def accuracy_bytes(runs: Runs, pooled: Pooled) -> Plot:
    """Bytes carried, and carried with the live model. A method that carries nothing is not drawn on the log axis."""
    quantities = {
        "carried": Quantity(lambda run: run.record.memory.carried_max, "bytes carried", is_bytes=True),
        "total": Quantity(lambda run: run.record.memory.total, "bytes carried and live", is_bytes=True),
    }
    table = _accuracy_against(pooled, quantities, "no run carries anything", ("memory.",))
    shown = {key: each for key, each in quantities.items() if key in set(table["quantity"])}
    return _scatter(pooled, table, shown, front=True), table


def compression_rate(config: dict[str, Any]) -> float:
    """The compressor's rate: raw bytes of a patch (uint8 RGB) over the bytes of its code, without labels and ids."""
    compressor = config.get("compressor", {})
    try:
        raw_bits = 8 * 3 * math.prod(compressor["patch"])
        return float(raw_bits / (compressor["n_codebooks"] * math.ceil(math.log2(compressor["entries"]))))
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return math.nan


def accuracy_rate(runs: Runs, pooled: Pooled) -> Plot:
    """For methods that trained a compressor, at more than one rate."""

    def rate(run: DoneRun) -> float:
        return compression_rate(run.config) if run.record.steps_of("compressor") else math.nan

    why = "no run trained a compressor whose rate the configuration tells"
    quantity = {"rate": Quantity(rate, "compression rate (raw bytes / code bytes)")}
    table = _accuracy_against(pooled, quantity, why, ("compressor.patch", "compressor.n_codebooks"))
    if table["x"].nunique() < 2:
        raise NoData(f"all codes have one compression rate, {table['x'].iloc[0]:.0f}")
    return _scatter(pooled, table, quantity, front=False), table


def accuracy_buffer(runs: Runs, pooled: Pooled) -> Plot:
    """Accuracy against the number of clips in the buffer at the end."""

    def stored(run: DoneRun) -> float:
        return run.record.memory.clips_stored or math.nan

    quantity = {"clips": Quantity(stored, "clips stored at the end")}
    table = _accuracy_against(pooled, quantity, "no run has a buffer", ("memory.",))
    return _scatter(pooled, table, quantity, front=False), table


def cost(runs: Runs, pooled: Pooled) -> Plot:
    """Mean wall seconds of a run by kind of phase, stacked. Evaluation and the drift probe stand apart."""
    from seaborn import color_palette

    def values(run: DoneRun) -> Iterable[dict[str, Any]]:
        seconds = run.record.seconds
        times = {**seconds.by_phase, EVALUATE: seconds.evaluate, DRIFT: seconds.drift}
        kinds.update({phase: run.record.kind_of(phase) for phase in seconds.by_phase})
        return [{"phase": phase, "seconds": s} for phase, s in times.items()]

    kinds: dict[str, str] = {}
    table = means(collect(pooled, values, "no run is done"), ["phase"], "seconds")
    conditions = list(dict.fromkeys(table["condition"]))
    methods = [list(dict.fromkeys(table[table["condition"] == condition]["method"])) for condition in conditions]
    longest = table.groupby(["condition", "method"])["mean"].sum().max()
    heights = [0.8 + 0.26 * len(each) for each in methods]
    figure = Figure(figsize=(8, sum(heights) + 0.3))
    axes = figure.subplots(len(conditions), 1, squeeze=False, sharex=True, gridspec_kw={"height_ratios": heights})
    # A phase has one color everywhere. It is no method's color, because those stand for methods.
    phases = [phase for kind in KINDS for phase in (kind, *(p for p, k in kinds.items() if k == kind))]
    phases = list(dict.fromkeys([*phases, EVALUATE, DRIFT, *table["phase"]]))
    shades = dict(zip(phases, color_palette("Set3", len(phases)), strict=True))
    shades = {phase: shades[phase] for phase in phases if phase in set(table["phase"])}
    for axis, condition, shown in zip(axes.flat, conditions, methods, strict=True):
        part = table[table["condition"] == condition]
        _stack(axis, part.pivot(index="method", columns="phase", values="mean").fillna(0.0).loc[shown], shades)
        axis.set_title(wrapped(condition, 90))
        for tick, method in zip(axis.get_yticklabels(), shown, strict=True):
            tick.set_color(color(names(pooled)[method][0]))
    axes.flat[0].set_xlim(0, 1.03 * longest)
    axes.flat[-1].set_xlabel("wall seconds of a run, mean")
    legend(figure, list(axes.flat))
    return figure, table


def _stack(axis: Any, seconds: pd.DataFrame, shades: dict[str, Any]) -> None:
    """One bar per row, with its columns laid end to end."""
    left = 0.0 * seconds.iloc[:, 0]
    for phase in [phase for phase in shades if phase in seconds]:
        hatch = "///" if phase in (EVALUATE, DRIFT) else None
        axis.barh(range(len(seconds)), seconds[phase], left=left, color=shades[phase], label=plain(phase), hatch=hatch)
        left = left + seconds[phase]
    axis.set_yticks(range(len(seconds)), [plain(name) for name in seconds.index])
    axis.set_ylim(len(seconds) - 0.4, -0.6)
    axis.grid(False, axis="y")
