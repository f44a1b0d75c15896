"""The functions behind the metrics that tables and plots show, on the accuracy matrix of a record.

R[i, j] is the accuracy on task j after training task i (rows and columns counted from 0, T of each); cells that were
not measured, such as those above the diagonal, are None or NaN. A task without test items is a column in which
nothing was ever measured: it is left out of every mean. A metric that needs a value that was not measured is NaN.
"""

from collections.abc import Mapping, Sequence

import numpy as np

Matrix = Sequence[Sequence[float | None]] | np.ndarray


def as_matrix(accuracy: Matrix) -> np.ndarray:
    """Float array [T, T] with NaN for None; raises ValueError unless it is square and not empty."""
    matrix = np.array([[np.nan if value is None else value for value in row] for row in accuracy], dtype=float)
    if matrix.ndim != 2 or matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"an accuracy matrix is square, not of shape {matrix.shape}")
    return matrix


def _measured(matrix: np.ndarray) -> np.ndarray:
    """Which tasks have test items: columns in which anything was measured. Shape [T], bool."""
    measured: np.ndarray = ~np.isnan(matrix).all(axis=0)
    return measured


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float("nan")


def stage_accuracy(accuracy: Matrix) -> np.ndarray:
    """A_i = 1/(i+1) sum_{j<=i} R[i, j], the mean over the tasks seen after stage i. Shape [T].

    This is vCLIMB's Acc_i. NaN where a seen task with test items was not measured, or none has test items.
    """
    matrix = as_matrix(accuracy)
    tested = _measured(matrix)
    return np.array([_mean(matrix[i, : i + 1][tested[: i + 1]]) for i in range(len(matrix))])


def final_accuracy(accuracy: Matrix) -> float:
    """1/T sum_j R[T-1, j]: mean over tasks of the last row (every task weighs the same)."""
    return float(stage_accuracy(accuracy)[-1])


def final_accuracy_class_mean(per_class: Mapping[str, Sequence[float | None]]) -> float:
    """1/C sum_c a_c: mean over classes of the accuracy on class c after the last task (each class weighs the same).

    `per_class` maps a class to its accuracy after each task; classes never measured are left out.
    """
    last = [values[-1] for values in per_class.values() if any(value is not None for value in values)]
    return _mean(np.array([np.nan if value is None else value for value in last], dtype=float))


def final_accuracy_sample_weighted(accuracy: Matrix, counts: Matrix) -> float:
    """sum_j n_j R[T-1, j] / sum_j n_j: share of all test items that are right after the last task.

    Avalanche's StreamAccuracy on the whole test stream. `counts` holds n_j in its last row.
    """
    matrix, items = as_matrix(accuracy), as_matrix(counts)
    tested = _measured(matrix)
    if not tested.any():
        return float("nan")
    return float((matrix[-1] * items[-1])[tested].sum() / items[-1][tested].sum())


def average_incremental_accuracy(accuracy: Matrix) -> float:
    """1/T sum_i A_i with A_i the task mean after stage i (see `stage_accuracy`), the first stage included.

    iCaRL's and TCD's measure; they take A_i over all seen test items, which is the same for tasks of equal size.
    Stages before the first task with test items are left out.
    """
    matrix = as_matrix(accuracy)
    stages = stage_accuracy(matrix)
    return _mean(stages[np.cumsum(_measured(matrix)) > 0])


def average_incremental_accuracy_sample_weighted(accuracy: Matrix, counts: Matrix) -> float:
    """1/T sum_i A_i with A_i = sum_{j<=i} n_j R[i, j] / sum_{j<=i} n_j: iCaRL's measure to the letter."""
    matrix, items = as_matrix(accuracy), as_matrix(counts)
    tested = _measured(matrix)
    stages = []
    for i in range(len(matrix)):
        seen = tested & (np.arange(len(matrix)) <= i)
        if seen.any():
            stages.append((matrix[i] * items[i])[seen].sum() / items[i][seen].sum())
    return _mean(np.array(stages))


def forgetting_by_task(accuracy: Matrix) -> np.ndarray:
    """F_j = R[j, j] - R[T-1, j] for each task before the last: right after learning minus at the end. Shape [T-1]."""
    matrix = as_matrix(accuracy)
    drops: np.ndarray = (np.diagonal(matrix) - matrix[-1])[:-1]
    return drops


def forgetting(accuracy: Matrix) -> float:
    """First minus last: mean over j < T-1 of R[j, j] - R[T-1, j].

    Avalanche's StreamForgetting after the last task and vCLIMB's backward forgetting BWF_T: the value right after
    learning, not the past maximum, so it is negative where a task became better later. The mean runs over the tasks
    with both values; NaN with one task, or where only the last row was measured (joint training).
    """
    values = forgetting_by_task(accuracy)
    return _mean(values[~np.isnan(values)])


def _forgetting_from_maximum(accuracy: Matrix, last_row: bool) -> float:
    """Mean over earlier tasks of the maximum minus the last value; `last_row`: whether it may be the maximum."""
    matrix = as_matrix(accuracy)
    n = len(matrix)
    drops = []
    for j in range(n - 1):
        past = matrix[j : n if last_row else n - 1, j]
        # Only the last row measured (joint): there is no past to have forgotten from.
        if np.isnan(matrix[j : n - 1, j]).all() or np.isnan(matrix[-1, j]):
            continue
        drops.append(np.nanmax(past) - matrix[-1, j])
    return _mean(np.array(drops))


def forgetting_max(accuracy: Matrix) -> float:
    """Maximum minus last, mammoth's definition: mean over j < T-1 of max_{j<=i<=T-1} R[i, j] - R[T-1, j].

    The last row IS inside the maximum, so no task counts below zero. NaN as for `forgetting`.
    """
    return _forgetting_from_maximum(accuracy, last_row=True)


def forgetting_chaudhry(accuracy: Matrix) -> float:
    """Maximum minus last, Chaudhry et al. (2018): mean over j < T-1 of max_{j<=i<=T-2} R[i, j] - R[T-1, j].

    The last row is NOT inside the maximum, so a task that is best at the end counts below zero.
    """
    return _forgetting_from_maximum(accuracy, last_row=False)


def backward_transfer(accuracy: Matrix) -> float:
    """Mean over j < T-1 of R[T-1, j] - R[j, j] (GEM's BWT): minus `forgetting`."""
    return -forgetting(accuracy)
