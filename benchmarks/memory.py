"""Clips in memory: the reader of a small benchmark that draws its clips itself."""

import numpy as np


class MemoryReader:
    """Hands out the clips of an array, uint8 [N, T, H, W, 3]: row k of the clip table is clip k."""

    candidates, margin = 1, 0

    def __init__(self, clips: np.ndarray) -> None:
        if clips.ndim != 5 or clips.dtype != np.uint8 or clips.shape[-1] != 3:
            raise ValueError(f"clips must be uint8 [N, T, H, W, 3], not {clips.dtype} {list(clips.shape)}")
        self.clips = clips

    @property
    def shape(self) -> tuple[int, ...]:
        """Frames, height, width and channels of a clip."""
        return self.clips.shape[1:]

    def read(self, rows: np.ndarray, choice: np.ndarray | None = None, corner: np.ndarray | None = None) -> np.ndarray:
        """Clips of `rows`, as `Reader.read`; there are no other views to choose."""
        return self.clips[np.asarray(rows, np.int64)]
