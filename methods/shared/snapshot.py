"""Snapshots: what decodes codes of the task before. Their bytes count against the budget."""

import copy

import torch
from torch import Tensor, nn
from torch.func import functional_call

from methods.shared.quantizer import ProductQuantizer


class Snapshot(nn.Module):
    """A frozen copy of decoder and codebook: what decodes codes of the task before (design: both, or it is wrong)."""

    codebook: Tensor
    carried = True  # counted as memory, not as the live model

    def __init__(self, decoder: nn.Module, codebook: Tensor):
        super().__init__()
        self.decoder = copy.deepcopy(decoder).requires_grad_(False).eval()
        self.register_buffer("codebook", codebook.clone())

    @torch.no_grad()
    def decode(self, codes: Tensor) -> Tensor:
        """Codes -> clips float [B,T,H,W,3], clamped to 0..1."""
        return self.decoder(ProductQuantizer.look_up(self.codebook, codes)).clamp(0, 1)


class SmallSnapshot(Snapshot):
    """The same in fewer bits (compressor.snapshot_precision).

    No copy in float32 is held: decode() makes one each time and drops it.

    int8 has one float16 scale a row (the first axis of a weight; an entry of the codebook). Biases stay float16.
    """

    def __init__(self, decoder: nn.Module, codebook: Tensor, precision: str):
        nn.Module.__init__(self)
        self.shape = codebook.shape
        self.shell = [copy.deepcopy(decoder).requires_grad_(False).eval().to("meta")]  # in a list: shape, no weights
        whole = {f"decoder.{name}": value for name, value in decoder.state_dict().items()}
        for name, value in {**whole, "codebook": codebook.flatten(0, 1)}.items():
            for part, held in packed(value.detach(), precision).items():
                self.register_buffer(f"{name}{part}".replace(".", "/"), held)

    @torch.no_grad()
    def decode(self, codes: Tensor) -> Tensor:
        """Codes -> clips float [B,T,H,W,3], clamped to 0..1."""
        held = {name.replace("/", "."): value for name, value in self.named_buffers()}
        whole = {name: unpacked(value, held.get(f"{name}:scale")) for name, value in held.items() if ":" not in name}
        vectors = ProductQuantizer.look_up(whole.pop("codebook").reshape(self.shape), codes)
        weights = {name.removeprefix("decoder."): value for name, value in whole.items()}
        clips: Tensor = functional_call(self.shell[0], weights, (vectors,))
        return clips.clamp(0, 1)


def packed(value: Tensor, precision: str) -> dict[str, Tensor]:
    """A tensor as it is held: "" and, for int8, ":scale"."""
    if not value.is_floating_point():
        return {"": value.clone()}
    if precision == "float16" or value.dim() < 2:
        return {"": value.half()}
    rows = value.flatten(1).float()
    scale = (rows.abs().amax(1, keepdim=True) / 127).clamp_min(1e-6).half()  # 1e-6: float16 can hold it
    return {"": (rows / scale.float()).round().clamp(-127, 127).to(torch.int8).reshape(value.shape), ":scale": scale}


def unpacked(value: Tensor, scale: Tensor | None) -> Tensor:
    """The inverse of `packed`, in float32."""
    if scale is None:
        return value.float() if value.is_floating_point() else value
    return (value.float().flatten(1) * scale.float()).reshape(value.shape)
