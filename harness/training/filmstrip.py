"""The same stored clips as they decode after each task, kept by a run where log.filmstrip asks for it."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.clips import ClipTable
from harness.training.drift import stores_codes
from methods.contract import Method, evaluating


class Filmstrip:
    """Follows clips that were stored after the first task; one frame of each, of the middle of the clip.

    Its time is the drift probe's and its bytes are the harness's: neither is the method's.
    """

    def __init__(self, n_clips: int, n_experiences: int, reader: Any):
        self.n_clips, self.reader = n_clips, reader
        self.rows = torch.zeros(0, dtype=torch.int64)  # of the clip table, chosen when something is stored
        self.stored = torch.zeros(n_experiences, n_clips, dtype=torch.bool)
        self.decoded: torch.Tensor | None = None  # uint8 [T, K, H, W, 3]

    def state(self) -> dict[str, Any]:
        return {"rows": self.rows, "stored": self.stored, "decoded": self.decoded}

    def load(self, state: dict[str, Any]) -> None:
        self.rows, self.stored, self.decoded = state["rows"], state["stored"], state["decoded"]

    def measure(self, method: Method, experience: int) -> None:
        """Decode the followed clips that are still stored."""
        if not self.n_clips or not stores_codes(method) or not len(method.buffer):
            return
        ids = np.asarray(method.buffer.sample_id[: len(method.buffer)])
        if not len(self.rows):
            slots = np.unique(np.linspace(0, len(ids) - 1, self.n_clips).round().astype(int))
            self.rows = torch.from_numpy(ids[slots].astype(np.int64))
        for k, row in enumerate(self.rows.tolist()):
            slot = np.flatnonzero(ids == row)
            if not len(slot):
                continue  # its place went to another clip
            codes = method.buffer.take(slot[:1]).codes
            with evaluating(method.compressor):
                clip = method.compressor.decode(codes)[0]
            frame = (clip[len(clip) // 2] * 255).round().to(torch.uint8).cpu()
            if self.decoded is None:
                self.decoded = torch.zeros(*self.stored.shape, *frame.shape, dtype=torch.uint8)
            self.decoded[experience, k] = frame
            self.stored[experience, k] = True

    def write(self, path: Path, table: ClipTable) -> None:
        """filmstrip.npz: original [K,H,W,3], decoded [T,K,H,W,3] uint8, stored [T,K], sample_id [K]; none if empty."""
        if self.decoded is None:
            return
        clips = self.reader.read(self.rows.numpy())
        temporary = path.with_name(f"{path.name}.{os.getpid()}")
        with open(temporary, "wb") as file:
            n = len(self.rows)
            np.savez_compressed(
                file,
                original=clips[:, clips.shape[1] // 2],
                decoded=self.decoded[:, :n].numpy(),
                stored=self.stored[:, :n].numpy(),
                sample_id=table.frame["sample_id"].to_numpy().astype(str)[self.rows.numpy()],
            )
        os.replace(temporary, path)
