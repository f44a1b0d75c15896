"""Which runs may stand in one cell of a table, and what mean and interval the cell shows.

A cell pools only runs whose resolved configurations are equal in all but seed and order_seed (`execution` does not
decide a result). Every other key that differs becomes part of a row's name or a column.
"""

import difflib
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from results.load import Loaded, Run

NOT_A_CONDITION = ("seed", "order_seed", "execution")
# Of keys that always differ together only the first of these is shown.
SHOWN_FIRST = ("evaluate", "protocol", "benchmark.name", "label", "setting", "profile", "memory.budget", "memory.count")
# The clip table of a run without a record is unknown, and bounds have no budget: that is no difference.
MAY_LACK = ("clip_table", "memory.")
CIRCUMSTANCE = {"sources": "sources", "device": "device", "precision_used": "precision"}


@dataclass(frozen=True)
class Summary:
    """Mean and half width of the 95 % t-interval; NaN where there is none (`over`: orders, seeds or replicates)."""

    mean: float
    half_width: float
    n: int
    over: str


@dataclass
class Cell:
    """Runs of one row under one condition. `asked` counts them all, done or not."""

    row: tuple[str, ...]  # method, then what tells it from other rows of the method
    condition: tuple[tuple[str, str], ...]  # keys and values of the column
    bound: bool = False
    done: list[Run] = field(default_factory=list)
    absent: list[Run] = field(default_factory=list)

    @property
    def asked(self) -> int:
        return len(self.done) + len(self.absent)

    @property
    def name(self) -> str:
        return " ".join(self.row)


@dataclass(frozen=True)
class Pooled:
    """Cells by (row, condition), rows in the order of asking with the bounds last."""

    cells: dict[tuple[tuple[str, ...], tuple[tuple[str, str], ...]], Cell]
    rows: tuple[tuple[str, ...], ...]
    conditions: tuple[tuple[tuple[str, str], ...], ...]
    unplaced: tuple[Run, ...]  # without a record or configuration, so that their cell is unknown
    mixtures: tuple[str, ...]  # sentences about cells of mixed sources, devices or precisions

    def is_bound(self, row: tuple[str, ...]) -> bool:
        return any(cell.bound for (name, _), cell in self.cells.items() if name == row)


def flatten(config: Mapping[str, Any]) -> dict[str, str]:
    """Dotted key -> JSON text of everything in a configuration that decides a result, seeds apart."""
    flat: dict[str, str] = {}

    def walk(prefix: str, value: Any) -> None:
        if isinstance(value, Mapping) and value:
            for key, item in value.items():
                walk(f"{prefix}.{key}" if prefix else str(key), item)
        else:
            flat[prefix] = json.dumps(value, sort_keys=True)

    kept = {key: value for key, value in config.items() if key not in NOT_A_CONDITION}
    if isinstance(kept.get("plugins"), list):  # where a plug-in lies decides nothing, its bytes do
        kept["plugins"] = [p.get("sha256") if isinstance(p, Mapping) else p for p in kept["plugins"]]
    walk("", kept)
    return flat


def select(loaded: Loaded, mixed: bool = False, methods: Sequence[str] = ()) -> tuple[Loaded, Pooled]:
    """The runs of some methods (or rows; default: all) and their cells, named as among all runs.

    Raises ValueError for an unknown method, and where a cell mixes sources, devices or precisions unless `mixed`.
    """
    pooled = pool(loaded)
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
        loaded = replace(loaded, runs=tuple(run for run in loaded.runs if run.run_id in kept))
    if pooled.mixtures and not mixed:
        raise ValueError(f"{pooled.mixtures[0]}; mixed=true pools them all the same, rerun=changed makes old runs anew")
    return loaded, pooled


def _check_names(methods: Sequence[str], rows: Sequence[tuple[str, ...]]) -> None:
    known = dict.fromkeys(name for row in rows for name in (row[0], " ".join(row)))
    for name in methods:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f"; did you mean {near[0]}?" if near else ""
            raise ValueError(f"methods={name}: there is no run of it; rows: {', '.join(known)}{hint}")


def pool(loaded: Loaded) -> Pooled:
    """Sort runs into cells, and say which of them mix sources, devices or precisions."""
    bounds = {run.method for run in loaded.done if run.record["bound"]}
    placed = [run for run in loaded.runs if run.config is not None]
    flats = {run.run_id: _flat(run, run.method in bounds) for run in placed}
    row_keys, column_keys = _split_keys(placed, flats)
    cells: dict[tuple, Cell] = {}
    known: list[tuple] = []
    for run in sorted(placed, key=lambda run: run.method in bounds):
        flat = flats[run.run_id]
        row = (run.method, *(show(key, flat[key]) for key in row_keys.get(run.method, ()) if key in flat))
        condition = tuple((key, _column_value(key, flat)) for key in column_keys)
        for place in _places(condition, known):
            _add(cells.setdefault((row, place), Cell(row, place, run.method in bounds)), run)
    unplaced = _place_unknown(loaded, cells)
    mixtures = [text for cell in cells.values() for text in _mixtures(cell)]
    order = {name: position for position, name in enumerate(loaded.methods)}
    rows = sorted({row for row, _ in cells}, key=lambda row: (row[0] in bounds, order.get(row[0], len(order)), row))
    conditions = _in_order(list(dict.fromkeys(condition for _, condition in cells if condition is not None)))
    return Pooled(cells, tuple(rows), conditions, tuple(unplaced), tuple(mixtures))


def _column_value(key: str, flat: Mapping[str, str]) -> str | None:
    """A value; None where a run may lack it (see MAY_LACK); unset in a record of sources that had no such setting."""
    if key in flat:
        return value_text(key, flat[key])
    return None if key.startswith(MAY_LACK) else "unset"


def _places(condition: tuple, known: list[tuple]) -> list[tuple]:
    """The columns of a run: its own, or, where a bound has no budget, every column that agrees in all else."""
    if all(text is not None for _, text in condition):
        if condition not in known:
            known.append(condition)
        return [condition]
    agreeing = [
        other for other in known
        if all(text in (None, value) for (_, text), (_, value) in zip(condition, other, strict=True))
    ]  # fmt: skip
    return agreeing or [tuple((key, "none" if text is None else text) for key, text in condition)]


def _add(cell: Cell, run: Run) -> None:
    """A bound asked for at several budgets is the same run several times: it counts once a seed."""
    twins = [r for r in cell.done if (r.order_seed, r.seed) == (run.order_seed, run.seed)] if cell.bound else []
    if not twins:
        (cell.done if run.state == "done" else cell.absent).append(run)
        if cell.bound and run.state == "done":
            cell.absent = [r for r in cell.absent if (r.order_seed, r.seed) != (run.order_seed, run.seed)]


def _flat(run: Run, bound: bool) -> dict[str, str]:
    flat = flatten(run.config)
    if bound:  # a bound keeps to no budget: what was asked for the others does not tell its runs apart
        flat = {key: text for key, text in flat.items() if not key.startswith("memory.")}
    if run.record is not None:
        flat["clip_table"] = json.dumps(run.record["clip_table_hash"][:12])
    return flat


def _split_keys(runs: Sequence[Run], flats: Mapping[str, dict[str, str]]) -> tuple[dict[str, list[str]], list[str]]:
    """Keys that differ: by method those that become part of a row's name, and those that become columns."""
    keys = {key for flat in flats.values() for key in flat}
    by_method: dict[str, list[dict[str, str]]] = {}
    for run in runs:
        by_method.setdefault(run.method, []).append(flats[run.run_id])

    def differs(group: Sequence[dict[str, str]], key: str) -> bool:
        return len({flat[key] for flat in group if key in flat}) > 1 or (
            not key.startswith(MAY_LACK)
            and any(key in flat for flat in group)
            and not all(key in flat for flat in group)
        )

    # The file of a method of the user is part of that method: a changed file makes another row, not another block.
    shared = [key for key in keys if not key.startswith("method.") and key != "plugins"]
    columns = [key for key in shared if any(differs(group, key) for group in by_method.values())]
    columns = _needed(sorted(columns, key=_rank), list(flats.values()))
    rows: dict[str, list[str]] = {}
    for method, group in by_method.items():
        own = [key for key in keys if key.startswith(("method.settings.", "plugins")) and differs(group, key)]
        # A shared key that only tells methods apart belongs to their names: it has no columns of its own. A method
        # with the commonest value needs no mention of it.
        apart = [key for key in shared if key not in columns and differs(list(flats.values()), key)]
        apart = [key for key in apart if key != "clip_table" and not any(differs(g, key) for g in by_method.values())]
        apart = [key for key in apart if group[0].get(key) not in (None, _commonest(key, by_method))]
        rows[method] = _needed(sorted(own), group) + sorted(apart)
    return rows, columns


def _commonest(key: str, by_method: Mapping[str, Sequence[Mapping[str, str]]]) -> str | None:
    """The value that most methods have; None where no value leads, so that every method says its own."""
    counted = Counter(group[0].get(key) for group in by_method.values()).most_common(2)
    return counted[0][0] if len(counted) == 1 or counted[0][1] > counted[1][1] else None


def _needed(keys: Sequence[str], flats: Sequence[Mapping[str, str]]) -> list[str]:
    """The keys without those that split no group further: of keys that differ together the first stays."""
    kept: list[str] = []
    for key in keys:
        groups: dict[tuple, set[str | None]] = {}
        for flat in flats:
            if key in flat or not key.startswith(MAY_LACK):
                groups.setdefault(tuple(flat.get(name) for name in kept), set()).add(flat.get(key))
        if any(len(values) > 1 for values in groups.values()):
            kept.append(key)
    return kept


def _rank(key: str) -> tuple[int, str]:
    return (SHOWN_FIRST.index(key) if key in SHOWN_FIRST else len(SHOWN_FIRST) + (key == "clip_table"), key)


def _in_order(conditions: Sequence[tuple]) -> tuple[tuple, ...]:
    """Conditions as a reader expects them: numbers and bytes by size, words in the order of asking."""
    units = {"": 1.0, "B": 1.0, "kB": 1e3, "MB": 1e6, "GB": 1e9}
    asked: dict[str, int] = {}
    for condition in conditions:
        for _, text in condition:
            asked.setdefault(text, len(asked))

    def place(text: str) -> tuple[int, float]:
        number, _, unit = text.partition(" ")
        try:
            return (0, float(number) * units[unit])
        except (ValueError, KeyError):
            return (1, asked[text])

    return tuple(sorted(conditions, key=lambda condition: [place(text) for _, text in condition]))


def _place_unknown(loaded: Loaded, cells: dict[tuple, Cell]) -> list[Run]:
    """Runs that left nothing but their id: to the one cell of their method, to a row of their own, or to no cell."""
    unplaced = []
    for run in (run for run in loaded.runs if run.config is None):
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
        values = sorted({run.record[key] for run in cell.done})
        if len(values) > 1:
            named = ", ".join(value[:12] for value in values)
            texts.append(f"{cell.name}: {len(cell.done)} runs of different {word} in one cell ({named})")
    return texts


def value_text(key: str, text: str) -> str:
    """A configuration value as a reader expects it: bytes with a unit, strings without quotes."""
    value = json.loads(text)
    if key == "memory.budget" and isinstance(value, int):
        return bytes_text(value)
    if key == "plugins":
        return "+".join(digest[:6] for digest in value) or "none"
    if value is None:
        return "none"
    return value if isinstance(value, str) else json.dumps(value)


def show(key: str, text: str) -> str:
    name = "plugin" if key == "plugins" else key.removeprefix("method.settings.")
    return f"{name}={value_text(key, text)}"


def bytes_text(size: float) -> str:
    """Bytes in decimal units with three digits, such as 700 kB (budgets are given so)."""
    if math.isnan(size):
        return "–"
    for unit, factor in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= factor * 0.9995:
            return f"{size / factor:.3g} {unit}" if size < factor * 999.5 else f"{size / factor:.0f} {unit}"
    return f"{size:.0f} B"


def summarise(values: Sequence[tuple[int, int, float]]) -> Summary:
    """Mean and 95 % t-interval of (order_seed, seed, value): seeds are averaged within an order, n counts orders.

    With a single order n counts seeds. A value that is NaN makes the mean NaN: it is never left out in silence.
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
    """Half width of the 95 % t-interval of the mean: t(0.975, n-1) * s / sqrt(n); NaN for one value."""
    from scipy.special import stdtrit  # scipy.stats takes a second to import

    n = len(points)
    if n < 2:
        return math.nan
    mean = math.fsum(points) / n
    deviation = math.sqrt(math.fsum((point - mean) ** 2 for point in points) / (n - 1))
    return float(stdtrit(n - 1, 0.975)) * deviation / math.sqrt(n)
