"""Class-incremental evaluation: classes not yet seen are masked; predictions are the record, metrics are derived.

The score of an item is the mean of the logits of its clips: one mean serves whatever classes are masked.
"""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.clips import ClipTable
from benchmarks.randomness import generator
from methods.contract import Method


class Evaluation:
    """Predictions of every evaluated item after each experience: int16 [T,N], -1 where not evaluated."""

    def __init__(self, stream: Any, items: Sequence[Any], reader: Any, device: str, table: ClipTable, seed: int):
        """`items`: the experiences of the test or validation stream."""
        self.stream, self.items, self.reader, self.device, self.seed = stream, items, reader, device, seed
        of = [np.unique(table.items[e.indices], return_inverse=True) for e in items]
        first = [e.indices[np.unique(place, return_index=True)[1]] for e, (_, place) in zip(items, of, strict=True)]
        self.names = table.item_ids[np.concatenate(first)]
        targets = [e.targets[np.searchsorted(e.indices, rows)] for e, rows in zip(items, first, strict=True)]
        self.target = np.concatenate(targets).astype(np.int16)
        self.task = np.concatenate([np.full(len(rows), j, np.int16) for j, rows in enumerate(first)])
        before = np.cumsum([0, *map(len, first)])
        self.rows = np.concatenate([e.indices for e in items])  # of each clip, tasks in order
        self.item = np.concatenate([place + n for (_, place), n in zip(of, before, strict=False)])  # of each clip
        shape = (len(items), len(self.task))
        self.prediction = np.full(shape, -1, np.int16)
        self.prediction_within_task = np.full(shape, -1, np.int16)
        self.total = torch.zeros(0, stream.n_classes)  # sums of logits [items, n_classes] while they are measured

    def order(self, after: int) -> np.ndarray:
        """Positions of the clips of all tasks up to `after`, in an order that says nothing about them."""
        seen = np.flatnonzero(self.task[self.item] <= after)
        return generator("evaluation", self.seed, after).permutation(seen)

    def measure(self, method: Method, after: int, done: int = 0) -> Iterator[tuple[int, int]]:
        """Predict the items of all tasks seen after experience `after`, part by part: (parts done, all parts).

        A run that was stopped in between goes on behind the parts that are `done`.
        """
        parts = torch.from_numpy(self.order(after)).split(method.spec.chunk)
        if not done:
            self.total = torch.zeros(len(self.task), self.stream.n_classes)
        for k in range(done, len(parts)):
            places = parts[k].numpy()
            if len(places):
                logits = method.predict(self.clips(places)).float().cpu()
                self.check(method, logits, len(places))
                self.total.index_add_(0, torch.from_numpy(self.item[places]), logits)
            if k + 1 == len(parts):
                self._settle(after)
            yield k + 1, len(parts)

    def clips(self, places: np.ndarray) -> torch.Tensor:
        """Clips by position: uint8 [B,T,H,W,3]."""
        return torch.from_numpy(self.reader.read(self.rows[places])).to(self.device)

    def _settle(self, after: int) -> None:
        """Choose a class for each item of the tasks up to `after`, among all seen classes and within its own task."""
        seen = torch.tensor(self.stream.train_stream[after].classes_seen_so_far)
        score = self.total / torch.bincount(torch.from_numpy(self.item), minlength=len(self.total))[:, None]
        at = self.task <= after
        self.prediction[after, at] = seen[score[:, seen].argmax(-1)].numpy()[at]
        for task in range(after + 1):
            own, mine = torch.tensor(self.items[task].classes_in_this_experience), self.task == task
            self.prediction_within_task[after, mine] = own[score[mine][:, own].argmax(-1)].numpy()
        self.total = torch.zeros(0, self.stream.n_classes)

    def check(self, method: Method, logits: torch.Tensor, n: int) -> None:
        """ValueError for logits of another shape, FloatingPointError for nan."""
        expected = (n, self.stream.n_classes)
        if tuple(logits.shape) != expected:
            raise ValueError(
                f"method {method.name}: predict gave {tuple(logits.shape)}, expected logits of shape {expected}"
            )
        if torch.isnan(logits).any():
            raise FloatingPointError(f"method {method.name}: predict gave logits that are nan")

    def state(self) -> dict[str, Any]:
        arrays = {"prediction": self.prediction, "prediction_within_task": self.prediction_within_task}
        return {"total": self.total, **{name: torch.from_numpy(array) for name, array in arrays.items()}}

    def load(self, state: dict[str, Any]) -> None:
        self.total = state["total"]
        self.prediction = state["prediction"].numpy()
        self.prediction_within_task = state["prediction_within_task"].numpy()

    def write(self, path: Path) -> None:
        """predictions.npz: sample_id, target, task [N]; prediction, prediction_within_task [T,N]; class_names [C]."""
        temporary = path.with_name(f"{path.name}.{os.getpid()}")
        with open(temporary, "wb") as file:
            np.savez_compressed(
                file,
                sample_id=self.names.astype(str),
                target=self.target,
                task=self.task,
                prediction=self.prediction,
                prediction_within_task=self.prediction_within_task,
                class_names=np.array(self.stream.classes),
            )
        os.replace(temporary, path)

    def fields(self) -> dict[str, Any]:
        """accuracy and counts [T][T], per_class and classes, for the record."""
        n_tasks = len(self.items)
        accuracy: list[list[float | None]] = [[None] * n_tasks for _ in range(n_tasks)]
        counts: list[list[int | None]] = [[None] * n_tasks for _ in range(n_tasks)]
        names = self.stream.classes
        per_class: dict[str, list[float | None]] = {name: [None] * n_tasks for name in names}
        for i in range(n_tasks):
            measured = self.prediction[i] >= 0
            right = self.prediction[i] == self.target
            for j in range(n_tasks):
                at = measured & (self.task == j)
                if at.any():
                    accuracy[i][j], counts[i][j] = float(right[at].mean()), int(at.sum())
            for c, name in enumerate(names):
                at = measured & (self.target == c)
                if at.any():
                    per_class[name][i] = float(right[at].mean())
        classes = {name: int((self.target == c).sum()) for c, name in enumerate(names)}
        return {"accuracy": accuracy, "counts": counts, "per_class": per_class, "classes": classes}
