"""The metrics, columns and plots of the project: what they are called, and what they say of themselves.

Importing this imports no numpy: the functions are imported when they are called.
"""

import importlib
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from results.registries import COLUMNS, METRICS, PLOTS, Column, Metric, last

if TYPE_CHECKING:
    from results.record import Record
    from results.runs import DoneRun


def _of_matrix(function: str, *fields: str) -> Callable[["Record"], float]:
    """A function of results.metrics on fields of a record; imported when it is called, since it needs numpy."""

    def of(record: "Record") -> float:
        metric = getattr(importlib.import_module("results.metrics"), function)
        return float(metric(*(getattr(record, field) for field in fields)))

    return of


def _of_predictions(name: str) -> Callable[["DoneRun"], float]:
    def of(run: "DoneRun") -> float:
        return float(importlib.import_module("results.predictions").prediction_metrics(run)[name])

    return of


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


def _add_metric(name: str, fields: Sequence[str], heading: str, definition: str, **says: Any) -> None:
    METRICS.add(name, Metric(_of_matrix(name, *fields), heading, definition, **says), definition, builtin=True)


def _add_column(name: str, heading: str, kind: str, definition: str, of: Callable[[Any], float], **says: Any) -> None:
    COLUMNS.add(name, Column(of, heading, definition, kind, **says), definition, builtin=True)


_add_metric(
    "final_accuracy",
    ["accuracy"],
    "final accuracy",
    "1/T sum_j R[T-1, j]: mean over tasks of the last row (every task weighs the same).",
    names_matrix=True,
)
_add_metric(
    "final_accuracy_class_mean",
    ["per_class"],
    "final accuracy, class mean",
    "1/C sum_c a_c: mean over classes of the accuracy on class c after the last task (each class weighs the same).",
)
_add_metric(
    "final_accuracy_sample_weighted",
    ["accuracy", "counts"],
    "final accuracy, sample-weighted",
    "sum_j n_j R[T-1, j] / sum_j n_j: share of all test items that are right after the last task.",
    names_matrix=True,
)
_add_metric(
    "average_incremental_accuracy",
    ["accuracy"],
    "average incremental accuracy",
    "1/T sum_i A_i with A_i the task mean after stage i (see `stage_accuracy`), the first stage included.",
)
_add_metric(
    "average_incremental_accuracy_sample_weighted",
    ["accuracy", "counts"],
    "average incremental accuracy, sample-weighted",
    "1/T sum_i A_i with A_i = sum_{j<=i} n_j R[i, j] / sum_{j<=i} n_j: iCaRL's measure to the letter.",
    names_matrix=True,
)
_add_metric(
    "forgetting",
    ["accuracy"],
    "forgetting",
    "First minus last: mean over j < T-1 of R[j, j] - R[T-1, j].",
    higher_is_better=False,
    names_matrix=True,
    always_defined=True,
)
_add_metric(
    "forgetting_max",
    ["accuracy"],
    "forgetting from maximum",
    "Maximum minus last, mammoth's definition: mean over j < T-1 of max_{j<=i<=T-1} R[i, j] - R[T-1, j].",
    higher_is_better=False,
    names_matrix=True,
    always_defined=True,
)
_add_metric(
    "forgetting_chaudhry",
    ["accuracy"],
    "forgetting (Chaudhry)",
    "Maximum minus last, Chaudhry et al. (2018): mean over j < T-1 of max_{j<=i<=T-2} R[i, j] - R[T-1, j].",
    higher_is_better=False,
    names_matrix=True,
    always_defined=True,
)
_add_metric(
    "backward_transfer",
    ["accuracy"],
    "backward transfer",
    "Mean over j < T-1 of R[T-1, j] - R[j, j] (GEM's BWT): minus `forgetting`.",
    names_matrix=True,
)

_add_column(
    "task_identification",
    "task identified",
    "share",
    "share of test items put into a class of their own task, task mean",
    _of_predictions("task_identification"),
    better=1,
)
_add_column(
    "within_task_accuracy",
    "within-task accuracy",
    "share",
    "accuracy when the item's task is given, task mean",
    _of_predictions("within_task_accuracy"),
    better=1,
)
_add_column(
    "bytes_carried",
    "carried",
    "bytes",
    "bytes of state carried between steps, at the maximum",
    lambda run: _number(run.record.memory.carried_max),
)
_add_column("bytes_live", "live", "bytes", "bytes of the live model", lambda run: _number(run.record.memory.live))
_add_column(
    "bytes_total", "total", "bytes", "bytes carried and live together", lambda run: _number(run.record.memory.total)
)
_add_column(
    "bytes_scratch",
    "scratch",
    "bytes",
    "most bytes of the current experience's own clips and codes",
    lambda run: _number(run.record.memory.scratch_peak),
)
_add_column(
    "bytes_process",
    "process",
    "bytes",
    "most resident bytes of the process",
    lambda run: _number(run.record.memory.peak_process),
)
_add_column("budget", "budget", "bytes", "bytes allowed", lambda run: _number(run.record.memory.budget))
_add_column(
    "clips_stored",
    "clips stored",
    "count",
    "clips in the buffer at the end",
    lambda run: _number(run.record.memory.clips_stored),
)
_add_column(
    "capacity", "capacity", "count", "clips that fit in the budget", lambda run: _number(run.record.memory.capacity)
)
_add_column(
    "steps_compressor",
    "compressor steps",
    "count",
    "compressor steps over the whole run",
    lambda run: _number(run.record.steps_of("compressor")),
)
_add_column(
    "steps_classifier",
    "classifier steps",
    "count",
    "classifier steps over the whole run",
    lambda run: _number(run.record.steps_of("classifier")),
)
_add_column(
    "seconds",
    "seconds",
    "seconds",
    "wall seconds of a run",
    lambda run: _number(run.record.seconds.total),
    caveat="Seconds: wall time, which grows with whatever else the machine did; seconds_cpu is a column too.",
)
_add_column(
    "seconds_cpu", "CPU seconds", "seconds", "CPU seconds of a run", lambda run: _number(run.record.seconds.cpu_total)
)
_add_column(
    "seconds_refresh",
    "refresh seconds",
    "seconds",
    "wall seconds of the refresh phase",
    lambda run: run.record.seconds_of("refresh") or 0.0,
)
_add_column(
    "seconds_rehearsal",
    "rehearsal seconds",
    "seconds",
    "wall seconds of decoding old clips for the compressor",
    lambda run: _number(run.record.seconds_of("rehearsal")),
)
_add_column(
    "psnr",
    "PSNR",
    "decibels",
    "peak signal-to-noise ratio in dB of stored clips as they decode after the last task (a probe of old ones)",
    lambda run: last(run.record.drift_of("psnr")),
    better=1,
)

for _name, _module, _about in (
    ("accuracy_over_tasks", "curves",
     "accuracy on the tasks learnt so far after each task, with 95 % bands (cut at the frame)"),
    ("accuracy_matrices", "matrices", "accuracy on each task after each task, mean over replicates"),
    ("forgetting_by_task", "curves", "how far each task falls from right after learning to the end"),
    ("confusion", "matrices", "which classes are taken for which after the last task"),
    ("accuracy_bytes", "trade_offs",
     "final accuracy against bytes carried and in total, with the Pareto front; points of equal bytes side by side"),
    ("accuracy_rate", "trade_offs", "final accuracy against compression rate; points of equal rate side by side"),
    ("accuracy_buffer", "trade_offs", "final accuracy against clips stored; points of equal number side by side"),
    ("drift", "curves", "latent shift of stored codes over tasks, before the refresh and after the task"),
    ("cost", "trade_offs",
     "wall seconds by phase; rehearsal (decoding old clips) apart from the compressor, the harness apart"),
    ("per_class", "matrices", "change of each class from right after learning to the end"),
    ("filmstrip", "matrices", "the same stored clips decoded after each task (white: not in the buffer then)"),
    ("training", "curves", "training loss over steps"),
    ("reported", "curves", "the numbers that methods report of themselves after each task"),
):  # fmt: skip
    PLOTS.add(_name, f"results.figures.{_module}:{_name}", _about)
