"""The VQ-VAE that turns clips into small codes: patch encoder phi, codebook C, decoder psi.

Rate: frames*height*width*3 raw bytes against grid * n_codebooks * ceil(log2 entries) / 8 code bytes.
"""

import copy
import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from methods.quantiser import ProductQuantiser
from methods.settings import CompressorSettings


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


class Snapshot(nn.Module):
    """A frozen copy of decoder and codebook: what decodes codes of the task before (design: both, or it is wrong)."""

    carried = True  # counted as memory, not as the live model

    def __init__(self, decoder: Decoder, codebook: Tensor):
        super().__init__()
        self.decoder = copy.deepcopy(decoder).requires_grad_(False).eval()
        self.register_buffer("codebook", codebook.clone())

    @torch.no_grad()
    def decode(self, codes: Tensor) -> Tensor:
        """Codes -> clips float [B,T,H,W,3], clamped to 0..1."""
        return self.decoder(ProductQuantiser.look_up(self.codebook, codes)).clamp(0, 1)


class Compressor(nn.Module):
    """Encoder, product quantiser and decoder, trained together (VQ-VAE, van den Oord et al. 2017; EMA codebook)."""

    def __init__(self, clip_shape: tuple[int, ...], settings: CompressorSettings):
        super().__init__()
        self.settings = settings
        self.encoder = Encoder(clip_shape, settings)
        self.quantiser = ProductQuantiser(settings)
        self.decoder = Decoder(clip_shape, settings)

    def loss(self, clips: Tensor, generator: torch.Generator, replace: bool) -> Tensor:
        """Reconstruction + commitment on float clips in 0..1; moves the codebook by one EMA step."""
        latents = self.encoder(clips)
        vectors, commitment = self.quantiser.learn(latents, generator, replace)
        reconstruction = F.mse_loss(self.decoder(vectors), clips)
        return self.settings.reconstruction * reconstruction + self.settings.commitment * commitment

    @torch.no_grad()
    def encode(self, clips: Tensor) -> Tensor:
        """Clips, uint8 or float in 0..1 [B,T,H,W,3] -> codes int64 [B,T',H',W',n_codebooks]."""
        return self.quantiser.nearest(self.encoder(to_float(clips)))

    @torch.no_grad()
    def decode(self, codes: Tensor) -> Tensor:
        """Codes -> clips float [B,T,H,W,3], clamped to 0..1."""
        return self.decoder(self.embed(codes)).clamp(0, 1)

    def embed(self, codes: Tensor) -> Tensor:
        """Codes -> codebook vectors [B,T',H',W',dim], what the classifier sees."""
        return ProductQuantiser.look_up(self.quantiser.codebook, codes)

    def snapshot(self) -> Snapshot:
        return Snapshot(self.decoder, self.quantiser.codebook)


def to_float(clips: Tensor) -> Tensor:
    """Clips uint8 -> float in 0..1; floats pass."""
    return clips.float() / 255 if clips.dtype == torch.uint8 else clips


def code_grid(clip_shape: tuple[int, ...], settings: CompressorSettings) -> tuple[int, int, int]:
    """Patches in time, rows and columns. ValueError where the patch does not divide the clip."""
    for size, patch, axis in zip(clip_shape, settings.patch, ("frames", "height", "width"), strict=False):
        if size % patch:
            raise ValueError(f"compressor.patch={list(settings.patch)} does not divide {axis}={size} of the clips")
    return tuple(s // p for s, p in zip(clip_shape, settings.patch, strict=False))


def code_shape(clip_shape: tuple[int, ...], settings: CompressorSettings) -> tuple[int, int, int, int]:
    """Shape of one clip's code: grid and codebooks."""
    return (*code_grid(clip_shape, settings), settings.n_codebooks)


def index_bits(settings: CompressorSettings) -> int:
    """Bits an index takes when packed."""
    return max(1, math.ceil(math.log2(settings.entries)))


def code_bytes(clip_shape: tuple[int, ...], settings: CompressorSettings) -> int:
    """Bytes a packed clip takes in the buffer, without label and id."""
    return math.ceil(math.prod(code_shape(clip_shape, settings)) * index_bits(settings) / 8)


def compression_rate(clip_shape: tuple[int, ...], settings: CompressorSettings) -> float:
    """Raw uint8 bytes over code bytes."""
    return math.prod(clip_shape) / code_bytes(clip_shape, settings)
