"""er.codec=raw: uncompressed pixels."""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from methods.forms.devices import to_device
from methods.forms.kinds import RowForm


class RawRows(RowForm):
    """Fixed-size rows of clips: uint8, uncompressed."""

    def __init__(self, clip_shape: tuple[int, ...], quality: int = 0):
        super().__init__(clip_shape, quality)
        self.row_bytes = math.prod(clip_shape)

    def to_rows(self, items: Tensor) -> np.ndarray[Any, Any]:
        """Clips uint8 [N,T,H,W,3] -> uint8 [N, row_bytes]."""
        return items.flatten(1).cpu().numpy()

    def from_rows(self, rows: np.ndarray[Any, Any], device: str) -> dict[str, Any]:
        """The inverse of `to_rows`."""
        return {"clips": to_device(torch.from_numpy(rows.reshape(len(rows), *self.shape)), device)}
