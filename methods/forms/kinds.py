"""What a form must give; imports no torch."""

import math
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor


class Form:
    """What is kept of a clip. A form of clips is made from the clip's shape and `er.quality`."""

    default_quality: ClassVar[int] = 0  # stands for er.quality=0
    qualities: ClassVar[tuple[int, int] | None] = None  # the lowest and the highest one; None: quality means nothing

    def __init__(self, clip_shape: tuple[int, ...], quality: int = 0):
        """ValueError for a shape without a single number, and for a quality out of bounds."""
        if math.prod(clip_shape) < 1:
            raise ValueError(f"{type(self).__name__}: nothing can be kept of items of shape {tuple(clip_shape)}")
        self.shape, self.quality = tuple(clip_shape), quality or self.default_quality
        low, high = self.qualities or (self.quality, self.quality)
        if not low <= self.quality <= high:
            raise ValueError(f"er.quality={quality}: {type(self).__name__} allows {low} to {high}")


class RowForm(Form):
    """A form in which every clip takes the same number of bytes."""

    row_bytes: int

    def to_rows(self, items: "Tensor") -> "np.ndarray[Any, Any]":
        """Items [N,...] -> uint8 [N, row_bytes]."""
        raise NotImplementedError

    def from_rows(self, rows: "np.ndarray[Any, Any]", device: str) -> dict[str, Any]:
        """The inverse of `to_rows`, as the field of a Batch that it fills: {"clips": ...} or {"codes": ...}."""
        raise NotImplementedError


class PayloadForm(Form):
    """A form in which a clip takes as many bytes as it needs; `header` is kept once for all."""

    header: bytes = b""

    def encode(self, clip: "np.ndarray[Any, Any]") -> bytes:
        """A clip uint8 [T,H,W,3] -> its payload."""
        raise NotImplementedError

    def decode(self, payloads: list[bytes]) -> "np.ndarray[Any, Any]":
        """Payloads -> clips uint8 [N,T,H,W,3]."""
        raise NotImplementedError
