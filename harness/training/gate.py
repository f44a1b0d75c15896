"""The one way from a method to clips that are decoded: the rows of one experience, until it is over."""

import sys
from multiprocessing.context import get_spawning_popen
from typing import Any

import numpy as np

from benchmarks.benchmark import Reader


class Gate:
    """Reads the rows of one experience and refuses all others; closes with the experience, and so do copies of it."""

    __slots__ = ("__allowed", "__over", "__reader")

    def __init__(self, reader: Reader | None, rows: np.ndarray):
        self.__reader, self.__over = reader, ""
        self.__allowed = np.unique(rows)

    def read(self, rows: np.ndarray, choice: np.ndarray | None = None, corner: np.ndarray | None = None) -> np.ndarray:
        """Clips of `rows`, as `Reader.read`. RuntimeError once it is closed, ValueError for rows of others."""
        if self.__reader is None:
            raise RuntimeError(f"{self.__over or 'nothing is decoded here'}: only a buffer keeps any of its clips")
        strange = np.setdiff1d(rows, self.__allowed)
        if len(strange):
            raise ValueError(f"clip {strange[0]} is not one of this experience's own training clips")
        return self.__reader.read(rows) if choice is None else self.__reader.read(rows, choice, corner)

    @property
    def n_frames(self) -> int:
        """Frames of a clip."""
        return 0 if self.__reader is None else self.__reader.shape[0]

    def close(self, over: str) -> None:
        """No clip can be had from here any more; `over` says why."""
        self.__reader, self.__over = None, over

    def __copy__(self) -> "Gate":
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> "Gate":
        return self

    def __reduce_ex__(self, protocol: Any) -> Any:
        """Only into a loader worker that is being started, where processes are not forked."""
        if sys.platform == "linux" or get_spawning_popen() is None:
            raise TypeError("the clips of an experience cannot be saved or sent elsewhere: only a buffer keeps clips")
        return Gate, (self.__reader, self.__allowed)
