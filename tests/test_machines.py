"""Machines as people have them: little shared memory, processes ended from outside, no home, no display."""

import os
import signal

import numpy as np
import pytest
import torch

from harness.training.batches import ClipSource, Plan, batches
from methods.contract import Phase


class Reader:
    """Clips that show their row; reading row 99 ends the process."""

    n_frames = 2

    def read(self, rows, *_):
        if 99 in rows:
            os.kill(os.getpid(), signal.SIGKILL)
        return np.repeat(np.asarray(rows, np.uint8), 2 * 4 * 4 * 3).reshape(-1, 2, 4, 4, 3)


def taken(rows: np.ndarray, workers: int) -> list[tuple]:
    source = ClipSource(Reader(), rows, rows % 2, {"label": np.arange(100)}, "cpu")
    phase = Phase("a", lambda: source, lambda batch: {}, steps=4, batch=3)
    found = batches(source, Plan.of(phase, source, (0, 0, "a")), 0, 4, workers)
    return [(b.clips.tolist(), b.target.tolist(), b.sample_id.tolist(), b.labels["label"].tolist()) for b in found]


def test_loader_workers_do_without_shared_memory(monkeypatch):
    alone = taken(np.arange(10), 0)

    def full(_):
        raise RuntimeError("unable to allocate shared memory(shm): No space left on device (28)")

    monkeypatch.setattr(torch.Tensor, "share_memory_", full)
    assert taken(np.arange(10), 1) == alone


def test_a_loader_worker_that_is_ended_from_outside_says_what_to_do():
    with pytest.raises(RuntimeError, match=r"ended from outside: .*; give the run more memory, or fewer of them"):
        taken(np.arange(90, 100), 1)
