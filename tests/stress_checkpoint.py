"""What a checkpoint costs beside a plain write and fsync of the same bytes, in the same process, by turns."""

import os
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from harness.storage.checkpoint import KEPT, Checkpoints
from methods.forms.raw import RawRows
from methods.shared.buffers import Store

ROW = (7, 14, 14, 6)  # a clip at 256x: 8,232 bytes
ROUNDS = 3
PAUSE = 5  # seconds
INTERVAL = 600  # seconds: checkpoint.minutes=10


def plain(file: Path, data: np.ndarray) -> float:
    """Seconds of a write and fsync of so many bytes to a new file."""
    begun = time.perf_counter()
    with open(file, "wb", buffering=0) as opened:
        view = memoryview(data).cast("B")
        while view:
            view = view[opened.write(view) :]
        os.fsync(opened.fileno())
    seconds = time.perf_counter() - begun
    for older, newer in ((".before", ".last"), (".last", "")):  # two stay, as of checkpoints
        if file.with_suffix(newer).exists():
            file.with_suffix(newer).replace(file.with_suffix(older))
    return seconds


def checkpoint(number: float = 2) -> None:
    """A toy of so many GB, all, a tenth and none of its chunks changed: at most 1.5 times a plain write."""
    folder = Path(tempfile.mkdtemp(prefix="checkpoint-"))
    try:
        ratios = {name: _case(folder, number, name, share) for name, share in
                  {"all": 1.0, "a tenth": 0.1, "none": 0.0}.items()}  # fmt: skip
    finally:
        shutil.rmtree(folder)
    # With none changed there are 2 MB to write: the three waits for the disk that make it safe are then all there is.
    assert max(ratios["all"], ratios["a tenth"]) <= 1.5, ratios


def _case(folder: Path, gigabytes: float, name: str, share: float) -> float:
    """Save by turns with the plain write, a share of the chunks written before each; the ratio of the medians."""
    rows = RawRows(ROW)
    store = Store(rows, int(gigabytes * 1e9 / rows.row_bytes))
    store.count = store.capacity
    _fill(store, range(len(store.versions)))
    saved = Checkpoints(folder / "checkpoint", "toy", "0" * 64)

    def save() -> float:
        content = {"method": {"store": store.state()}}
        changes = {("method", "store", key): change for key, change in store.changes().items()}
        begun = time.perf_counter()
        saved.save(content, changes)
        return time.perf_counter() - begun

    for _ in range(KEPT):
        save()
        plain(folder / "plain", store.data)
    ours, other = [], []
    for turn in range(ROUNDS):
        chunks = range(len(store.versions))[turn :: round(1 / share)] if share else []
        _fill(store, chunks)
        time.sleep(PAUSE)
        ours.append(save())
        # The same pause before both: for a moment the memory of removed files is much faster to write to.
        time.sleep(PAUSE)
        other.append(plain(folder / "plain", store.data.reshape(-1)[: saved.bytes_written]))
    loaded = Checkpoints(folder / "checkpoint", "toy", "0" * 64).load()["method"]["store"]["data"]
    assert torch.equal(loaded, store.state()["data"])
    shutil.rmtree(folder / "checkpoint")
    mine, theirs = statistics.median(ours), statistics.median(other)
    turns = ", ".join(f"{a:.3f}/{b:.3f}" for a, b in zip(ours, other, strict=True))
    print(f"  {name} of {len(store.versions)} chunks changed: {saved.bytes_written:,} bytes in {mine:.3f} s, a plain "
          f"write and fsync {theirs:.3f} s: {mine / theirs:.2f} times; {100 * mine / INTERVAL:.2f} % of 10 minutes "
          f"({turns})", flush=True)  # fmt: skip
    return mine / theirs


def _fill(store: Store, chunks: range | list[int]) -> None:
    """Write new rows to whole chunks, as a refresh does."""
    draw = np.random.default_rng()
    for k in chunks:
        slots = np.arange(k * store.chunk_rows, min((k + 1) * store.chunk_rows, store.count))
        store.write(slots, torch.from_numpy(draw.integers(0, 256, (len(slots), *ROW), np.uint8)))


CHECKS = {"checkpoint": checkpoint}
