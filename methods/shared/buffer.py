"""The rehearsal buffer: preallocated packed rows, counted in bytes, filled by a class-balanced reservoir."""

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from methods.contract import Batch, Spec

LABEL_BYTES = 8  # int32 label and int32 sample id of a stored clip
PACK_ROWS = 4096  # rows packed at a time: bounds the scratch memory of odd bit widths
CHUNK_BYTES = 1 << 24  # rows that a checkpoint keeps in one file
WRITES = itertools.count(1)  # one number for each write to any store of this process


def pack(indices: np.ndarray, bits: int) -> np.ndarray:
    """Indices [N, n] -> uint8 [N, ceil(n*bits/8)], least significant bit first."""
    if bits == 8:
        return indices.astype(np.uint8)
    planes = (indices[:, :, None] >> np.arange(bits)) & 1
    return np.packbits(planes.reshape(len(indices), -1).astype(np.uint8), axis=1, bitorder="little")


def unpack(packed: np.ndarray, bits: int, n: int) -> np.ndarray:
    """The inverse of `pack`: uint8 [N, bytes] -> int64 [N, n]."""
    if bits == 8:
        return packed[:, :n].astype(np.int64)
    planes = np.unpackbits(packed, axis=1, count=n * bits, bitorder="little").reshape(len(packed), n, bits)
    return planes.astype(np.int64) @ (1 << np.arange(bits, dtype=np.int64))


class RawRows:
    """Fixed-size rows of clips: uint8, uncompressed."""

    def __init__(self, clip_shape: tuple[int, ...]):
        self.shape, self.row_bytes = tuple(clip_shape), math.prod(clip_shape)

    def to_rows(self, clips: Tensor) -> np.ndarray:
        return clips.reshape(len(clips), -1).cpu().numpy()

    def from_rows(self, rows: np.ndarray, device: str) -> dict[str, Tensor]:
        return {"clips": torch.from_numpy(rows.reshape(-1, *self.shape)).to(device)}


class CodeRows:
    """Fixed-size rows of codes, bit-packed at ceil(log2 entries) bits an index."""

    def __init__(self, code_shape: tuple[int, ...], bits: int):
        self.shape, self.bits, self.n = tuple(code_shape), bits, math.prod(code_shape)
        self.row_bytes = math.ceil(self.n * bits / 8)

    def to_rows(self, codes: Tensor) -> np.ndarray:
        return pack(codes.reshape(len(codes), -1).cpu().numpy(), self.bits)

    def from_rows(self, rows: np.ndarray, device: str) -> dict[str, Tensor]:
        codes = unpack(rows, self.bits, self.n).reshape(-1, *self.shape)
        return {"codes": torch.from_numpy(codes).to(device)}


class Store:
    """`capacity` preallocated rows with labels and sample ids; a source of phases, in memory of the CPU.

    Only the filled part is state: memory that was reserved but never written holds nothing. `data` is for reading:
    what is written goes through `write` and `append`, which note it, so that a checkpoint saves only what changed.
    """

    def __init__(
        self, rows: RawRows | CodeRows, capacity: int, device: str = "cpu", extra: dict[str, int] | None = None
    ):
        """`extra`: name -> length of float32 vectors stored beside each item, such as {"logits": n_classes}."""
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
    def data(self) -> np.ndarray:
        """The rows [capacity, bytes], to be read."""
        view = self._data.view()
        view.flags.writeable = False
        return view

    def __len__(self) -> int:
        return self.count

    def take(self, index: np.ndarray, view: np.ndarray | None = None) -> Batch:
        """Rows by slot."""
        index = np.asarray(index)
        return Batch(
            target=torch.from_numpy(self.target[index].astype(np.int64)).to(self.device),
            sample_id=torch.from_numpy(self.sample_id[index]),
            slots=index,
            extra={name: torch.from_numpy(vectors[index]).to(self.device) for name, vectors in self.extra.items()},
            **self.rows.from_rows(self._data[index], self.device),
        )

    def write(self, slots: np.ndarray, items: Tensor) -> None:
        """Overwrite the contents of slots in place; labels and ids stay."""
        self._write_rows(slots, self.rows.to_rows(items))

    def _write_rows(self, slots: np.ndarray, rows: np.ndarray) -> None:
        self._data[slots] = rows
        self.versions[np.asarray(slots) // self.chunk_rows] = next(WRITES)

    def append(self, batch: Batch, items: Tensor) -> None:
        """Store items behind the filled part. ValueError where they do not fit."""
        n = len(batch)
        if self.count + n > self.capacity:
            raise ValueError(f"{n} more clips do not fit a store of {self.capacity} that holds {self.count}")
        self._put(np.arange(self.count, self.count + n), batch, self.rows.to_rows(items))
        self.count += n

    def _put(self, slots: np.ndarray, batch: Batch, rows: np.ndarray) -> None:
        self._write_rows(slots, rows)
        self.target[slots] = batch.target.cpu().numpy()
        self.sample_id[slots] = batch.sample_id.cpu().numpy()
        for name, vectors in self.extra.items():
            vectors[slots] = batch.extra[name].detach().float().cpu().numpy()

    def grow(self, n: int) -> None:
        """Room for `n` more rows (bounds have no budget)."""
        state, self.capacity = self.state(), self.count + n
        self.load(state)

    def clear(self) -> None:
        """Drop everything and the room for it."""
        self.capacity = self.count = 0
        self._allocate()

    def state(self) -> dict[str, Any]:
        n = self.count
        arrays = {"data": self._data[:n], "target": self.target[:n], "sample_id": self.sample_id[:n]}
        arrays |= {f"extra.{name}": vectors[:n] for name, vectors in self.extra.items()}
        return {k: torch.from_numpy(v) for k, v in arrays.items()}

    def load(self, state: dict[str, Any]) -> None:
        self.count = len(state["target"])
        self.capacity = max(self.capacity, self.count)
        self._allocate()
        for name in ("_data", "target", "sample_id"):
            getattr(self, name)[: self.count] = state[name.removeprefix("_")].numpy()
        for name, vectors in self.extra.items():
            vectors[: self.count] = state[f"extra.{name}"].numpy()

    def changes(self) -> dict[str, tuple[int, np.ndarray]]:
        """Entry of the state -> rows of a chunk, and a number for each chunk that is another one after each write."""
        return {"data": (self.chunk_rows, self.versions[: -(-self.count // self.chunk_rows)])}


def reservoir_slot(stored: np.ndarray, seen: dict[int, int], target: int, draw: Callable[[int], int]) -> int:
    """Slot of a full buffer that a new clip of class `target` takes, or -1: class-balanced reservoir.

    A clip of a class that is not the largest and has lost no clip yet replaces a random clip of the largest class; any
    other replaces a clip of its own with probability stored/seen (Chrysakis and Moens 2020). With fewer slots than
    classes seen, balanced quotas would be zero, so every clip seen has the same chance (Vitter 1985).
    """
    if len(stored) < len(seen):
        pick = draw(sum(seen.values()))
        return pick if pick < len(stored) else -1
    sizes = np.bincount(stored, minlength=target + 1)
    largest = int(sizes.argmax())
    # A class that did lose clips is as large as it should be: to let all its new ones in would favour the latest.
    whole = sizes[target] in (0, seen[target] - 1)
    if whole and sizes[target] < sizes[largest]:
        return int(np.flatnonzero(stored == largest)[draw(int(sizes[largest]))])
    pick = draw(seen[target])
    return int(np.flatnonzero(stored == target)[pick]) if pick < sizes[target] else -1


class Buffer(Store):
    """A store that is full some day and then keeps a class-balanced sample of what it was shown."""

    def __init__(
        self,
        rows: RawRows | CodeRows,
        capacity: int,
        generator: torch.Generator,
        device: str = "cpu",
        extra: dict[str, int] | None = None,
    ):
        super().__init__(rows, capacity, device, extra)
        self.generator = generator
        self.seen: dict[int, int] = {}  # clips offered so far, by class

    def sample(self, n: int) -> Batch:
        """`n` stored items, drawn uniformly with replacement."""
        return self.take(torch.randint(self.count, (n,), generator=self.generator).numpy())

    def offer(self, batch: Batch, items: Tensor) -> None:
        """Show items, with `batch.extra`, to the reservoir, one after the other; it keeps some and drops others."""
        slots = np.array([self._slot(int(target)) for target in batch.target.cpu()], dtype=np.int64)
        # Of two items meant for one slot the later one stays.
        last = {int(slot): i for i, slot in enumerate(slots) if slot >= 0}
        if last:
            keep = list(last.values())
            extra = {name: vectors[keep] for name, vectors in batch.extra.items()}
            chosen = Batch(target=batch.target[keep], sample_id=batch.sample_id[keep], extra=extra)
            self._put(np.fromiter(last, np.int64), chosen, self.rows.to_rows(items[keep]))

    def _slot(self, target: int) -> int:
        """Slot for a new item of a class, or -1 to drop it; books it as stored."""
        self.seen[target] = self.seen.get(target, 0) + 1
        if self.count < self.capacity:
            slot, self.count = self.count, self.count + 1
        else:
            slot = reservoir_slot(self.target[: self.count], self.seen, target, self._draw)
        if slot >= 0:
            self.target[slot] = target
        return slot

    def _draw(self, n: int) -> int:
        return int(torch.randint(n, (1,), generator=self.generator))

    def state(self) -> dict[str, Any]:
        return {**super().state(), "seen": dict(self.seen)}

    def load(self, state: dict[str, Any]) -> None:
        super().load(state)
        self.seen = dict(state["seen"])


def bytes_for_clips(spec: Spec, reserved: int, live: int) -> int:
    """What the budget leaves for clips, labels and ids beside `reserved` bytes (snapshots and the like) and counters.

    `memory.count=total` counts the `live` bytes of the running model too. ValueError without a budget.
    """
    if spec.budget is None:
        raise ValueError("a method with a buffer needs a memory.budget, such as 700kB")
    counters = 16 * spec.n_classes  # clips seen, by class
    return spec.budget - reserved - counters - (live if spec.count == "total" else 0)


def clips_that_fit(spec: Spec, row_bytes: int, reserved: int, live: int, what: str) -> int:
    """How many rows of `row_bytes` with label and id a budget holds; ValueError where not one fits."""
    left = bytes_for_clips(spec, reserved, live)
    fits = left // (row_bytes + LABEL_BYTES)
    if fits < 1:
        others = "snapshots, counters" + (" and the live model" if spec.count == "total" else "")
        raise ValueError(
            f"{what}: memory.budget={spec.budget} holds not one clip: "
            f"{spec.budget - left} bytes go to {others}, and a clip takes {row_bytes + LABEL_BYTES}; "
            f"it needs at least {spec.budget - left + row_bytes + LABEL_BYTES}"
        )
    return int(fits)
