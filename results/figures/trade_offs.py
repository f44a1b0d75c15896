"""Accuracy against what it costs: bytes, compression rate, clips stored; and seconds by phase."""

import math
from collections.abc import Callable, Iterable
from typing import Any

import pandas as pd

from results import metrics
from results.figures import NoData
from results.figures.collect import cells, collect, label_left, legend, means, names, panels, plain, wrapped
from results.load import Loaded, Run
from results.pooling import Pooled, bytes_text
from results.style import colour, look
from results.tables import title_of

# In the order of drawing; phases that a method of one's own adds come last.
PHASES = ("compressor", "rehearsal", "refresh", "encode", "classifier", "store", "evaluate (harness)",
          "drift probe (harness)")  # fmt: skip


def _accuracy_against(
    pooled: Pooled, x: dict[str, Callable[[Run], float]], why_empty: str, along: tuple[str, ...]
) -> pd.DataFrame:
    """A row a cell and quantity: mean accuracy with interval, and the largest x of its runs.

    `panel` is the condition without the keys that begin with one of `along`: those move a point along x.
    """

    def values(run: Run) -> Iterable[dict[str, Any]]:
        accuracy = metrics.final_accuracy(run.record["accuracy"])
        return [{"quantity": name, "x": of(run), "accuracy": accuracy} for name, of in x.items() if of(run) > 0]

    data = collect(pooled, values, why_empty)
    largest = data.groupby(["method", "condition", "quantity"], sort=False)["x"].max().reset_index()
    bounds = {cell.name for cell in cells(pooled) if cell.bound}
    rest = {
        title_of(cell.condition or ()): title_of([kv for kv in cell.condition or () if not kv[0].startswith(along)])
        for cell in cells(pooled)
    }
    table = means(data, ["quantity"], "accuracy").merge(largest)
    return table.assign(bound=table["method"].isin(bounds), panel=table["condition"].map(rest))


def _scatter(pooled: Pooled, table: pd.DataFrame, labels: dict[str, str], front: bool):
    """A line of panels a condition, a panel a quantity; points of one method that differ along x are joined.

    `front` draws the Pareto front of the methods under a budget.
    """
    rows = names(pooled)
    placed = [(panel, quantity) for panel in dict.fromkeys(table["panel"]) for quantity in labels]
    columns = len(labels) if len(labels) > 1 else 3
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
            _log_axis(axis, part["at"], "bytes" in labels[quantity] and "rate" not in labels[quantity])
        axis.set_xlabel(labels[quantity])
    low = (100 * (table["mean"] - table["half_width"].fillna(0))).min()
    axes[0].set_ylim(max(-2, low - 4), 102)  # an interval may end beyond what an accuracy can be
    label_left(axes, "final accuracy (%)")
    legend(figure, axes)
    return figure


def _side_by_side(points: pd.DataFrame) -> pd.DataFrame:
    """A column `at`: where on the logarithmic axis a point is drawn, so that methods at (nearly) equal x all show."""
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
    """A logarithmic axis just wide enough, with plain numbers or bytes with units, as many as fit."""
    from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

    axis.set_xscale("log")
    axis.set_xlim(x.min() / 1.5, x.max() * 1.5)
    decades = math.log10(x.max() / x.min()) + 0.35
    subs = (1, 2, 5) if decades < 2 else (1, 3) if decades < 3 else (1,)
    axis.xaxis.set_major_locator(LogLocator(subs=subs) if decades > 0.8 else MaxNLocator(4, steps=[1, 2, 5, 10]))
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
    table = _accuracy_against(pooled, quantities, "no run carries anything", ("memory.",))
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

    why = "no run trained a compressor whose rate the configuration tells"
    table = _accuracy_against(pooled, {"rate": rate}, why, ("compressor.patch", "compressor.n_codebooks"))
    if table["x"].nunique() < 2:
        raise NoData(f"all codes have one compression rate, {table['x'].iloc[0]:.0f}")
    return _scatter(pooled, table, {"rate": "compression rate (raw bytes / code bytes)"}, front=False), table


def accuracy_buffer(loaded: Loaded, pooled: Pooled):
    """Against the clips in the buffer at the end."""

    def stored(run: Run) -> float:
        return run.record["memory"]["clips_stored"] or math.nan

    table = _accuracy_against(pooled, {"clips": stored}, "no run has a buffer", ("memory.",))
    return _scatter(pooled, table, {"clips": "clips stored at the end"}, front=False), table


def cost(loaded: Loaded, pooled: Pooled):
    """Mean wall seconds of a run by phase, stacked; evaluation and the drift probe are not the method's."""
    from matplotlib import pyplot
    from seaborn import color_palette

    def values(run: Run) -> Iterable[dict[str, Any]]:
        seconds = run.record["seconds"]
        apart = dict(zip(PHASES[-2:], (seconds["evaluate"], seconds["drift"]), strict=True))
        return [{"phase": phase, "seconds": s} for phase, s in {**seconds["by_phase"], **apart}.items()]

    table = means(collect(pooled, values, "no run is done"), ["phase"], "seconds")
    conditions = list(dict.fromkeys(table["condition"]))
    methods = [list(dict.fromkeys(table[table["condition"] == condition]["method"])) for condition in conditions]
    longest = table.groupby(["condition", "method"])["mean"].sum().max()
    heights = [0.8 + 0.26 * len(each) for each in methods]
    figure, axes = pyplot.subplots(
        len(conditions), 1, figsize=(8, sum(heights) + 0.3), squeeze=False, sharex=True,
        gridspec_kw={"height_ratios": heights},
    )  # fmt: skip
    # A phase has one colour everywhere, and none of a method's: those stand for methods.
    phases = list(dict.fromkeys([*PHASES, *table["phase"]]))
    shades = dict(zip(phases, color_palette("Set3", len(phases)), strict=True))
    shades = {phase: shades[phase] for phase in phases if phase in set(table["phase"])}
    for axis, condition, shown in zip(axes.flat, conditions, methods, strict=True):
        part = table[table["condition"] == condition]
        _stack(axis, part.pivot(index="method", columns="phase", values="mean").fillna(0.0).loc[shown], shades)
        axis.set_title(wrapped(condition, 90))
        for tick, method in zip(axis.get_yticklabels(), shown, strict=True):
            tick.set_color(colour(names(pooled)[method][0]))
    axes.flat[0].set_xlim(0, 1.03 * longest)
    axes.flat[-1].set_xlabel("wall seconds of a run, mean")
    legend(figure, list(axes.flat))
    return figure, table


def _stack(axis: Any, seconds: pd.DataFrame, shades: dict[str, Any]) -> None:
    """A bar a row, its columns laid end to end."""
    left = 0.0 * seconds.iloc[:, 0]
    for phase in [phase for phase in shades if phase in seconds]:
        hatch = "///" if "harness" in phase else None
        axis.barh(range(len(seconds)), seconds[phase], left=left, color=shades[phase], label=plain(phase), hatch=hatch)
        left = left + seconds[phase]
    axis.set_yticks(range(len(seconds)), [plain(name) for name in seconds.index])
    axis.set_ylim(len(seconds) - 0.4, -0.6)
    axis.grid(False, axis="y")
