"""Two sides measured in turn, the row that shows them, and the small run that is measured."""

import statistics
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.config.run_config import RunConfig


def interleaved(sides: dict[str, Callable[[], object]], rounds: int) -> dict[str, dict[str, float]]:
    """Processor milliseconds of each side: median and quartiles over `rounds`, taken in turn after one warm-up."""
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for round_number in range(rounds + 1):
        for name, side in sides.items():
            start = time.process_time()
            side()
            if round_number:
                taken[name].append((time.process_time() - start) * 1e3)
    return {name: spread(values) for name, values in taken.items()}


def spread(values: list[float]) -> dict[str, float]:
    quartiles = statistics.quantiles(values, n=4)
    return {"median": statistics.median(values), "low": quartiles[0], "high": quartiles[2]}


def row(
    name: str, unit: str, ours: float, other: float | None, ratio: float | None, goal: str, more: Any = None
) -> dict[str, Any]:
    return {"name": name, "unit": unit, "harness": ours, "bare": other, "ratio": ratio, "goal": goal, "detail": more}


def tiny(method: str, *words: str) -> "RunConfig":
    """Config of one run of the small profile on twenty actions."""
    from harness.config.compose import request

    words = (
        f"methods=[{method}]",
        "benchmark.tasks=5",
        "benchmark.actions=20",
        "benchmark.clips_per_class=100",
        *words,
    )
    return next(iter(request(list(words)).runs.values()))
