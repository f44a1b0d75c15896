"""A decoded frame as a player shows it: colors, turned and mirrored, with square pixels."""

from fractions import Fraction
from typing import Any

import av
import numpy as np
from PIL import Image

# Pixels that are square to this share stay as they are: sizes rounded to whole pixels make them a little off.
NEARLY_SQUARE = 0.02


def picture(frame: av.VideoFrame, pixel_aspect: Fraction | None) -> np.ndarray:
    """The pixels of a frame: uint8 [H, W, 3] RGB by the matrix and range that it declares, upright.

    pixel_aspect: width of a pixel by its height; None where the file does not say. The longer side is made longer.
    """
    pixels = frame.to_ndarray(format="rgb24")
    if pixel_aspect is not None and pixel_aspect > 0 and abs(pixel_aspect - 1) > NEARLY_SQUARE:
        height, width = pixels.shape[:2]
        size = (round(width * max(1, pixel_aspect)), round(height / min(1, pixel_aspect)))
        pixels = np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR))
    matrix: Any = frame.side_data.get("DISPLAYMATRIX")
    return pixels if matrix is None else displayed(pixels, np.frombuffer(matrix, np.int32))


def displayed(pixels: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Pixels [H, W, 3] as a display matrix (nine numbers as FFmpeg has them) turns and mirrors them.

    A pixel at x, y is shown at a x + c y, b x + d y, with a, b in the first row and c, d in the second; other angles
    than quarter turns go to the nearest.
    """
    a, b, _, c, d = matrix[:5].tolist()
    if abs(b) + abs(c) > abs(a) + abs(d):
        pixels, right, down = pixels.transpose(1, 0, 2), c, b
    else:
        right, down = a, d
    return pixels[:: -1 if down < 0 else 1, :: -1 if right < 0 else 1]
