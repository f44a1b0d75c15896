"""What a network must give to be chosen by name; CLASSIFIERS and COMPRESSORS of methods.networks list them."""

from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from methods.networks.head import Headed
    from methods.shared.settings import ClassifierSettings, CompressorSettings


class ClassifierNetwork:
    """Makes the classifier of methods that learn from pixels, and of methods that learn from codes."""

    @staticmethod
    def on_pixels(
        clip_shape: tuple[int, ...], compressor: "CompressorSettings", classifier: "ClassifierSettings", n_classes: int
    ) -> "Headed":
        """A module: clips, uint8 or float in 0..1 [B,T,H,W,3] -> logits [B, n_classes]."""
        raise NotImplementedError

    @staticmethod
    def on_codes(
        clip_shape: tuple[int, ...], compressor: "CompressorSettings", classifier: "ClassifierSettings", n_classes: int
    ) -> "Headed":
        """A module: codebook vectors [B,T',H',W',dim] -> logits [B, n_classes]."""
        raise NotImplementedError


class CompressorNetwork:
    """Makes the two halves of the compressor."""

    @staticmethod
    def encoder(clip_shape: tuple[int, ...], settings: "CompressorSettings") -> nn.Module:
        """A module: clips, float in 0..1 [B,T,H,W,3] -> latents [B,T',H',W',dim]."""
        raise NotImplementedError

    @staticmethod
    def decoder(clip_shape: tuple[int, ...], settings: "CompressorSettings") -> nn.Module:
        """A module: latents [B,T',H',W',dim] -> clips, float [B,T,H,W,3]."""
        raise NotImplementedError
