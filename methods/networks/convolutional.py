"""compressor.network=convolutional: strided convolutions, in the manner of Compressed Vision (Wiles et al., ACCV 2022).

As there: 4x4 convolutions of stride 2 whose channels double up to `width`, a step that halves time, two residual
blocks of four times the width, and the mirror image as decoder; reflecting borders. The bottleneck is a product
quantizer of fewer codebooks, so that 224x224x14 clips take 8,232 bytes (256x) with six codebooks of 256 entries.
"""

import math
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from methods.networks.kinds import CompressorNetwork
from methods.shared.code_size import code_grid
from methods.shared.settings import CompressorSettings

N_BLOCKS = 2


class Block(nn.Module):
    """x + conv1x1(relu(conv3x3(relu(x)))) on each time slice, four times as wide inside."""

    def __init__(self, width: int):
        super().__init__()
        self.conv = nn.Conv2d(width, 4 * width, 3, padding=1)
        self.mix = nn.Conv2d(4 * width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.mix(F.relu(self.conv(F.relu(x))))


def channels(settings: CompressorSettings) -> list[int]:
    """Channels after each halving of rows and columns. ValueError for a patch that halvings do not give."""
    _, rows, columns = settings.patch
    n = round(math.log2(rows))
    if rows != columns or 2**n != rows or n < 1 or settings.width % 2 ** (n - 1):
        raise ValueError(
            f"compressor.network=convolutional halves rows and columns: compressor.patch={list(settings.patch)} must "
            f"have equal rows and columns, 2, 4, 8 or 16, and compressor.width={settings.width} a multiple of a half"
        )
    return [settings.width // 2 ** (n - 1 - i) for i in range(n)]


class Encoder(nn.Module):
    """Clips [B,T,H,W,3] in 0..1 -> latents [B,T',H',W',dim]."""

    def __init__(self, clip_shape: tuple[int, ...], settings: CompressorSettings):
        super().__init__()
        self.grid, width = code_grid(clip_shape, settings), settings.width
        layers, inward = [], 3
        for outward in channels(settings):
            layers += [nn.Conv2d(inward, outward, 4, 2, 1, padding_mode="reflect"), nn.ReLU()]
            inward = outward
        self.space = nn.Sequential(*layers[:-1])  # no ReLU after the last
        self.time = nn.Conv2d(settings.patch[0] * width, width, 1)  # the frames of a code position side by side
        self.blocks = nn.Sequential(*(Block(width) for _ in range(N_BLOCKS)))
        self.outward = nn.Conv2d(width, settings.dim, 1)

    def forward(self, clips: Tensor) -> Tensor:
        t, h, w = self.grid
        x = self.space(clips.flatten(0, 1).permute(0, 3, 1, 2))
        x = self.time(x.reshape(len(clips) * t, -1, h, w))
        return self.outward(self.blocks(x)).permute(0, 2, 3, 1).reshape(len(clips), t, h, w, -1)


class Decoder(nn.Module):
    """Codebook vectors [B,T',H',W',dim] -> clips [B,T,H,W,3], not clamped."""

    def __init__(self, clip_shape: tuple[int, ...], settings: CompressorSettings):
        super().__init__()
        self.shape, width = tuple(clip_shape), settings.width
        self.inward = nn.Conv2d(settings.dim, width, 1)
        self.blocks = nn.Sequential(*(Block(width) for _ in range(N_BLOCKS)))
        self.time = nn.Conv2d(width, settings.patch[0] * width, 1)
        sizes = [*reversed(channels(settings)), 3]
        layers = []
        for inward, outward in pairwise(sizes):
            layers += [nn.ReLU(), nn.ConvTranspose2d(inward, outward, 4, 2, 1)]
        self.space = nn.Sequential(*layers)

    def forward(self, vectors: Tensor) -> Tensor:
        frames, (batch, _, h, w, _) = self.shape[0], vectors.shape
        x = self.inward(vectors.flatten(0, 1).permute(0, 3, 1, 2))
        x = self.time(self.blocks(x)).reshape(batch * frames, -1, h, w)
        return self.space(x).permute(0, 2, 3, 1).reshape(batch, *self.shape)


class Convolutional(CompressorNetwork):
    """3-D convolutions with strides."""

    encoder = Encoder
    decoder = Decoder
