"""What a form must give; imports no torch."""

from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor


class Form:
    """What is kept of a clip. A form of clips is made from the clip's shape and `er.quality` (0: its default)."""

    def __init__(self, clip_shape: tuple[int, ...], quality: int = 0):
        self.shape, self.quality = tuple(clip_shape), quality


class RowForm(Form):
    """A form in which every clip takes the same number of bytes."""

    row_bytes: int

    def to_rows(self, items: "Tensor") -> np.ndarray[Any, Any]:
        """Items [N,...] -> uint8 [N, row_bytes]."""
        raise NotImplementedError

    def from_rows(self, rows: np.ndarray[Any, Any], device: str) -> dict[str, Any]:
        """The inverse of `to_rows`, as the field of a Batch that it fills: {"clips": ...} or {"codes": ...}."""
        raise NotImplementedError


class PayloadForm(Form):
    """A form in which a clip takes as many bytes as it needs; `header` is kept once for all."""

    header: bytes = b""

    def encode(self, clip: np.ndarray[Any, Any]) -> bytes:
        """A clip uint8 [T,H,W,3] -> its payload."""
        raise NotImplementedError

    def decode(self, payloads: list[bytes]) -> np.ndarray[Any, Any]:
        """Payloads -> clips uint8 [N,T,H,W,3]."""
        raise NotImplementedError
