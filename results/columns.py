"""What a table can show of a run: metrics, bytes, work, time, and what predictions tell beyond accuracy."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from results import metrics
from results.load import Run, run_row
from results.predictions import prediction_metrics


@dataclass(frozen=True)
class Column:
    """One quantity. `kind` is share, bytes, count, seconds or decibels; `better` is 1 (high), -1 (low) or 0."""

    name: str
    heading: str
    kind: str
    better: int
    help: str
    of: Callable[[Run], float]


def _from_row(name: str) -> Callable[[Run], float]:
    def of(run: Run) -> float:
        value = _row(run).get(name)
        return math.nan if value is None else float(value)

    return of


_ROWS: dict[str, dict[str, Any]] = {}


def _row(run: Run) -> dict[str, Any]:
    # Twelve columns ask for the same row; a digest names its content.
    if run.digest not in _ROWS:
        _ROWS[run.digest] = run_row(run)
    return _ROWS[run.digest]


def _from_predictions(name: str) -> Callable[[Run], float]:
    return lambda run: prediction_metrics(run)[name]


def _all() -> list[Column]:
    columns = [
        Column(name, heading, "share", 1 if higher else -1, metrics.definition(name), _from_row(name))
        for name, (_, heading, higher) in metrics.METRICS.items()
    ]
    for name, heading, text in (
        ("task_identification", "task identified", "share of test items put into a class of their own task, task mean"),
        ("within_task_accuracy", "within-task accuracy", "accuracy when the item's task is given, task mean"),
    ):
        columns.append(Column(name, heading, "share", 1, text, _from_predictions(name)))
    for name, heading, kind, text in (
        ("bytes_carried", "carried", "bytes", "bytes of state carried between steps, at the maximum"),
        ("bytes_live", "live", "bytes", "bytes of the live model"),
        ("bytes_total", "total", "bytes", "bytes carried and live together"),
        ("bytes_scratch", "scratch", "bytes", "most bytes of the current experience's own clips and codes"),
        ("bytes_process", "process", "bytes", "most resident bytes of the process"),
        ("budget", "budget", "bytes", "bytes allowed"),
        ("clips_stored", "clips stored", "count", "clips in the buffer at the end"),
        ("capacity", "capacity", "count", "clips that fit in the budget"),
        ("steps_compressor", "compressor steps", "count", "compressor steps over the whole run"),
        ("steps_classifier", "classifier steps", "count", "classifier steps over the whole run"),
        ("seconds", "seconds", "seconds", "wall seconds of a run"),
        ("seconds_cpu", "CPU seconds", "seconds", "CPU seconds of a run"),
        ("seconds_refresh", "refresh seconds", "seconds", "wall seconds of the refresh phase"),
        ("seconds_rehearsal", "rehearsal seconds", "seconds", "wall seconds of decoding old clips for the compressor"),
    ):
        columns.append(Column(name, heading, kind, 0, text, _from_row(name)))
    text = "peak signal-to-noise ratio in dB of stored clips as they decode after the last task (a probe of old ones)"
    columns.append(Column("psnr", "PSNR", "decibels", 1, text, _last_psnr))
    return columns


def _last_psnr(run: Run) -> float:
    series = (run.record["drift"] or {}).get("psnr") or [None]
    return math.nan if series[-1] is None else float(series[-1])


COLUMNS: dict[str, Column] = {column.name: column for column in _all()}
DEFAULT = (
    "final_accuracy", "average_incremental_accuracy", "forgetting",
    "bytes_carried", "bytes_live", "bytes_total", "steps_compressor", "steps_classifier", "seconds",
)  # fmt: skip
