"""The stack of AQM: each module is a VQ auto-encoder of its own input, the codebook vectors of the module above it."""

import copy
import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from methods.forms.codes import pack, unpack
from methods.shared.code_size import code_shape, index_bits
from methods.shared.compressor import Compressor
from methods.shared.quantizer import ProductQuantizer
from methods.shared.settings import CompressorSettings


class Coarser(nn.Module):
    """A quarter of the bytes: 2x2 positions of vectors [B,T',H',W',dim] become one."""

    def __init__(self, settings: CompressorSettings):
        super().__init__()
        n, width = 4 * settings.dim, settings.width
        self.encoder = nn.Sequential(Fold(), nn.Linear(n, width), nn.ReLU(), nn.Linear(width, settings.dim))
        self.quantizer = ProductQuantizer(settings)
        self.decoder = nn.Sequential(nn.Linear(settings.dim, width), nn.ReLU(), nn.Linear(width, n), Unfold())


class Fold(nn.Module):
    """[B,T,H,W,d] -> [B,T,H/2,W/2,4d]."""

    def forward(self, x: Tensor) -> Tensor:
        b, t, h, w, d = x.shape
        return x.reshape(b, t, h // 2, 2, w // 2, 2, d).permute(0, 1, 2, 4, 3, 5, 6).reshape(b, t, h // 2, w // 2, -1)


class Unfold(nn.Module):
    """The inverse of Fold."""

    def forward(self, x: Tensor) -> Tensor:
        b, t, h, w, d = x.shape
        return x.reshape(b, t, h, w, 2, 2, d // 4).permute(0, 1, 2, 4, 3, 5, 6).reshape(b, t, 2 * h, 2 * w, -1)


class SlowDecoders(nn.ModuleList):
    """Moving averages of the decoders, which old codes are read by: memory, not a part of the running model."""

    carried = True


class Stack(nn.ModuleList):
    """Modules from the finest to the coarsest; a second one where rows and columns of the code are even."""

    def __init__(self, clip_shape: tuple[int, ...], settings: CompressorSettings, depth: int):
        shape = code_shape(clip_shape, settings)
        even = shape[1] % 2 == shape[2] % 2 == 0
        super().__init__([Compressor(clip_shape, settings), *([Coarser(settings)] if depth > 1 and even else [])])
        self.bits, self.shapes = index_bits(settings), [shape, (shape[0], shape[1] // 2, shape[2] // 2, shape[3])]

    def modules_in_order(self) -> list[Any]:
        """Each has an encoder, a quantizer and a decoder."""
        return list(self)

    def slow_decoders(self) -> SlowDecoders:
        """Copies of the decoders."""
        return SlowDecoders(
            copy.deepcopy(level.decoder).requires_grad_(False).eval() for level in self.modules_in_order()
        )

    def loss(self, clips: Tensor, level: int, frozen: bool, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Loss of one module on what it gets, and the vectors it hands on; a frozen codebook stays where it is."""
        module = self.modules_in_order()[level]
        if frozen:
            latents = module.encoder(clips)
            vectors = ProductQuantizer.look_up(module.quantizer.codebook, module.quantizer.nearest(latents))
            commitment, straight = F.mse_loss(latents, vectors), latents + (vectors - latents).detach()
        else:
            straight, commitment = module.quantizer.learn(module.encoder(clips), generator, True)
        settings: CompressorSettings = self.modules_in_order()[0].settings
        loss = settings.reconstruction * F.mse_loss(module.decoder(straight), clips) + settings.commitment * commitment
        return loss, straight.detach()

    @torch.no_grad()
    def encode(self, clips: Tensor, level: int) -> Tensor:
        """Float clips -> codes of a module."""
        x = clips
        for k, module in enumerate(self.modules_in_order()):
            codes = module.quantizer.nearest(module.encoder(x))
            if k == level:
                break
            x = ProductQuantizer.look_up(module.quantizer.codebook, codes)
        return codes

    @torch.no_grad()
    def decode(self, codes: Tensor, level: int, decoders: nn.ModuleList) -> Tensor:
        """Codes of a module -> clips float in 0..1, by the given decoders."""
        x = ProductQuantizer.look_up(self.modules_in_order()[level].quantizer.codebook, codes)
        for decoder in reversed(decoders[: level + 1]):
            x = decoder(x)
        return x.clamp(0, 1)

    def pack(self, codes: Tensor) -> bytes:
        """Codes of one clip -> bytes."""
        return pack(codes.reshape(1, -1).cpu().numpy(), self.bits).tobytes()

    def unpack(self, payloads: list[bytes], level: int) -> Tensor:
        """The inverse of `pack`, for clips of one level."""
        held = torch.frombuffer(bytearray(b"".join(payloads)), dtype=torch.uint8).numpy().reshape(len(payloads), -1)
        shape = self.shapes[level]
        return torch.from_numpy(unpack(held, self.bits, math.prod(shape))).reshape(-1, *shape)
