"""The metrics, columns and plots of the project: their names, headings and definitions.

Importing this file imports no numpy. The functions are imported when they are called.
"""

import importlib
import math
import operator
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from results.registries import COLUMNS, METRICS, PLOTS, Column, Metric, last

if TYPE_CHECKING:
    from results.record import Record
    from results.runs import DoneRun


def _of_matrix(function: str, *fields: str) -> Callable[["Record"], float]:
    """A function of results.metrics, applied to fields of a record. It needs numpy, so it is imported when called."""

    def of(record: "Record") -> float:
        metric = getattr(importlib.import_module("results.metrics"), function)
        return float(metric(*(getattr(record, field) for field in fields)))

    return of


def _of_predictions(name: str) -> Callable[["DoneRun"], float]:
    def of(run: "DoneRun") -> float:
        return float(importlib.import_module("results.predictions").prediction_metrics(run)[name])

    return of


def _of_field(path: str) -> Callable[["DoneRun"], float]:
    """A number of the record by its dotted name, such as memory.live; NaN if it is null."""
    field = operator.attrgetter(path)

    def of(run: "DoneRun") -> float:
        value = field(run.record)
        return math.nan if value is None else float(value)

    return of


_says: dict[str, Any]  # more of what an entry says of itself
LOW: dict[str, Any] = {"higher_is_better": False, "always_defined": True}
for _name, _fields, _heading, _names_matrix, _says, _definition in (
    ("final_accuracy", "accuracy", "final accuracy", True, {},
     "1/T sum_j R[T-1, j]: mean over tasks of the last row (every task weighs the same)."),
    ("final_accuracy_class_mean", "per_class", "final accuracy, class mean", False, {},
     "1/C sum_c a_c: mean over classes of the accuracy on class c after the last task (each class weighs the same)."),
    ("final_accuracy_sample_weighted", "accuracy counts", "final accuracy, sample-weighted", True, {},
     "sum_j n_j R[T-1, j] / sum_j n_j: share of all test items that are right after the last task."),
    ("average_incremental_accuracy", "accuracy", "average incremental accuracy", False, {},
     "1/T sum_i A_i with A_i the task mean after stage i (see `stage_accuracy`), the first stage included."),
    ("average_incremental_accuracy_sample_weighted", "accuracy counts",
     "average incremental accuracy, sample-weighted", True, {},
     "1/T sum_i A_i with A_i = sum_{j<=i} n_j R[i, j] / sum_{j<=i} n_j: iCaRL's measure to the letter."),
    ("forgetting", "accuracy", "forgetting", True, LOW,
     "First minus last: mean over j < T-1 of R[j, j] - R[T-1, j]."),
    ("forgetting_max", "accuracy", "forgetting from maximum", True, LOW,
     "Maximum minus last, mammoth's definition: mean over j < T-1 of max_{j<=i<=T-1} R[i, j] - R[T-1, j]."),
    ("forgetting_chaudhry", "accuracy", "forgetting (Chaudhry)", True, LOW,
     "Maximum minus last, Chaudhry et al. (2018): mean over j < T-1 of max_{j<=i<=T-2} R[i, j] - R[T-1, j]."),
    ("backward_transfer", "accuracy", "backward transfer", True, {},
     "Mean over j < T-1 of R[T-1, j] - R[j, j] (GEM's BWT): minus `forgetting`."),
):  # fmt: skip
    _of = _of_matrix(_name, *_fields.split())
    _metric = Metric(_of, _heading, _definition, names_matrix=_names_matrix, **_says)
    METRICS.add(_name, _metric, _definition, builtin=True)

WALL = "Seconds: wall time, which grows with whatever else the machine did; seconds_cpu is a column too."
for _name, _heading, _kind, _of_run, _says, _definition in (
    ("task_identification", "task identified", "share", _of_predictions("task_identification"), {"better": 1},
     "share of test items put into a class of their own task, task mean"),
    ("within_task_accuracy", "within-task accuracy", "share", _of_predictions("within_task_accuracy"), {"better": 1},
     "accuracy when the item's task is given, task mean"),
    ("bytes_carried", "carried", "bytes", _of_field("memory.carried_max"), {},
     "bytes of state carried between steps, at the maximum"),
    ("bytes_live", "live", "bytes", _of_field("memory.live"), {}, "bytes of the live model"),
    ("bytes_total", "total", "bytes", _of_field("memory.total"), {}, "bytes carried and live together"),
    ("bytes_scratch", "scratch", "bytes", _of_field("memory.scratch_peak"), {},
     "most bytes of the current experience's own clips and codes"),
    ("bytes_process", "process", "bytes", _of_field("memory.peak_process"), {}, "most resident bytes of the process"),
    ("budget", "budget", "bytes", _of_field("memory.budget"), {}, "bytes allowed"),
    ("clips_stored", "clips stored", "count", _of_field("memory.clips_stored"), {}, "clips in the buffer at the end"),
    ("capacity", "capacity", "count", _of_field("memory.capacity"), {}, "clips that fit in the budget"),
    ("steps_compressor", "compressor steps", "count", lambda run: float(run.record.steps_of("compressor")), {},
     "compressor steps over the whole run"),
    ("steps_classifier", "classifier steps", "count", lambda run: float(run.record.steps_of("classifier")), {},
     "classifier steps over the whole run"),
    ("seconds", "seconds", "seconds", _of_field("seconds.total"), {"caveat": WALL}, "wall seconds of a run"),
    ("seconds_cpu", "CPU seconds", "seconds", _of_field("seconds.cpu_total"), {}, "CPU seconds of a run"),
    ("seconds_refresh", "refresh seconds", "seconds", lambda run: run.record.seconds_of("refresh") or 0.0, {},
     "wall seconds of the refresh phase"),
    ("seconds_rehearsal", "rehearsal seconds", "seconds", lambda run: last([run.record.seconds_of("rehearsal")]), {},
     "wall seconds of decoding old clips for the compressor"),
    ("psnr", "PSNR", "decibels", lambda run: last(run.record.drift_of("psnr")), {"better": 1},
     "peak signal-to-noise ratio in dB of stored clips as they decode after the last task (a probe of old ones)"),
):  # fmt: skip
    COLUMNS.add(_name, Column(_of_run, _heading, _definition, _kind, **_says), _definition, builtin=True)

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
    ("reported", "curves", "the numbers that methods report of themselves after each task, or that their steps log"),
):  # fmt: skip
    PLOTS.add(_name, f"results.figures.{_module}:{_name}", _about)
