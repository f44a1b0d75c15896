"""compressor.network=patch: one linear map a patch of the clip and a residual block; for small clips."""

import math

import torch.nn.functional as F
from torch import Tensor, nn

from methods.networks.kinds import CompressorNetwork
from methods.shared.code_size import code_grid
from methods.shared.settings import CompressorSettings


class Residual(nn.Module):
    """x + conv1x1(relu(conv3x3(relu(x)))) on each time slice."""

    def __init__(self, width: int):
        super().__init__()
        self.conv = nn.Conv2d(width, width, 3, padding=1)
        self.mix = nn.Conv2d(width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.mix(F.relu(self.conv(F.relu(x))))


class Encoder(nn.Module):
    """Clips [B,T,H,W,3] in 0..1 -> latents [B,T',H',W',dim], one a patch."""

    def __init__(self, clip_shape: tuple[int, ...], settings: CompressorSettings):
        super().__init__()
        self.patch, self.grid = tuple(settings.patch), code_grid(clip_shape, settings)
        self.inward = nn.Linear(math.prod(self.patch) * 3, settings.width)
        self.residual = Residual(settings.width)
        self.outward = nn.Linear(settings.width, settings.dim)

    def forward(self, clips: Tensor) -> Tensor:
        (pt, ph, pw), (t, h, w) = self.patch, self.grid
        x = (
            clips.reshape(-1, t, pt, h, ph, w, pw, 3)
            .permute(0, 1, 3, 5, 2, 4, 6, 7)
            .reshape(-1, h, w, pt * ph * pw * 3)
        )
        x = self.inward(x).permute(0, 3, 1, 2)  # a channels-last view, the fast layout for the convolution
        x = self.residual(x).permute(0, 2, 3, 1)
        return self.outward(x).reshape(-1, t, h, w, self.outward.out_features)


class Decoder(nn.Module):
    """Codebook vectors [B,T',H',W',dim] -> clips [B,T,H,W,3], not clamped."""

    def __init__(self, clip_shape: tuple[int, ...], settings: CompressorSettings):
        super().__init__()
        self.patch, self.grid = tuple(settings.patch), code_grid(clip_shape, settings)
        self.inward = nn.Linear(settings.dim, settings.width)
        self.residual = Residual(settings.width)
        self.outward = nn.Linear(settings.width, math.prod(self.patch) * 3)

    def forward(self, vectors: Tensor) -> Tensor:
        (pt, ph, pw), (t, h, w) = self.patch, self.grid
        x = self.inward(vectors.flatten(0, 1)).permute(0, 3, 1, 2)
        x = self.outward(self.residual(x).permute(0, 2, 3, 1))
        x = x.reshape(-1, t, h, w, pt, ph, pw, 3).permute(0, 1, 4, 2, 5, 3, 6, 7)
        return x.reshape(-1, t * pt, h * ph, w * pw, 3)


class Patch(CompressorNetwork):
    """One linear map a patch and a residual block."""

    encoder = Encoder
    decoder = Decoder
