"""Metrics from predictions: was the task identified, and was the class right within its task?"""

import math
from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

import numpy as np

from harness.common.files import sha256
from harness.common.words import one_line
from results.runs import DoneRun, LoadedRun, Runs

ARRAYS = ("sample_id", "target", "task", "prediction", "prediction_within_task", "class_names")


def load_predictions(run: DoneRun) -> dict[str, np.ndarray]:
    """The arrays of predictions.npz: target, task [N], prediction, prediction_within_task [T, N], names.

    Raises:
        ValueError: the file does not fit the record.
        OSError: there is no such file.
    """
    path = run.folder / "predictions.npz"
    return dict(_load(path, path.stat().st_mtime_ns, len(run.record.accuracy), run.record.predictions_sha256))


NEEDED_BY = {"task_identification", "within_task_accuracy"}
R = TypeVar("R", bound=Runs)


def usable(runs: R, columns: Iterable[str]) -> R:
    """The runs for a table of some columns: a run whose predictions are needed and damaged is a bad one."""
    if not NEEDED_BY & set(columns):
        return runs
    why = {run.run_id: reason for run in runs.done if (reason := damage(run))}
    bad = [
        LoadedRun(run.run_id, run.folder, "bad", why[run.run_id], run.method, run.seed, run.order_seed, run.config)
        if run.run_id in why else run
        for run in runs.runs
    ]  # fmt: skip
    return replace(runs, runs=tuple(bad))


def damage(run: DoneRun) -> str:
    """What is wrong with the predictions of a run, in a line; empty where they are sound, or there never were any."""
    try:
        load_predictions(run)
    except FileNotFoundError:
        return "predictions.npz is gone" if run.record.predictions_sha256 else ""
    except (OSError, ValueError) as error:
        return str(error).removeprefix(f"{run.folder}/")
    return ""


@lru_cache(maxsize=64)
def _load(path: Path, changed: int, n_experiences: int, digest: str | None) -> tuple[tuple[str, np.ndarray], ...]:
    if digest is not None and sha256(path) != digest:
        raise ValueError(f"{path}: this is not what the run wrote; the file was changed or damaged since")
    try:
        with np.load(path, allow_pickle=False) as file:
            missing = [name for name in ARRAYS if name not in file.files]
            if missing:
                raise ValueError(f"{path}: no array {missing[0]}")
            arrays = {name: file[name] for name in ARRAYS}
    except Exception as error:  # damaged archives raise nearly anything: zlib.error, KeyError, struct.error
        raise ValueError(f"{path}: {one_line(error)}") from None
    n = len(arrays["target"])
    if arrays["task"].shape != (n,) or arrays["sample_id"].shape != (n,):
        raise ValueError(f"{path}: target, task and sample_id differ in length")
    for name in ("prediction", "prediction_within_task"):
        if arrays[name].shape != (n_experiences, n):
            raise ValueError(f"{path}: {name} has shape {arrays[name].shape}, not {(n_experiences, n)}")
        if n and not -1 <= arrays[name].min() <= arrays[name].max() < len(arrays["class_names"]):
            raise ValueError(f"{path}: {name} holds a class id outside -1..{len(arrays['class_names']) - 1}")
    if n and not 0 <= arrays["target"].min() <= arrays["target"].max() < len(arrays["class_names"]):
        raise ValueError(f"{path}: target holds a class id outside 0..{len(arrays['class_names']) - 1}")
    return tuple(arrays.items())


def prediction_metrics(run: DoneRun) -> dict[str, float]:
    """Task identification and within-task accuracy after the last task, means over tasks.

    NaN without predictions, and in domain-incremental streams, where classes do not belong to tasks.

    Their product is roughly the accuracy. They say whether classes are confused between tasks or within a task.
    """
    if run.record.domains:
        return {"task_identification": math.nan, "within_task_accuracy": math.nan}
    try:
        arrays = load_predictions(run)
        task_of = tasks_of_classes(run, arrays["class_names"])
    except (OSError, ValueError):
        return {"task_identification": math.nan, "within_task_accuracy": math.nan}
    last, within = arrays["prediction"][-1], arrays["prediction_within_task"][-1]
    identified, right = [], []
    for task in np.unique(arrays["task"]):
        items = (arrays["task"] == task) & (last >= 0)
        if items.any():
            identified.append(float((task_of[last[items]] == task).mean()))
            right.append(float((within[items] == arrays["target"][items]).mean()))
    if not identified:
        return {"task_identification": math.nan, "within_task_accuracy": math.nan}
    return {"task_identification": math.fsum(identified) / len(identified),
            "within_task_accuracy": math.fsum(right) / len(right)}  # fmt: skip


def tasks_of_classes(run: DoneRun, class_names: np.ndarray) -> np.ndarray:
    """Task of each class id. Shape [C]; raises ValueError for a class that the record's class order lacks."""
    task_of = {name: task for task, names in enumerate(run.record.class_order) for name in names}
    unknown = [str(name) for name in class_names if str(name) not in task_of]
    if unknown:
        raise ValueError(f"{run.folder / 'predictions.npz'}: class {unknown[0]!r} is not in the record's class order")
    return np.array([task_of[str(name)] for name in class_names])


def confusion(run: DoneRun) -> tuple[np.ndarray, list[str]]:
    """Counts [C, C] after the last task (row: target, column: prediction) and names, both in the order of learning."""
    arrays = load_predictions(run)
    names = [str(name) for name in arrays["class_names"]]
    tasks = tasks_of_classes(run, arrays["class_names"])
    order = np.argsort(tasks, kind="stable")
    place = np.argsort(order)
    counts = np.zeros((len(names), len(names)), dtype=np.int64)
    last = arrays["prediction"][-1]
    seen = last >= 0
    np.add.at(counts, (place[arrays["target"][seen]], place[last[seen]]), 1)
    return counts, [names[position] for position in order]
