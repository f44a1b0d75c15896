"""Shape and bytes of a clip's code, from the settings alone."""

import math

from methods.shared.settings import CompressorSettings


def code_grid(clip_shape: tuple[int, ...], settings: CompressorSettings) -> tuple[int, int, int]:
    """Patches in time, rows and columns. ValueError where the patch does not divide the clip."""
    for size, patch, axis in zip(clip_shape, settings.patch, ("frames", "height", "width"), strict=False):
        if size % patch:
            raise ValueError(f"compressor.patch={list(settings.patch)} does not divide {axis}={size} of the clips "
                             "(for 14 frames of 224 pixels: profile=paper)")  # fmt: skip
    frames, rows, columns = (s // p for s, p in zip(clip_shape, settings.patch, strict=False))
    return frames, rows, columns


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
