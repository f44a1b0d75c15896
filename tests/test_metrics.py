"""Metrics against matrices computed by hand; reads like a table."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from results import METRICS, metrics

N = None
# Rows: after task 0, 1, 2. Columns: tasks 0, 1, 2.
FALLING = [[0.9, N, N], [0.6, 0.8, N], [0.3, 0.5, 0.7]]
RECOVERING = [[0.5, N, N], [0.9, 0.8, N], [0.6, 0.4, 1.0]]  # task 0 is best in the middle
BEST_AT_END = [[0.5, N, N], [0.6, 0.8, N], [0.9, 0.8, 0.7]]  # task 0 is best at the end
JOINT = [[N, N, N], [N, N, N], [0.9, 0.8, 0.7]]  # only the last row was measured
EMPTY_TASK = [[0.9, N, N], [0.7, N, N], [0.5, N, 0.7]]  # task 1 has no test items
EMPTY_FIRST = [[N, N], [N, 0.6]]
FULL = [[0.9, 0.1, 0.0], [0.6, 0.8, 0.1], [0.3, 0.5, 0.7]]  # tasks to come measured too: no seen-task metric changes
ONE_TASK = [[0.8]]
HOLE = [[0.9, N, N], [N, 0.8, N], [0.3, 0.5, 0.7]]  # one stage not measured
nan = math.nan

#    matrix        final            average incremental            first-last   max-last     Chaudhry
TABLE = {
    "falling": (FALLING, 0.5, (0.9 + 0.7 + 0.5) / 3, 0.45, 0.45, 0.45),
    "recovering": (RECOVERING, 2.0 / 3, (0.5 + 0.85 + 2.0 / 3) / 3, 0.15, 0.35, 0.35),
    "best_at_end": (BEST_AT_END, 0.8, (0.5 + 0.7 + 0.8) / 3, -0.2, 0.0, -0.15),
    "joint": (JOINT, 0.8, nan, nan, nan, nan),
    "empty_task": (EMPTY_TASK, 0.6, (0.9 + 0.7 + 0.6) / 3, 0.4, 0.4, 0.4),
    "empty_first": (EMPTY_FIRST, 0.6, 0.6, nan, nan, nan),
    "full": (FULL, 0.5, (0.9 + 0.7 + 0.5) / 3, 0.45, 0.45, 0.45),
    "one_task": (ONE_TASK, 0.8, 0.8, nan, nan, nan),
    "hole": (HOLE, 0.5, nan, 0.45, 0.45, 0.45),
}


@pytest.mark.parametrize("name", TABLE)
def test_matrix_metrics_by_hand(name: str) -> None:
    matrix, final, incremental, first_last, max_last, chaudhry = TABLE[name]
    for form in (matrix, np.array([[nan if v is None else v for v in row] for row in matrix])):
        assert metrics.final_accuracy(form) == pytest.approx(final, nan_ok=True)
        assert metrics.average_incremental_accuracy(form) == pytest.approx(incremental, nan_ok=True)
        assert metrics.forgetting(form) == pytest.approx(first_last, nan_ok=True)
        assert metrics.forgetting_max(form) == pytest.approx(max_last, nan_ok=True)
        assert metrics.forgetting_chaudhry(form) == pytest.approx(chaudhry, nan_ok=True)
        assert metrics.backward_transfer(form) == pytest.approx(-first_last, nan_ok=True)


def test_final_accuracy_weighs_tasks_classes_or_samples() -> None:
    # Task 0: class a, 30 items, and b, 10 items; task 1: class c, 20 items.
    accuracy, counts = [[0.5, N], [0.25, 0.8]], [[40, N], [40, 20]]
    per_class = {"a": [0.5, 0.2], "b": [0.5, 0.4], "c": [N, 0.8], "no test items": [N, N]}
    assert metrics.final_accuracy(accuracy) == pytest.approx((0.25 + 0.8) / 2)
    assert metrics.final_accuracy_class_mean(per_class) == pytest.approx((0.2 + 0.4 + 0.8) / 3)
    assert metrics.final_accuracy_sample_weighted(accuracy, counts) == pytest.approx((40 * 0.25 + 20 * 0.8) / 60)
    assert metrics.average_incremental_accuracy_sample_weighted(accuracy, counts) == pytest.approx((0.5 + 26 / 60) / 2)


def mammoth_forgetting(results: list[list[float]]) -> float:
    """Mammoth's definition, written from its description: short rows padded with 0, the last row in the maximum."""
    n = len(results)
    rows = np.array([row + [0.0] * (n - len(row)) for row in results])
    return float(np.mean(rows.max(axis=0)[:-1] - rows[-1][:-1]))


def test_forgetting_against_mammoth_and_avalanche_on_random_matrices() -> None:
    rng = np.random.default_rng(0)
    for n in (2, 5, 10):
        matrix = rng.random((n, n))
        ragged = [[float(matrix[i, j]) for j in range(i + 1)] for i in range(n)]
        matrix[np.triu_indices(n, 1)] = nan
        assert metrics.forgetting_max(matrix) == pytest.approx(mammoth_forgetting(ragged))
        # Avalanche: value after learning minus value now, unweighted over the earlier tasks.
        assert metrics.forgetting(matrix) == pytest.approx(
            np.mean([matrix[j, j] - matrix[-1, j] for j in range(n - 1)])
        )
        assert metrics.forgetting_max(matrix) >= metrics.forgetting_chaudhry(matrix)


def avalanche_evaluation(right: list[list[np.ndarray]]) -> tuple[float, float]:
    """StreamForgetting and accuracy over the stream after the last task, by Avalanche's own code.

    `right[i][j]`: bool [items of task j], whether each is right after task i.
    """
    from avalanche.evaluation.metrics import Accuracy, StreamForgetting

    forgetting, accuracy = StreamForgetting(), Accuracy()
    for i, row in enumerate(right):
        forgetting.before_training_exp(SimpleNamespace(experience=SimpleNamespace(current_experience=i)))
        forgetting.before_eval(None)
        accuracy.reset()
        for j, items in enumerate(row):
            truth = torch.zeros(len(items), dtype=torch.int64)
            taken = torch.from_numpy(np.where(items, 0, 1))
            logits = torch.nn.functional.one_hot(taken, 2).float()
            now = SimpleNamespace(experience=SimpleNamespace(current_experience=j), mb_y=truth, mb_output=logits)
            forgetting.before_eval_exp(now)
            forgetting.after_eval_iteration(now)
            forgetting.after_eval_exp(now)
            accuracy.update(taken, truth)
    return forgetting.result(), accuracy.result()


def test_against_avalanche_s_own_code_on_tasks_of_unequal_size() -> None:
    rng = np.random.default_rng(1)
    for n in (2, 3, 6):
        sizes = rng.integers(3, 30, n)
        right = [[rng.random(sizes[j]) < rng.random() for j in range(n)] for _ in range(n)]
        full = [[float(items.mean()) for items in row] for row in right]
        seen = [[value if j <= i else None for j, value in enumerate(row)] for i, row in enumerate(full)]
        theirs, stream = avalanche_evaluation(right)
        # Avalanche looks at tasks to come too, and counts no forgetting on them.
        assert metrics.forgetting(seen) == pytest.approx(theirs)
        assert metrics.forgetting(full) == pytest.approx(theirs)
        counts = [[int(size) for size in sizes]] * n
        assert metrics.final_accuracy_sample_weighted(seen, counts) == pytest.approx(stream)


def test_a_matrix_must_be_square_and_every_metric_says_what_it_is() -> None:
    with pytest.raises(ValueError, match="square"):
        metrics.final_accuracy([[0.5, 0.5]])
    for name in METRICS:
        assert len(METRICS.get(name).definition) > 20
