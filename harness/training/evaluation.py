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
from harness.training.batches import ClipSource
from methods.contract import Method


class Evaluation:
    """Predictions of every evaluated item after each experience: int16 [T,N], -1 where not evaluated."""

    def __init__(self, stream: Any, items: Sequence[Any], reader: Any, device: str, table: ClipTable):
        """`items`: the experiences of the test or validation stream."""
        self.stream, self.items, self.device = stream, items, device
        self.reader = reader
        of = [np.unique(table.items[e.indices], return_inverse=True) for e in items]
        first = [e.indices[np.unique(place, return_index=True)[1]] for e, (_, place) in zip(items, of, strict=True)]
        self.places = [place for _, place in of]  # of each clip of a task, its item's place among the task's items
        self.names = table.item_ids[np.concatenate(first)]
        targets = [e.targets[np.searchsorted(e.indices, rows)] for e, rows in zip(items, first, strict=True)]
        self.target = np.concatenate(targets).astype(np.int16)
        self.task = np.concatenate([np.full(len(rows), j, np.int16) for j, rows in enumerate(first)])
        shape = (len(items), len(self.task))
        self.prediction = np.full(shape, -1, np.int16)
        self.prediction_within_task = np.full(shape, -1, np.int16)
        self.total = torch.zeros(0, stream.n_classes)

    def measure(self, method: Method, after: int, done: int = 0) -> Iterator[tuple[int, int]]:
        """Predict the items of all tasks seen after experience `after`, part by part: (parts done, all parts).

        A run that was stopped in between goes on behind the parts that are `done`.
        """
        seen = torch.tensor(self.stream.train_stream[after].classes_seen_so_far)
        parts = [
            (j, part) for j in range(after + 1) for part in torch.arange(len(self.places[j])).split(method.spec.chunk)
        ]
        for k in range(done, len(parts)):
            task, clips = parts[k]
            self._add(method, task, clips)
            if k + 1 == len(parts) or parts[k + 1][0] != task:
                own, mine = torch.tensor(self.items[task].classes_in_this_experience), self.task == task
                n_clips = torch.bincount(torch.from_numpy(self.places[task]), minlength=len(self.total))
                score = self.total / n_clips[:, None]
                self.prediction[after, mine] = seen[score[:, seen].argmax(-1)].numpy()
                self.prediction_within_task[after, mine] = own[score[:, own].argmax(-1)].numpy()
            yield k + 1, len(parts)

    def _add(self, method: Method, task: int, clips: torch.Tensor) -> None:
        """Add the logits of some clips of a task to `total`, the sums [items, n_classes] of the task under way."""
        part, places = self.items[task], torch.from_numpy(self.places[task])
        if len(clips) == 0 or clips[0] == 0:  # the task's first part
            self.total = torch.zeros(int((self.task == task).sum()), self.stream.n_classes)
        if len(clips):
            source = ClipSource(self.reader, part.indices, part.targets, {}, self.device)
            shown = source.take(clips.numpy()).clips
            assert shown is not None
            logits = method.predict(shown).float().cpu()
            self.check(method, logits, len(clips))
            self.total.index_add_(0, places[clips], logits)

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
