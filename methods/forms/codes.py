"""Codes of a compressor, packed bit by bit."""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from methods.forms.devices import to_device
from methods.forms.kinds import RowForm


def pack(indices: np.ndarray, bits: int) -> np.ndarray:
    """Indices [N, n] -> uint8 [N, ceil(n*bits/8)], least significant bit first."""
    if bits == 8:
        return indices.astype(np.uint8)
    planes = (indices[:, :, None] >> np.arange(bits)) & 1
    return np.packbits(
        planes.reshape(len(indices), indices.shape[1] * bits).astype(np.uint8), axis=1, bitorder="little"
    )


def unpack(packed: np.ndarray, bits: int, n: int) -> np.ndarray:
    """The inverse of `pack`: uint8 [N, bytes] -> int64 [N, n]."""
    if bits == 8:
        return packed[:, :n].astype(np.int64)
    planes = np.unpackbits(packed, axis=1, count=n * bits, bitorder="little").reshape(len(packed), n, bits)
    return planes.astype(np.int64) @ (1 << np.arange(bits, dtype=np.int64))


def unpack_there(packed: Tensor, bits: int, n: int) -> Tensor:
    """`unpack` on the device of `packed`."""
    if bits == 8:
        return packed[:, :n].long()
    planes = (packed.unsqueeze(-1) >> torch.arange(8, dtype=torch.uint8, device=packed.device)) & 1
    weights = 1 << torch.arange(bits, device=packed.device)
    return (planes.flatten(1)[:, : n * bits].reshape(len(packed), n, bits) * weights).sum(-1)


class CodeRows(RowForm):
    """Fixed-size rows of codes, bit-packed at ceil(log2 entries) bits an index."""

    def __init__(self, code_shape: tuple[int, ...], bits: int):
        super().__init__(code_shape)
        self.bits, self.n = bits, math.prod(code_shape)
        self.row_bytes = math.ceil(self.n * bits / 8)

    def to_rows(self, items: Tensor) -> np.ndarray[Any, Any]:
        """Codes int64 [N,...] -> uint8 [N, row_bytes]."""
        return pack(items.flatten(1).cpu().numpy(), self.bits)

    def from_rows(self, rows: np.ndarray[Any, Any], device: str) -> dict[str, Any]:
        """The inverse of `to_rows`."""
        if torch.device(device).type == "cuda":  # packed codes go over the bus, an eighth of the indices' bytes
            codes = unpack_there(to_device(torch.from_numpy(rows), device), self.bits, self.n)
        else:
            codes = torch.from_numpy(unpack(rows, self.bits, self.n))
        return {"codes": codes.reshape(len(rows), *self.shape)}
