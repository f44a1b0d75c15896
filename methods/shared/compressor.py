"""The VQ-VAE that turns clips into small codes: encoder phi, codebook C, decoder psi (networks: methods/networks).

Rate: frames*height*width*3 raw bytes against grid * n_codebooks * ceil(log2 entries) / 8 code bytes.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from methods.networks import COMPRESSORS
from methods.shared.quantizer import ProductQuantizer
from methods.shared.settings import CompressorSettings
from methods.shared.snapshot import SmallSnapshot, Snapshot


def encoder(clip_shape: tuple[int, ...], settings: CompressorSettings) -> nn.Module:
    """Clips [B,T,H,W,3] in 0..1 -> latents [B,T',H',W',dim], by the network that the settings name."""
    network: nn.Module = COMPRESSORS.get(settings.network).encoder(clip_shape, settings)
    return network


class Compressor(nn.Module):
    """Encoder, product quantizer and decoder, trained together (VQ-VAE, van den Oord et al. 2017; EMA codebook)."""

    def __init__(self, clip_shape: tuple[int, ...], settings: CompressorSettings):
        super().__init__()
        self.settings, self.compiled = settings, False
        self.encoder = encoder(clip_shape, settings)
        self.quantizer = ProductQuantizer(settings)
        self.decoder: nn.Module = COMPRESSORS.get(settings.network).decoder(clip_shape, settings)

    def loss(self, clips: Tensor, generator: torch.Generator, replace: bool) -> Tensor:
        """Reconstruction + commitment on float clips in 0..1; moves the codebook by one EMA step."""
        latents = self.encoder(clips)
        vectors, commitment = self.quantizer.learn(latents, generator, replace)
        reconstruction = F.mse_loss(self.decoder(vectors), clips)
        return self.settings.reconstruction * reconstruction + self.settings.commitment * commitment

    @torch.no_grad()
    def encode(self, clips: Tensor) -> Tensor:
        """Clips, uint8 or float in 0..1 [B,T,H,W,3] -> codes int64 [B,T',H',W',n_codebooks]."""
        return self.quantizer.nearest(self.encoder(to_float(clips)))

    @torch.no_grad()
    def decode(self, codes: Tensor) -> Tensor:
        """Codes -> clips float [B,T,H,W,3], clamped to 0..1."""
        return self.decoder(self.embed(codes)).clamp(0, 1)

    def embed(self, codes: Tensor) -> Tensor:
        """Codes -> codebook vectors [B,T',H',W',dim], what the classifier sees."""
        return ProductQuantizer.look_up(self.quantizer.codebook, codes)

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile encoder and decoder, and the decoder of later snapshots: this module itself is never called."""
        self.compiled = True
        self.encoder.compile(*args, **kwargs)
        self.decoder.compile(*args, **kwargs)

    def snapshot(self) -> Snapshot:
        """What decodes the codes of now, later on."""
        precision = self.settings.snapshot_precision
        if precision != "float32":
            return SmallSnapshot(self.decoder, self.quantizer.codebook, precision)
        snapshot = Snapshot(self.decoder, self.quantizer.codebook)
        if self.compiled:
            snapshot.decoder.compile()
        return snapshot


def to_float(clips: Tensor) -> Tensor:
    """Clips uint8 -> float in 0..1; floats pass."""
    return clips.float() / 255 if clips.dtype == torch.uint8 else clips
