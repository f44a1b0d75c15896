"""Buffers: what is kept of past clips, counted in bytes.

A buffer joins two independent answers: a form (methods/forms) says what is kept of a clip, a selection
(methods/selection) which clips stay. Forms of fixed size fill rows (`Buffer`), the others payloads (`PayloadBuffer`).
"""

import itertools
from typing import Any

import numpy as np
import torch
from torch import Tensor

from methods.contract import Batch, Spec
from methods.forms.devices import to_device
from methods.forms.kinds import Form, PayloadForm, RowForm
from methods.selection import SELECTIONS

LABEL_BYTES = 8  # int32 label and int32 sample id of a stored clip
LENGTH_BYTES = 4  # int32 length of a stored payload
CHUNK_BYTES = 1 << 24  # rows that a checkpoint keeps in one file
WRITES = itertools.count(1)  # one number for each write to any store of this process


class Store:
    """`capacity` preallocated rows with labels and sample ids; a source of phases, in memory of the CPU.

    Only the filled part is state: memory that was reserved but never written holds nothing. `data` is for reading:
    what is written goes through `write` and `append`, which note it, so that a checkpoint saves only what changed.
    """

    def __init__(self, rows: RowForm, capacity: int, device: str = "cpu", extra: dict[str, int] | None = None):
        """`extra`: name -> length of float32 vectors stored beside each item, such as {"logits": n_classes}."""
        if rows.row_bytes < 1:
            raise ValueError(f"{type(rows).__name__} makes rows of {rows.row_bytes} bytes: a row has at least one")
        self.rows, self.capacity, self.device, self.count = rows, capacity, device, 0
        self.lengths = extra or {}
        self._allocate()

    def _allocate(self) -> None:
        self._data = np.empty((self.capacity, self.rows.row_bytes), np.uint8)
        self.chunk_rows = max(CHUNK_BYTES // self.rows.row_bytes, 1)
        self.versions = np.full(-(-self.capacity // self.chunk_rows), next(WRITES))  # of each chunk of rows
        self.target = np.empty(self.capacity, np.int32)
        self.sample_id = np.empty(self.capacity, np.int32)
        self.extra = {name: np.empty((self.capacity, n), np.float32) for name, n in self.lengths.items()}

    @property
    def data(self) -> np.ndarray[Any, Any]:
        """The rows [capacity, bytes], to be read."""
        view = self._data.view()
        view.flags.writeable = False
        return view

    def __len__(self) -> int:
        return self.count

    def take(self, index: np.ndarray[Any, Any], view: np.ndarray[Any, Any] | None = None) -> Batch:
        """Rows by slot."""
        index = np.asarray(index)
        return Batch(
            target=to_device(torch.from_numpy(self.target[index].astype(np.int64)), self.device),
            sample_id=torch.from_numpy(self.sample_id[index]),
            slots=index,
            extra={
                name: to_device(torch.from_numpy(vectors[index]), self.device) for name, vectors in self.extra.items()
            },
            **self.rows.from_rows(self._data[index], self.device),
        )

    def write(self, slots: np.ndarray[Any, Any], items: Tensor) -> None:
        """Overwrite the contents of slots in place; labels and ids stay."""
        self._write_rows(slots, self.rows.to_rows(items))

    def _write_rows(self, slots: np.ndarray[Any, Any], rows: np.ndarray[Any, Any]) -> None:
        self._data[slots] = rows
        self.versions[np.asarray(slots) // self.chunk_rows] = next(WRITES)

    def append(self, batch: Batch, items: Tensor) -> None:
        """Store items behind the filled part. ValueError where they do not fit."""
        n = len(batch)
        if self.count + n > self.capacity:
            raise ValueError(f"{n} more clips do not fit a store of {self.capacity} that holds {self.count}")
        self._put(np.arange(self.count, self.count + n), batch, self.rows.to_rows(items))
        self.count += n

    def _put(self, slots: np.ndarray[Any, Any], batch: Batch, rows: np.ndarray[Any, Any]) -> None:
        self._write_rows(slots, rows)
        self.target[slots] = batch.target.cpu().numpy()
        self.sample_id[slots] = batch.sample_id.cpu().numpy()
        for name, vectors in self.extra.items():
            vectors[slots] = batch.extra[name].detach().float().cpu().numpy()

    def grow(self, n: int) -> None:
        """Room for `n` more rows (bounds have no budget)."""
        state, self.capacity = self.state(), self.count + n
        self.load(state)

    def keep(self, slots: np.ndarray[Any, Any]) -> None:
        """Only these slots stay, in this order, as slots 0, 1, ..."""
        slots, n = np.asarray(slots), len(slots)
        self._write_rows(np.arange(n), self._data[slots])
        for held in (self.target, self.sample_id, *self.extra.values()):
            held[:n] = held[slots]
        self.count = n

    def clear(self) -> None:
        """Drop everything and the room for it."""
        self.capacity = self.count = 0
        self._allocate()

    def state(self) -> dict[str, Any]:
        """The filled part."""
        n = self.count
        arrays = {"data": self._data[:n], "target": self.target[:n], "sample_id": self.sample_id[:n]}
        arrays |= {f"extra.{name}": vectors[:n] for name, vectors in self.extra.items()}
        return {k: torch.from_numpy(v) for k, v in arrays.items()}

    def load(self, state: dict[str, Any]) -> None:
        """Take up a saved state; the capacity grows where it must."""
        self.count = len(state["target"])
        self.capacity = max(self.capacity, self.count)
        self._allocate()
        for name in ("_data", "target", "sample_id"):
            getattr(self, name)[: self.count] = state[name.removeprefix("_")].numpy()
        for name, vectors in self.extra.items():
            vectors[: self.count] = state[f"extra.{name}"].numpy()

    def changes(self) -> dict[str, tuple[int, np.ndarray[Any, Any]]]:
        """Entry of the state -> rows of a chunk, and a number for each chunk that is another one after each write."""
        return {"data": (self.chunk_rows, self.versions[: -(-self.count // self.chunk_rows)])}


class Buffer(Store):
    """A store that is full some day; from then on its selection says which items stay."""

    def __init__(
        self,
        rows: RowForm,
        capacity: int,
        generator: torch.Generator,
        device: str = "cpu",
        extra: dict[str, int] | None = None,
        selection: str = "reservoir",
    ):
        super().__init__(rows, capacity, device, extra)
        self.generator = generator
        self.selection = SELECTIONS.get(selection)(generator)

    def sample(self, n: int) -> Batch:
        """`n` stored items, drawn uniformly with replacement."""
        return self.take(torch.randint(self.count, (n,), generator=self.generator).numpy())

    def offer(self, batch: Batch, items: Tensor) -> None:
        """Show items, with `batch.extra`, to the selection, one after the other; it keeps some and drops others."""
        slots = np.array([self._slot(int(target)) for target in batch.target.cpu()], dtype=np.int64)
        last = {int(slot): i for i, slot in enumerate(slots) if slot >= 0}  # of two items for one slot the later stays
        if last:
            kept = list(last.values())
            extra = {name: vectors[kept] for name, vectors in batch.extra.items()}
            chosen = Batch(target=batch.target[kept], sample_id=batch.sample_id[kept], extra=extra)
            self._put(np.fromiter(last, np.int64), chosen, self.rows.to_rows(items[kept]))

    def _slot(self, target: int) -> int:
        """Slot for a new item of a class, or -1 to drop it; books it as stored."""
        self.selection.show(target)
        if self.count < self.capacity:
            slot, self.count = self.count, self.count + 1
        else:
            slot = self.selection.victim(self.target[: self.count], target)
        if slot >= 0:
            self.target[slot] = target
            self.selection.put(slot)
        return slot

    def keep(self, slots: np.ndarray[Any, Any]) -> None:
        """Only these slots stay, in this order, as slots 0, 1, ..."""
        super().keep(slots)
        self.selection.keep(np.asarray(slots))

    def state(self) -> dict[str, Any]:
        """The filled part, and what the selection knows."""
        return {**super().state(), **self.selection.state()}

    def load(self, state: dict[str, Any]) -> None:
        """Take up a saved state."""
        super().load(state)
        self.selection.load(state)


class PayloadBuffer:
    """Clips as payloads of varying size under a budget in bytes, with the same selections as `Buffer`."""

    capacity = None  # clips that fit: it depends on the clips

    def __init__(
        self,
        codec: PayloadForm,
        budget: int,
        generator: torch.Generator,
        device: str = "cpu",
        extra: dict[str, int] | None = None,
        selection: str = "reservoir",
        what: str = "a buffer",
    ):
        """`extra`: name -> length of float32 vectors stored beside each clip, such as {"logits": n_classes}.

        `what` names the method in the error for a budget that holds not one clip.
        """
        self.what = what
        self.codec, self.generator, self.device, self.lengths = codec, generator, device, extra or {}
        self.selection = SELECTIONS.get(selection)(generator)
        self.beside = LABEL_BYTES + LENGTH_BYTES + 4 * sum(self.lengths.values()) + self.selection.slot_bytes
        self.budget = budget - len(codec.header)  # of payloads and what is kept beside them
        self.clear()

    def clear(self) -> None:
        """Drop everything."""
        self.payloads: list[bytes] = []
        self.target: list[int] = []
        self.sample_id: list[int] = []
        self.extra: dict[str, list[np.ndarray[Any, Any]]] = {name: [] for name in self.lengths}
        self.used = 0

    def __len__(self) -> int:
        return len(self.payloads)

    def sample(self, n: int) -> Batch:
        """`n` stored clips, drawn uniformly with replacement and decoded now."""
        return self.take(torch.randint(len(self), (n,), generator=self.generator).numpy())

    def take(self, index: np.ndarray[Any, Any], view: np.ndarray[Any, Any] | None = None) -> Batch:
        """Clips by slot, decoded now."""
        clips = self.codec.decode([self.payloads[i] for i in index])
        return Batch(
            target=to_device(torch.tensor([self.target[i] for i in index], dtype=torch.int64), self.device),
            sample_id=torch.tensor([self.sample_id[i] for i in index], dtype=torch.int32),
            clips=to_device(torch.from_numpy(clips), self.device),
            slots=np.asarray(index),
            extra={name: to_device(torch.from_numpy(np.stack([vectors[i] for i in index])), self.device)
                   for name, vectors in self.extra.items()},
        )  # fmt: skip

    def offer(self, batch: Batch, items: Tensor) -> None:
        """Show clips, with `batch.extra`, to the selection; stored ones make room by bytes."""
        targets, ids = batch.target.tolist(), batch.sample_id.tolist()
        extra = {name: batch.extra[name].detach().float().cpu().numpy() for name in self.lengths}
        for k, (target, sample_id, clip) in enumerate(zip(targets, ids, items.cpu().numpy(), strict=True)):
            self.selection.show(target)
            payload = self.codec.encode(clip)
            if self._make_room(target, len(payload) + self.beside):
                self.selection.put(len(self))
                self.payloads.append(payload)
                self.target.append(target)
                self.sample_id.append(sample_id)
                for name, vectors in self.extra.items():
                    vectors.append(extra[name][k])
                self.used += len(payload) + self.beside

    def _make_room(self, target: int, size: int) -> bool:
        if size > self.budget:
            raise ValueError(f"{self.what}: memory.budget holds not one clip: one takes {size} bytes of {self.budget}")
        if self.used + size <= self.budget:
            return True
        slot = self.selection.victim(np.array(self.target), target)
        if slot < 0:
            return False
        self._remove(slot)
        while self.used + size > self.budget:  # one small victim may not be enough
            self._remove(self.selection.another(np.array(self.target)))
        return True

    def _remove(self, slot: int) -> None:
        self.keep(np.delete(np.arange(len(self)), slot))

    def keep(self, slots: np.ndarray[Any, Any]) -> None:
        """Only these slots stay, in this order, as slots 0, 1, ..."""
        self.payloads = [self.payloads[i] for i in slots]
        self.target = [self.target[i] for i in slots]
        self.sample_id = [self.sample_id[i] for i in slots]
        self.extra = {name: [vectors[i] for i in slots] for name, vectors in self.extra.items()}
        self.used = sum(map(len, self.payloads)) + len(self) * self.beside
        self.selection.keep(np.asarray(slots))

    def state(self) -> dict[str, Any]:
        """Header, payloads and what is kept beside them."""
        data = np.frombuffer(b"".join(self.payloads), np.uint8).copy()
        extra = {name: np.array(vectors, np.float32).reshape(-1, self.lengths[name])
                 for name, vectors in self.extra.items()}  # fmt: skip
        return {
            "header": torch.from_numpy(np.frombuffer(self.codec.header, np.uint8).copy()),
            "data": torch.from_numpy(data),
            "length": torch.tensor([len(p) for p in self.payloads], dtype=torch.int32),
            "target": torch.tensor(self.target, dtype=torch.int32),
            "sample_id": torch.tensor(self.sample_id, dtype=torch.int32),
            **{f"extra.{name}": torch.from_numpy(vectors) for name, vectors in extra.items()},
            **self.selection.state(),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take up a saved state."""
        self.codec.header = state["header"].numpy().tobytes()
        data, ends = state["data"].numpy().tobytes(), np.cumsum(state["length"].numpy())
        self.payloads = [data[end - length : end] for end, length in zip(ends, state["length"].tolist(), strict=True)]
        self.target, self.sample_id = state["target"].tolist(), state["sample_id"].tolist()
        self.extra = {name: list(state[f"extra.{name}"].numpy()) for name in self.lengths}
        self.selection.load(state)
        self.used = len(data) + len(self.payloads) * self.beside


def buffer_of(
    form: Form,
    spec: Spec,
    generator: torch.Generator,
    what: str,
    live: int,
    reserved: int = 0,
    extra: dict[str, int] | None = None,
    selection: str = "",
) -> "Buffer | PayloadBuffer":
    """A buffer in any form, as large as the budget allows beside `reserved` and `live` bytes.

    `extra`: see Store. `selection` says which clips stay; by default it is that of `replay.selection`.

    Raises:
        ValueError: there is no budget, or it holds not one clip; `what` names the method in the line.
    """
    selection = selection or spec.replay.selection or "reservoir"
    if isinstance(form, PayloadForm):
        left = bytes_for_clips(spec, reserved, live)
        return PayloadBuffer(form, left, generator, spec.device, extra, selection, what)
    assert isinstance(form, RowForm)
    beside = 4 * sum((extra or {}).values()) + SELECTIONS.get(selection).slot_bytes
    fits = clips_that_fit(spec, form.row_bytes + beside, reserved, live, what)
    return Buffer(form, fits, generator, spec.device, extra, selection)


def bytes_for_clips(spec: Spec, reserved: int, live: int) -> int:
    """What the budget leaves for clips, labels and ids beside `reserved` bytes (snapshots and the like) and counters.

    `memory.count=total` counts the `live` bytes of the running model too. ValueError without a budget.
    """
    if spec.budget is None:
        raise ValueError("a method with a buffer needs a memory.budget, such as 700kB")
    return spec.budget - _beside_clips(spec, reserved, live)


def _beside_clips(spec: Spec, reserved: int, live: int) -> int:
    counters = 16 * spec.n_classes  # clips seen, by class
    return reserved + counters + (live if spec.count == "total" else 0)


def clips_that_fit(spec: Spec, row_bytes: int, reserved: int, live: int, what: str) -> int:
    """How many rows of `row_bytes` with label and id a budget holds; ValueError where not one fits."""
    left = bytes_for_clips(spec, reserved, live)
    fits, beside = left // (row_bytes + LABEL_BYTES), _beside_clips(spec, reserved, live)
    if fits < 1:
        others = "snapshots, counters" + (" and the live model" if spec.count == "total" else "")
        raise ValueError(
            f"{what}: memory.budget={spec.budget} holds not one clip: "
            f"{beside} bytes go to {others}, and a clip takes {row_bytes + LABEL_BYTES}; "
            f"it needs at least {beside + row_bytes + LABEL_BYTES}"
        )
    return int(fits)
