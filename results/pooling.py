"""Which runs may stand in one cell of a table, and what mean and interval the cell shows.

A cell pools runs whose configs are equal in everything but seed and order_seed (`execution` does not decide a result).
Every other key that differs becomes part of a row's name, or a column.
"""

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from harness.common.units import bytes_text, parse_bytes
from harness.common.words import unknown
from results.runs import DoneRun, LoadedRun, Runs

Condition = tuple[tuple[str, str], ...]  # keys and values of a column of cells
Place = tuple[tuple[str, ...], Condition | None]  # row and condition; None: the condition is not known
GROUPS = ("compressor", "classifier", "replay", "training")  # shared settings that not every method uses
NOT_A_CONDITION = ("seed", "order_seed", "execution")
# When several keys vary together, show only the first in this list.
SHOWN_FIRST = ("evaluate", "protocol", "benchmark.name", "label", "setting", "profile", "memory.budget", "memory.count")
# A run without a record lacks its clip table, and an upper bound has no budget: that is no difference.
MAY_LACK = ("clip_table", "memory.")
CIRCUMSTANCE = {"sources": "sources", "device": "device", "precision_used": "precision"}


R = TypeVar("R", bound=Runs)


@dataclass(frozen=True)
class Summary:
    """Mean and half width of the 95 % t-interval, in the unit of the values; NaN if not known.

    `over` says what `n` counts: orders, seeds or replicates.
    """

    mean: float
    half_width: float
    n: int
    over: str


@dataclass
class Cell:
    """The runs of one row under one condition."""

    row: tuple[str, ...]  # the method, then the settings that distinguish it from other rows of this method
    condition: Condition | None
    bound: bool = False
    done: list[DoneRun] = field(default_factory=list)
    absent: list[LoadedRun] = field(default_factory=list)

    @property
    def asked(self) -> int:
        """How many runs were asked for, done or not."""
        return len(self.done) + len(self.absent)

    @property
    def name(self) -> str:
        """The row as tables print it."""
        return " ".join(self.row)


@dataclass(frozen=True)
class Pooled:
    """The cells by (row, condition). Rows come in the order in which they were asked for, bounds last."""

    cells: dict[Place, Cell]
    rows: tuple[tuple[str, ...], ...]
    conditions: tuple[Condition, ...]
    unplaced: tuple[LoadedRun, ...]  # runs whose cell is unknown, because they have neither record nor config
    mixtures: tuple[str, ...]  # sentences about cells of mixed sources, devices or precisions

    def is_bound(self, row: tuple[str, ...]) -> bool:
        """Whether the row stands apart: an upper bound, or a method that went over its budget."""
        return any(cell.bound for (name, _), cell in self.cells.items() if name == row)


@dataclass(frozen=True)
class _Settings:
    """The settings that decide a run's result: dotted key -> JSON text, and the keys that the run may lack."""

    values: dict[str, str]
    used: Sequence[str] | None  # groups of shared settings, or single ones, that the method uses; None: not known

    def may_lack(self, key: str) -> bool:
        return key.startswith(MAY_LACK) or not self.uses(key)

    def uses(self, key: str) -> bool:
        """Whether the method uses the setting; true if nothing is known."""
        group = key.partition(".")[0]
        return self.used is None or group not in GROUPS or group in self.used or key in self.used

    @property
    def uses_all(self) -> bool:
        """Whether the method uses every setting."""
        return self.used is None or set(GROUPS) <= set(self.used)

    def lacks(self, key: str) -> bool:
        """Whether the key is missing because the run's sources had no such setting. That is a difference."""
        return key not in self.values and not self.may_lack(key)


def flatten(config: Mapping[str, Any]) -> dict[str, str]:
    """Dotted key -> JSON text of everything in a config that decides a result, except for the seeds."""
    flat: dict[str, str] = {}

    def walk(prefix: str, value: Any) -> None:
        if isinstance(value, Mapping) and value:
            for key, item in value.items():
                walk(f"{prefix}.{key}" if prefix else str(key), item)
        else:
            flat[prefix] = json.dumps(value, sort_keys=True)

    kept = {key: value for key, value in config.items() if key not in NOT_A_CONDITION}
    if isinstance(kept.get("plugins"), list):  # a plug-in's bytes decide the result, its folder does not
        kept["plugins"] = [p.get("sha256") if isinstance(p, Mapping) else p for p in kept["plugins"]]
    walk("", kept)
    return flat


def select(runs: R, mixed: bool = False, methods: Sequence[str] = ()) -> tuple[R, Pooled]:
    """The runs of some methods or rows (default: all) and their cells. Cells have the names they have among all runs.

    Raises:
        ValueError: a method is unknown, or a cell mixes sources, devices or precisions and `mixed` is false.
    """
    pooled = pool(runs)
    if methods:
        rows = [row for row in pooled.rows if {row[0], " ".join(row)} & set(methods)]
        _check_names(methods, pooled.rows)
        cells = {place: cell for place, cell in pooled.cells.items() if cell.row in rows}
        used = {condition for _, condition in cells}
        pooled = replace(
            pooled, cells=cells, rows=tuple(rows), conditions=tuple(c for c in pooled.conditions if c in used),
            unplaced=tuple(run for run in pooled.unplaced if run.method in methods),
            mixtures=tuple(text for cell in cells.values() for text in _mixtures(cell)),
        )  # fmt: skip
        kept = {run.run_id for cell in cells.values() for run in (*cell.done, *cell.absent)}
        kept |= {run.run_id for run in pooled.unplaced}
        runs = replace(runs, runs=tuple(run for run in runs.runs if run.run_id in kept))
    if pooled.mixtures and not mixed:
        raise ValueError(f"{pooled.mixtures[0]}; mixed=true pools them all the same, rerun=changed makes old runs anew")
    return runs, pooled


def _check_names(methods: Sequence[str], rows: Sequence[tuple[str, ...]]) -> None:
    known = dict.fromkeys(name for row in rows for name in (row[0], " ".join(row)))
    for name in methods:
        if name not in known:
            raise ValueError(unknown("method or row", name, known))


def pool(runs: Runs) -> Pooled:
    """Sort runs into cells, and say which of them mix sources, devices or precisions."""
    bounds = {run.method for run in runs.done if run.record.bound}
    apart = bounds | {run.method for run in runs.done if run.record.over_budget}
    settings = _settings(runs, bounds)
    placed = [run for run in runs.runs if run.run_id in settings]
    row_keys, column_keys = _split_keys(placed, settings)
    conditions = {run.run_id: _condition(settings[run.run_id], column_keys) for run in placed}
    cells: dict[Place, Cell] = {}
    known: list[Condition] = []
    # A run whose condition has gaps goes into every column that agrees with the rest, so columns come first.
    for run in sorted(placed, key=lambda run: (None in dict(conditions[run.run_id]).values(), run.method in bounds)):
        values = settings[run.run_id].values
        row = (run.method, *(show(key, values[key]) for key in row_keys.get(run.method, ()) if key in values))
        for place in _places(conditions[run.run_id], known):
            cell = cells.setdefault((row, place), Cell(row, place, run.method in apart))
            _add(cell, run, run.method in bounds or not settings[run.run_id].uses_all)
    unplaced = _place_unknown(runs, cells)
    mixtures = [text for cell in cells.values() for text in _mixtures(cell)]
    order = {name: position for position, name in enumerate(runs.methods)}
    rows = sorted({row for row, _ in cells}, key=lambda row: (row[0] in apart, order.get(row[0], len(order)), row))
    found = _in_order(list(dict.fromkeys(condition for _, condition in cells if condition is not None)))
    return Pooled(cells, tuple(rows), found, tuple(unplaced), tuple(mixtures))


def _settings(runs: Runs, bounds: set[str]) -> dict[str, _Settings]:
    """Run id -> settings, for every run with a config. Settings that the method does not use are left out."""
    used = {run.method: run.record.used_groups for run in runs.done if run.record.used_groups is not None}
    found = {}
    for run in runs.runs:
        if run.config is None:
            continue
        settings = _Settings({}, used.get(run.method))
        values = {key: text for key, text in flatten(run.config).items() if settings.uses(key)}
        if run.method in bounds:  # a bound has no budget, so runs of a bound with different budgets belong together
            values = {key: text for key, text in values.items() if not key.startswith("memory.")}
        if isinstance(run, DoneRun):
            values["clip_table"] = json.dumps(run.record.clip_table_hash[:12])
        found[run.run_id] = replace(settings, values=values)
    return found


def _condition(settings: _Settings, keys: Sequence[str]) -> tuple[tuple[str, str | None], ...]:
    """The value of each key as text: `unset` if an older version of the code had no such setting, None for a gap."""
    texts: list[tuple[str, str | None]] = []
    for key in keys:
        if key in settings.values:
            texts.append((key, value_text(key, settings.values[key])))
        else:
            texts.append((key, None if settings.may_lack(key) else "unset"))
    return tuple(texts)


def _places(condition: tuple[tuple[str, str | None], ...], known: list[Condition]) -> list[Condition]:
    """The columns of a run: its own one. If its condition has gaps: every column that agrees with the rest."""
    filled = tuple((key, "none" if text is None else text) for key, text in condition)
    if filled == condition:
        if filled not in known:
            known.append(filled)
        return [filled]
    agreeing = [
        other for other in known
        if all(text in (None, value) for (_, text), (_, value) in zip(condition, other, strict=True))
    ]  # fmt: skip
    return agreeing or [filled]


def _add(cell: Cell, run: LoadedRun, once_a_seed: bool) -> None:
    """Add a run to a cell.

    `once_a_seed`: a bound, or a method that does not use a setting, was asked for at several values of this setting.
    Then the same run is there several times and counts once.
    """
    seeds = (run.order_seed, run.seed)
    if once_a_seed and any((other.order_seed, other.seed) == seeds for other in cell.done):
        return
    if not isinstance(run, DoneRun):
        cell.absent.append(run)
        return
    cell.done.append(run)
    if once_a_seed:
        cell.absent = [other for other in cell.absent if (other.order_seed, other.seed) != seeds]


def _split_keys(runs: Sequence[LoadedRun], settings: Mapping[str, _Settings]) -> tuple[dict[str, list[str]], list[str]]:
    """The keys that differ: by method, those that become part of a row's name; and those that become columns."""
    every = [settings[run.run_id] for run in runs]
    keys = {key for each in every for key in each.values}
    by_method: dict[str, list[_Settings]] = {}
    for run in runs:
        by_method.setdefault(run.method, []).append(settings[run.run_id])

    # The file of a plug-in is part of its method, so a changed file makes another row and not another block.
    shared = [key for key in keys if not key.startswith("method.") and key != "plugins"]
    columns = [key for key in shared if any(_differs(group, key) for group in by_method.values())]
    columns = _needed(sorted(columns, key=_rank), every)
    rows: dict[str, list[str]] = {}
    for method, group in by_method.items():
        own = [key for key in keys if key.startswith(("method.settings.", "plugins")) and _differs(group, key)]
        # If a shared key has one value per method, it becomes part of the names and not a column. Methods with the
        # most common value do not mention it.
        apart = [key for key in shared if key not in columns and _differs(every, key)]
        apart = [key for key in apart if key != "clip_table" and not any(_differs(g, key) for g in by_method.values())]
        apart = [key for key in apart if group[0].values.get(key) not in (None, _commonest(key, by_method))]
        rows[method] = _needed(sorted(own), group) + sorted(apart)
    return rows, columns


def _differs(group: Sequence[_Settings], key: str) -> bool:
    """Whether runs differ in a key: they have several values, or a run lacks the key although it may not."""
    values = {each.values[key] for each in group if key in each.values}
    return len(values) > 1 or (bool(values) and any(each.lacks(key) for each in group))


def _commonest(key: str, by_method: Mapping[str, Sequence[_Settings]]) -> str | None:
    """The value that most methods have. None if no value leads; then every method mentions its own."""
    able = [group[0] for group in by_method.values() if key in group[0].values or group[0].lacks(key)]
    counted = Counter(each.values.get(key) for each in able).most_common(2)
    return counted[0][0] if len(counted) == 1 or counted[0][1] > counted[1][1] else None


def _needed(keys: Sequence[str], every: Sequence[_Settings]) -> list[str]:
    """The keys that are needed to tell the groups apart. If several keys vary together, the first one stays."""
    kept: list[str] = []
    for key in keys:
        groups: dict[tuple[str | None, ...], set[str | None]] = {}
        for each in every:
            if key in each.values or each.lacks(key):
                group = tuple(each.values.get(name) for name in kept)
                groups.setdefault(group, set()).add(each.values.get(key))
        if any(len(values) > 1 for values in groups.values()):
            kept.append(key)
    return kept


def _rank(key: str) -> tuple[int, str]:
    return (SHOWN_FIRST.index(key) if key in SHOWN_FIRST else len(SHOWN_FIRST) + (key == "clip_table"), key)


def _in_order(conditions: Sequence[Condition]) -> tuple[Condition, ...]:
    """Conditions in the order a reader expects: numbers and bytes by size, words as they were asked for."""
    asked: dict[str, int] = {}
    for condition in conditions:
        for _, text in condition:
            asked.setdefault(text, len(asked))

    def place(text: str) -> tuple[int, float]:
        try:
            return (0, float(text))
        except ValueError:
            pass
        try:
            size = parse_bytes(text)
        except ValueError:
            size = None
        return (1, asked[text]) if size is None else (0, size)

    return tuple(sorted(conditions, key=lambda condition: [place(text) for _, text in condition]))


def _place_unknown(runs: Runs, cells: dict[Place, Cell]) -> list[LoadedRun]:
    """Place runs of which only the id is known: in the only cell of their method, in a new row, or in no cell."""
    unplaced: list[LoadedRun] = []
    for run in (run for run in runs.runs if run.config is None):
        homes = [cell for cell in cells.values() if cell.row[0] == run.method and cell.condition is not None]
        if len(homes) == 1:
            homes[0].absent.append(run)
        elif run.method and not homes:
            row = (run.method,)
            cells.setdefault((row, None), Cell(row, None)).absent.append(run)
        else:
            unplaced.append(run)
    return unplaced


def _mixtures(cell: Cell) -> list[str]:
    texts = []
    for key, word in CIRCUMSTANCE.items():
        values = sorted({str(getattr(run.record, key)) for run in cell.done})
        if len(values) > 1:
            named = ", ".join(value[:12] for value in values)
            texts.append(f"{cell.name}: {len(cell.done)} runs of different {word} in one cell ({named})")
    return texts


def value_text(key: str, text: str) -> str:
    """A value of a config as a reader expects it: bytes with a unit, texts without quotes."""
    value = json.loads(text)
    if key == "memory.budget" and isinstance(value, int):
        return bytes_text(value)
    if key == "plugins":
        return "+".join(str(digest)[:6] for digest in (value if isinstance(value, list) else [value])) or "none"
    if value is None:
        return "none"
    return value if isinstance(value, str) else json.dumps(value)


def show(key: str, text: str) -> str:
    """A setting as it stands in a row's name, such as codec=jpeg."""
    name = "plugin" if key == "plugins" else key.removeprefix("method.settings.")
    return f"{name}={value_text(key, text)}"


def summarise(values: Sequence[tuple[int, int, float]]) -> Summary:
    """Mean and 95 % t-interval of (order_seed, seed, value). Seeds are averaged within an order; n counts orders.

    With a single order n counts seeds. If a value is NaN, the mean is NaN: no value is left out silently.
    """
    by_order: dict[int, list[float]] = {}
    for order_seed, _, value in values:
        by_order.setdefault(order_seed, []).append(value)
    if len(by_order) == 1:
        points, over = [value for _, _, value in values], "seeds"
    else:
        points = [math.fsum(group) / len(group) for group in by_order.values()]
        over = "orders" if len(points) < len(values) else "replicates"
    n = len(points)
    if not n:
        return Summary(math.nan, math.nan, 0, over)
    mean = math.fsum(points) / n
    return Summary(mean, t_half_width(points), n, over)


def t_half_width(points: Sequence[float]) -> float:
    """Half width of the 95 % interval of the mean, t(0.975, n-1) * s / sqrt(n) (Student 1908); NaN for one value."""
    from scipy.special import stdtrit  # scipy.stats takes a second to import

    n = len(points)
    if n < 2:
        return math.nan
    mean = math.fsum(points) / n
    deviation = math.sqrt(math.fsum((point - mean) ** 2 for point in points) / (n - 1))
    return float(stdtrit(n - 1, 0.975)) * deviation / math.sqrt(n)
