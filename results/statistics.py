"""Paired differences between methods: t-interval, exact sign-flip test, Holm's correction, and the conclusion."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness.common.words import unknown
from results.pooling import Cell, Condition, Pooled, t_half_width
from results.registries import Column

LEVEL = 0.05
MOST_PAIRS = 40  # 2^20 sums a half: the exact test stays a matter of seconds


@dataclass(frozen=True)
class Comparison:
    """One method minus the reference, paired by replicate, within one column of a table."""

    row: str
    reference: str
    condition: Condition
    differences: tuple[float, ...]
    unpaired: int  # runs of either side without a partner
    p: float  # exact two-sided sign-flip test
    adjusted: float  # Holm, over the comparisons of this column
    k: int  # how many comparisons this column has

    @property
    def n(self) -> int:
        """How many pairs there are."""
        return len(self.differences)

    @property
    def mean(self) -> float:
        """Mean difference, in the unit of the column."""
        return math.fsum(self.differences) / self.n if self.n else math.nan

    @property
    def half_width(self) -> float:
        """Half width of the 95 % t-interval of the mean difference."""
        return t_half_width(self.differences)

    @property
    def smallest_p(self) -> float:
        """The smallest p that the test can give at this n: all differences have the same sign."""
        return 2 / 2**self.n if self.n else math.nan

    @property
    def can_show(self) -> bool:
        """Whether any outcome at this n could be significant after the correction."""
        return self.n > 0 and self.k * self.smallest_p < LEVEL

    @property
    def marked(self) -> bool:
        """Whether a difference was shown."""
        return self.can_show and self.adjusted < LEVEL


def sign_flip_p(differences: Sequence[float]) -> float:
    """Two-sided exact sign-flip test: share of all 2^n sign choices whose |sum| is at least the observed one.

    If the two methods were alike, either sign of each difference would be equally likely. The sums of each half of the
    pairs are listed and counted against each other, so n = 40 takes 2^20 sums.
    """
    values = np.asarray(differences, dtype=float)
    n = len(values)
    if not n or np.isnan(values).any():
        return math.nan
    if n > MOST_PAIRS:
        raise ValueError(f"{n} pairs are more than the {MOST_PAIRS} that the exact sign-flip test takes")
    first, second = _signed_sums(values[: n // 2]), np.sort(_signed_sums(values[n // 2 :]))
    # Sums that differ only by rounding must count as equal.
    least = abs(values.sum()) * (1 - 1e-9) - 1e-12 * np.abs(values).sum()
    above = len(second) - np.searchsorted(second, least - first, side="left")
    below = np.searchsorted(second, -least - first, side="right")
    return min(1.0, float(above.sum() + below.sum()) / 2.0**n)


def _signed_sums(values: np.ndarray) -> np.ndarray:
    sums = np.zeros(1)
    for value in values:
        sums = np.concatenate([sums + value, sums - value])
    return sums


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's step-down adjusted p-values, in the order given; a NaN stays NaN but counts as a comparison."""
    order = sorted(range(len(p_values)), key=lambda i: (math.isnan(p_values[i]), p_values[i]))
    adjusted, largest = [math.nan] * len(p_values), 0.0
    for rank, i in enumerate(order):
        if not math.isnan(p_values[i]):
            largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[i]))
            adjusted[i] = largest
    return adjusted


def replicates_needed(k: int) -> int:
    """The smallest n at which one of k comparisons can be significant: k * 2 / 2^n < 0.05."""
    n = 1
    while k * 2 / 2**n >= LEVEL:
        n += 1
    return n


def pair(cell: Cell, reference: Cell, column: Column) -> tuple[list[float], int]:
    """The differences cell - reference for equal (order_seed, seed), and how many runs have no partner.

    Seeds are averaged within an order. ValueError if equal order seeds stand for different class orders.
    """
    ours = {(run.order_seed, run.seed): run for run in cell.done}
    theirs = {(run.order_seed, run.seed): run for run in reference.done}
    by_order: dict[int, list[float]] = {}
    both = sorted(set(ours) & set(theirs))
    for key in both:
        if ours[key].record.class_order != theirs[key].record.class_order:
            raise ValueError(
                f"{ours[key].run_id} and {theirs[key].run_id} share order seed {key[0]}, but not the class order"
            )
        by_order.setdefault(key[0], []).append(column.of(ours[key]) - column.of(theirs[key]))
    groups = list(by_order.values())
    points = groups[0] if len(groups) == 1 else [math.fsum(group) / len(group) for group in groups]
    return points, len(ours) + len(theirs) - 2 * len(both)


def compare(pooled: Pooled, reference: str, column: Column, bounds: bool = False) -> list[Comparison]:
    """Every row against the row `reference`, column by column; bounds only if `bounds`.

    If nobody asked for a row in a column, it is not compared there. A row whose runs are all missing has n = 0.
    """
    rows = [row for row in pooled.rows if " ".join(row) != reference and (bounds or not pooled.is_bound(row))]
    names = {" ".join(row): row for row in pooled.rows}
    comparisons: list[Comparison] = []
    for condition in pooled.conditions or ((),):
        base = pooled.cells.get((names[reference], condition))
        others = [cell for cell in (pooled.cells.get((row, condition)) for row in rows) if cell is not None]
        if base is None or not others:
            continue
        pairs = [pair(cell, base, column) for cell in others]
        # A value that cannot be computed (forgetting of joint) gives no pair, not a difference of NaN.
        pairs = [([] if any(map(math.isnan, points)) else points, left) for points, left in pairs]
        p_values = [sign_flip_p(points) for points, _ in pairs]
        for cell, (points, left), p, q in zip(others, pairs, p_values, holm(p_values), strict=True):
            comparisons.append(Comparison(cell.name, reference, condition, tuple(points), left, p, q, len(others)))
    return comparisons


def resolve_row(reference: str, rows: Sequence[tuple[str, ...]]) -> str:
    """Name of the one row that `reference` (a row, or a method of one row) stands for; ValueError otherwise."""
    names = {" ".join(row): row for row in rows}
    matches = [name for name, row in names.items() if reference in (name, row[0])]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise ValueError(f"reference={reference} stands for several rows, name one of them: {', '.join(matches)}")
    raise ValueError(unknown("row", reference, names, "; give reference=NAME"))


def all_in_words(comparisons: Sequence[Comparison], column: Column) -> list[str]:
    """The sentences of one block of a table. A sentence that holds for several rows is said once."""
    hopeless = [c for c in comparisons if c.n > 1 and not c.can_show]
    if len(hopeless) < 2:
        return [in_words(c, column) for c in comparisons]
    k, most = hopeless[0].k, max(c.n for c in hopeless)
    alone = f", or {replicates_needed(1)} for a single comparison declared beforehand" if k > 1 else ""
    return [
        *(in_words(c, column) for c in comparisons if c not in hopeless),
        f"{', '.join(c.row for c in hopeless)}: nothing can be concluded about {column.heading} against "
        f"{hopeless[0].reference}. With {most} pairs and {k} comparisons no outcome could reach p Holm < {LEVEL} "
        f"(the smallest is {min(1.0, k * 2 / 2**most):.2g}); at least {replicates_needed(k)} replicates would be "
        f"needed{alone}. Until then the differences and intervals in the table describe these runs and are no test.",
    ]


def in_words(comparison: Comparison, column: Column) -> str:
    """The conclusion: a difference was shown, or none was shown and how many replicates it would take."""
    c, scale = comparison, 100 if column.kind == "share" else 1
    unit = " points" if scale == 100 else ""
    if not c.n:
        return f"{c.row}: no pair of runs with {c.reference}, so nothing can be said."
    amount = f"{abs(c.mean) * scale:.1f}"
    direction = f"{amount}{unit} {'more' if c.mean > 0 else 'less'} {column.heading} than {c.reference}"
    if amount == "0.0":
        direction = f"{column.heading} equal to that of {c.reference} (to 0.1{unit})"
    needed = replicates_needed(c.k)
    if c.n == 1:
        return f"{c.row}: {direction} in one replicate; nothing can be concluded from one, {needed} would be needed."
    low, high = (c.mean - c.half_width) * scale, (c.mean + c.half_width) * scale
    interval = f"95 % interval of the difference {low:+.1f} to {high:+.1f}"
    if not c.can_show:
        return (
            f"{c.row}: {direction} on average over {c.n} pairs ({interval}), but no outcome of {c.n} pairs could "
            f"show a difference among {c.k} comparison{'s' * (c.k > 1)} (smallest p {c.smallest_p:.3g}): "
            f"at least {needed} replicates would be needed."
        )
    if c.marked:
        return f"{c.row}: {direction} ({interval}; sign-flip p {c.p:.2g}, after Holm {c.adjusted:.2g}, {c.n} pairs)."
    return (
        f"{c.row}: no difference in {column.heading} from {c.reference} was shown ({interval}; after Holm p "
        f"{c.adjusted:.2g}, {c.n} pairs). That does not show that there is none: differences inside the interval "
        f"remain possible{_more_needed(c)}."
    )


def _more_needed(c: Comparison) -> str:
    """How many replicates would probably show a difference as large and as steady as the observed one."""
    deviation = float(np.std(c.differences, ddof=1))
    if not deviation or not c.mean:
        return ""
    # Power of 80 % of a two-sided test at the level after Holm's first step, by the normal approximation.
    from scipy.special import ndtri

    z = float(ndtri(1 - LEVEL / (2 * c.k)) + ndtri(0.8))
    needed = max(math.ceil((z * deviation / abs(c.mean)) ** 2), replicates_needed(c.k), c.n + 1)
    if needed > 1000:
        return "; a true difference of the size observed would take more than 1000 replicates to show"
    return f"; if the true difference were the one observed, about {needed} replicates would show it (power 80 %)"
