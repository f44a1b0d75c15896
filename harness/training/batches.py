"""The training clips of one experience as a source, in an order that is the same after a resume."""

import copy
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from benchmarks.benchmark import Reader
from benchmarks.randomness import generator
from harness.training.gate import Gate
from methods.contract import Batch, Phase, Source
from methods.forms.devices import to_device

SHIFT = 2  # pixels by which an augmented view may be moved


@dataclass(frozen=True)
class Augmentation:
    """What training views of recorded clips are drawn from: stored times of a frame, a margin for crops, mirroring."""

    candidates: int
    margin: int
    mirrored: np.ndarray | None  # bool by position in the source

    @classmethod
    def of(cls, benchmark: Any, rows: np.ndarray) -> "Augmentation | None":
        """That of some rows of a benchmark; None where it stores and allows nothing but the clips themselves."""
        candidates, margin = getattr(benchmark.reader, "candidates", 1), getattr(benchmark.reader, "margin", 0)
        plain = candidates == 1 and margin == 0 and benchmark.mirrored is None
        return (
            None if plain else cls(candidates, margin, None if benchmark.mirrored is None else benchmark.mirrored[rows])
        )

    def read(
        self, gate: Gate, rows: np.ndarray, index: np.ndarray, drawn: list[np.random.Generator | None], device: str
    ) -> torch.Tensor:
        """A view of each row, at `index` of the source: uint8 [B,T,H,W,3]; None in `drawn` is the clip as it is."""
        n = gate.n_frames
        choice = np.full((len(rows), n), self.candidates // 2)
        corner = np.full((len(rows), 2), self.margin // 2)
        flip = np.zeros(len(rows), bool)
        for b, rng in enumerate(drawn):
            if rng is not None:
                choice[b], corner[b] = rng.integers(0, self.candidates, n), rng.integers(0, self.margin + 1, 2)
                flip[b] = self.mirrored is not None and self.mirrored[index[b]] and rng.random() < 0.5
        clips = to_device(torch.from_numpy(gate.read(rows, choice, corner)), device)
        if flip.any():
            places = to_device(torch.from_numpy(np.flatnonzero(flip)), device)
            clips[places] = clips[places].flip(3)
        return clips


class ClipSource:
    """Clips of some rows of the clip table, decoded when asked for; no row can be resolved to a file from here.

    It holds nothing of other rows: neither their clips nor their labels.
    """

    def __init__(
        self, reader: Reader | None, rows: np.ndarray, targets: np.ndarray, labels: dict[str, np.ndarray], device: str,
        augmentation: Augmentation | None = None,
    ):  # fmt: skip
        """`labels`: every label by row of the clip table."""
        self.gate, self.rows, self.targets, self.device = Gate(reader, rows), rows, targets, device
        self.labels = {name: values[rows] for name, values in labels.items()}
        self.augmentation = augmentation
        self.key: tuple[int | str, ...] = ()

    def drawn_by(self, key: tuple[int | str, ...]) -> "ClipSource":
        """The same clips with augmented views drawn by `key`: seed, experience, phase. It closes with this source."""
        other = copy.copy(self)
        other.key = key
        return other

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, index: np.ndarray, view: np.ndarray | None = None) -> Batch:
        """Clips by position; `view` [B,V] gives V views a clip, number 0 of each V as it is, the others augmented.

        `view` [B] gives one view a clip, number 0 as it is. RuntimeError once the experience is over.
        """
        clips = (
            self._plain(index, view) if self.augmentation is None else self._augmented(self.augmentation, index, view)
        )
        return Batch(
            target=to_device(torch.from_numpy(self.targets[index]), self.device),
            sample_id=torch.from_numpy(self.rows[index].astype(np.int32)),
            clips=clips,
            labels={name: torch.from_numpy(values[index]) for name, values in self.labels.items()},
        )

    def close(self, over: str) -> None:
        """No clip can be had from here any more; `over` says why."""
        self.gate.close(over)

    def _plain(self, index: np.ndarray, view: np.ndarray | None) -> torch.Tensor:
        clips = self.gate.read(self.rows[index])
        if view is not None and view.ndim == 2:
            clips = np.stack([self._views(clips[b], self.rows[index[b]], view[b]) for b in range(len(index))])
        elif view is not None and view.any():
            shown = [self._shifted(clips[b], int(self.rows[index[b]]), int(v)) if v else clips[b]
                     for b, v in enumerate(view)]  # fmt: skip
            clips = np.stack(shown)
        return to_device(torch.from_numpy(clips), self.device)

    def _augmented(self, how: Augmentation, index: np.ndarray, view: np.ndarray | None) -> torch.Tensor:
        view = np.zeros(len(index), np.int64) if view is None else view
        n_views = 1 if view.ndim == 1 else view.shape[1]
        each = np.repeat(index, n_views)
        rows = self.rows[each]
        as_it_is = view == 0 if view.ndim == 1 else view % n_views == 0
        drawn = [None if plain else generator("view", *self.key, int(row), int(v))
                 for row, v, plain in zip(rows, view.reshape(-1), as_it_is.reshape(-1), strict=True)]  # fmt: skip
        clips = how.read(self.gate, rows, each, drawn, self.device)
        return clips.reshape(*view.shape, *clips.shape[1:])

    def _views(self, clip: np.ndarray, row: int, views: np.ndarray) -> np.ndarray:
        return np.stack([clip if v % len(views) == 0 else self._shifted(clip, int(row), int(v)) for v in views])

    def _shifted(self, clip: np.ndarray, row: int, view: int) -> np.ndarray:
        dy, dx = generator("view", *self.key, row, view).integers(0, 2 * SHIFT + 1, 2)
        padded = np.pad(clip, ((0, 0), (SHIFT, SHIFT), (SHIFT, SHIFT), (0, 0)), mode="edge")
        return padded[:, dy : dy + clip.shape[1], dx : dx + clip.shape[2]]


@dataclass(frozen=True)
class Plan:
    """Which samples each step of a phase gets: step k is a function of the key, so a resume starts anywhere."""

    phase: Phase
    length: int  # of the source
    key: tuple[int | str, ...]
    augmented: bool = False  # each epoch shows other views of the clips, where the phase shuffles and asks for none

    @classmethod
    def of(cls, phase: Phase, source: Source, key: tuple[int | str, ...]) -> "Plan":
        """The plan of a phase over its source; `key` is the seed, the experience and the phase's name."""
        return cls(phase, len(source), key, augmented=getattr(source, "augmentation", None) is not None)

    def epoch(self, number: int) -> tuple[np.ndarray, np.ndarray]:
        """Index and view of one epoch, in order."""
        rng = generator("order", *self.key, number)
        if self.phase.sampler is not None:
            index, view = self.phase.sampler(number, rng)
            return np.asarray(index), np.asarray(view)
        index = rng.permutation(self.length) if self.phase.shuffle else np.arange(self.length)
        return index, np.full(self.length, number + 1 if self.augmented and self.phase.shuffle else 0)

    @property
    def epoch_length(self) -> int:
        return len(self.epoch(0)[0])

    def n_steps(self, scale: int = 1) -> int:
        if self.phase.steps is not None:
            return self.phase.steps * scale
        return (self.phase.epochs or 1) * -(-self.epoch_length // self.phase.batch)

    def batches(self, first: int, last: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Index [B] and view [B] or [B,V] of steps first..last-1; with `epochs` ends may be short."""
        size, length = self.phase.batch, self.epoch_length
        known: dict[int, tuple[np.ndarray, np.ndarray]] = {}
        for step in range(first, last):
            if self.phase.steps is not None:
                places = np.arange(step * size, (step + 1) * size)
            else:
                per_epoch = -(-length // size)
                start = (step // per_epoch) * length + (step % per_epoch) * size
                places = np.arange(start, min(start + size, (step // per_epoch + 1) * length))
            epochs = places // length
            known = {e: known.get(e) or self.epoch(e) for e in np.unique(epochs).tolist()}
            index = np.array([known[int(e)][0][p % length] for e, p in zip(epochs, places, strict=True)])
            view = np.array([known[int(e)][1][p % length] for e, p in zip(epochs, places, strict=True)])
            if self.phase.views > 1 and view.ndim == 1:
                first_view = epochs if self.phase.sampler is None else view  # number 0 of each V is as it is
                view = (first_view * self.phase.views)[:, None] + np.arange(self.phase.views)
            yield index, view


class _Taken(torch.utils.data.Dataset):
    """A source and its plan as a dataset of whole batches, for loader workers."""

    def __init__(self, source: Source, plan: list[tuple[np.ndarray, np.ndarray]]):
        self.source, self.plan = source, plan

    def __len__(self) -> int:
        return len(self.plan)

    def __getitem__(self, step: int) -> tuple[torch.Tensor | np.ndarray, dict[str, Any]]:
        """The clips, and the rest of a batch as arrays, which go through a pipe and not through shared memory."""
        batch = self.source.take(*self.plan[step])
        rest = {"target": batch.target.numpy(), "sample_id": batch.sample_id.numpy(),
                "labels": {name: values.numpy() for name, values in batch.labels.items()}}  # fmt: skip
        try:
            return batch.clips.share_memory_(), rest
        except RuntimeError:  # /dev/shm is small, as in many containers; without this, the loader would wait for ever
            return batch.clips.numpy(), rest


def _as_it_is(batch: Any) -> Any:
    """For the loader, which else would make tensors in shared memory of all arrays."""
    return batch


def batches(source: Source, plan: Plan, first: int, last: int, workers: int = 0) -> Iterator[Batch]:
    """The batches of steps first..last-1; `workers` > 0 decodes clips ahead in processes, with the same result."""
    if isinstance(source, ClipSource):
        source = source.drawn_by(plan.key)
        if workers:
            yield from _ahead(source, list(plan.batches(first, last)), workers)
            return
    for index, view in plan.batches(first, last):
        yield source.take(index, view)


def _ahead(source: ClipSource, plan: list[tuple[np.ndarray, np.ndarray]], workers: int) -> Iterator[Batch]:
    """Batches that loader workers make on the CPU; they are moved to the source's device here."""
    on_cpu = copy.copy(source)
    on_cpu.device = "cpu"
    on_gpu = source.device.startswith("cuda")
    # Linux: forked, as is PyTorch's default, which a run in a process of a fork server would not have. A generator of
    # its own: the loader would draw from the global one.
    start = "fork" if sys.platform == "linux" else None
    loader = DataLoader(_Taken(on_cpu, plan), batch_size=None, num_workers=workers, generator=torch.Generator(),
                        multiprocessing_context=start, pin_memory=on_gpu, collate_fn=_as_it_is)  # fmt: skip
    try:
        for clips, rest in loader:
            labels = {name: torch.from_numpy(values) for name, values in rest["labels"].items()}
            yield Batch(target=torch.from_numpy(rest["target"]).to(source.device, non_blocking=on_gpu),
                        sample_id=torch.from_numpy(rest["sample_id"]), labels=labels,
                        clips=torch.as_tensor(clips).to(source.device, non_blocking=on_gpu))  # fmt: skip
    except (RuntimeError, OSError, EOFError) as error:
        if isinstance(error, RuntimeError) and "DataLoader worker" not in str(error):
            raise
        advice = "give the run more memory, or fewer of them (loader_workers=0: none)"
        raise RuntimeError(f"a process that decodes clips ahead was ended from outside: {error}; {advice}") from error
