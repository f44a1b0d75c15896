"""Drawing of moving digits and the writing of their mp4 files."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from PIL import Image

from benchmarks.randomness import generator

FRAMES, SIZE, FPS = 8, 32, 8


@dataclass(frozen=True)
class Difficulty:
    """How hard the digits are to read; every change makes new files and a new clip table hash. Pairs are ranges."""

    digit_size: tuple[float, float] = (17.0, 22.0)  # pixels, side of the 8x8 image
    alpha: tuple[float, float] = (0.75, 0.95)  # opacity of the digit's strokes
    light_digit: tuple[float, float] = (0.85, 1.0)  # grey level of a light digit, on dark backgrounds
    dark_digit: tuple[float, float] = (0.0, 0.15)
    dark_background: tuple[float, float] = (0.05, 0.45)  # the two colors of a background span this range
    light_background: tuple[float, float] = (0.55, 0.95)
    saturation: tuple[float, float] = (0.35, 0.75)
    hue_width: float = 0.12  # of the hue circle, a block's range
    noise: float = 0.03  # standard deviation of each pixel, of full range
    jitter: float = 0.015  # standard deviation of the position in each frame, of half the frame
    centre: float = 2.0  # pixels, the middle of the path is off the frame's middle by at most this
    shift: tuple[float, float] = (5.0, 8.0)  # pixels to either side
    rotation: tuple[float, float] = (0.7, 1.0)  # radians to either side; below pi/2, so that 6 and 9 stay different
    zoom: tuple[float, float] = (0.25, 0.4)  # natural logarithm of the scale, to either side
    orbit: tuple[float, float] = (4.5, 7.0)  # pixels, radius
    orbit_turn: tuple[float, float] = (0.75, 1.0)  # of a full circle


DIFFICULTY = Difficulty()


@dataclass(frozen=True)
class Look:
    """What the clips of a block have in common besides their actions."""

    family: str
    hue: float
    light_digit: bool


@dataclass(frozen=True)
class VideoJob:
    """One file: clips `numbers` of one class and split, with the 8x8 digit image [N, 8, 8] and the look of each."""

    path: Path
    key: tuple[int | str, ...]
    verb: str
    numbers: range
    images: np.ndarray
    looks: tuple[Look, ...]


# ---- motion: x, y (pixels off the middle), angle (radians, clockwise) and log scale of each frame

_PHASE = np.linspace(-1.0, 1.0, FRAMES)
_STILL = np.zeros(FRAMES)
VERBS = ("left", "right", "up", "down", "rotate cw", "rotate ccw", "zoom in", "zoom out", "orbit cw", "orbit ccw")


def _path(verb: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    d = DIFFICULTY
    if verb in ("left", "right"):
        return _PHASE * rng.uniform(*d.shift) * (1 if verb == "right" else -1), _STILL, _STILL, _STILL
    if verb in ("up", "down"):
        return _STILL, _PHASE * rng.uniform(*d.shift) * (1 if verb == "down" else -1), _STILL, _STILL
    sign = 1 if verb.endswith((" cw", " in")) else -1
    if verb.startswith("rotate"):
        return _STILL, _STILL, sign * _PHASE * rng.uniform(*d.rotation), _STILL
    if verb.startswith("zoom"):
        return _STILL, _STILL, _STILL, sign * _PHASE * rng.uniform(*d.zoom)
    radius, begin = rng.uniform(*d.orbit), rng.uniform(0, 2 * np.pi)
    angle = begin + sign * np.pi * rng.uniform(*d.orbit_turn) * (1 + _PHASE)
    return radius * np.cos(angle), radius * np.sin(angle), _STILL, _STILL


# ---- backgrounds: a pattern in [0, 1] over the frame, blended between two colors of the block's hue range

_Y, _X = np.mgrid[0:SIZE, 0:SIZE] - (SIZE - 1) / 2


def _turned(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    angle = rng.uniform(0, np.pi)
    return np.cos(angle) * _X + np.sin(angle) * _Y, np.cos(angle) * _Y - np.sin(angle) * _X


def _gradient(rng: np.random.Generator) -> np.ndarray:
    along, _ = _turned(rng)
    ramp = (along - along.min()) / (along.max() - along.min())
    return ramp if rng.random() < 0.5 else 1 - ramp


def _stripes(rng: np.random.Generator) -> np.ndarray:
    along, _ = _turned(rng)
    return 0.5 + 0.5 * np.sin(2 * np.pi * (along / rng.uniform(5, 9) + rng.random()))


def _checkerboard(rng: np.random.Generator) -> np.ndarray:
    side = rng.uniform(4, 7)
    across, down = rng.uniform(0, 2 * side, 2)
    return (np.floor((_X + across) / side) + np.floor((_Y + down) / side)) % 2


def _blobs(rng: np.random.Generator) -> np.ndarray:
    x, y, width = rng.uniform(-16, 16, (5, 1, 1)), rng.uniform(-16, 16, (5, 1, 1)), rng.uniform(3, 6, (5, 1, 1))
    return np.minimum(np.exp(-((_X - x) ** 2 + (_Y - y) ** 2) / (2 * width**2)).sum(0), 1)


def _dots(rng: np.random.Generator) -> np.ndarray:
    u, v = _turned(rng)
    side = rng.uniform(6, 9)
    across, down = rng.uniform(0, side, 2)
    near = np.hypot((u + across) % side - side / 2, (v + down) % side - side / 2)
    return np.clip(0.28 * side - near + 0.5, 0, 1)


def _rings(rng: np.random.Generator) -> np.ndarray:
    x, y = rng.uniform(-12, 12, 2)
    return 0.5 + 0.5 * np.sin(2 * np.pi * (np.hypot(_X - x, _Y - y) / rng.uniform(5, 8) + rng.random()))


def _mosaic(rng: np.random.Generator) -> np.ndarray:
    return np.kron(rng.random((16, 16)), np.ones((2, 2)))


def _bricks(rng: np.random.Generator) -> np.ndarray:
    height, mortar = rng.uniform(5, 8), 1.2
    y = _Y + rng.uniform(0, 2 * height) + 2 * SIZE
    x = _X + rng.uniform(0, 2 * height) + 2 * SIZE + height * (np.floor(y / height) % 2)
    return ((y % height > mortar) & (x % (2 * height) > mortar)).astype(float)


FAMILIES: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
    "gradient": _gradient,
    "stripes": _stripes,
    "checkerboard": _checkerboard,
    "blobs": _blobs,
    "dots": _dots,
    "rings": _rings,
    "mosaic": _mosaic,
    "bricks": _bricks,
}


def _background(look: Look, rng: np.random.Generator) -> np.ndarray:
    low, high = DIFFICULTY.dark_background if look.light_digit else DIFFICULTY.light_background
    third = (high - low) / 3
    levels = np.array([rng.uniform(low, low + third), rng.uniform(high - third, high)])
    hues = look.hue + rng.uniform(-0.5, 0.5, 2) * DIFFICULTY.hue_width
    saturation = rng.uniform(*DIFFICULTY.saturation, 2)
    tint = np.clip(np.abs((hues[:, None] * 6 + np.array([0, 4, 2])) % 6 - 3) - 1, 0, 1)
    # Tints are taken off their mean, so that a hue changes the colour and not the contrast to the digit.
    strength = saturation * np.minimum(levels, 1 - levels)
    colors = levels[:, None] + strength[:, None] * (tint - tint.mean(1, keepdims=True))
    pattern = FAMILIES[look.family](rng)[..., None]
    return colors[0] * (1 - pattern) + colors[1] * pattern


# ---- drawing

_MARGIN, _FINE = 2, 4  # empty pixels around the 8x8 image; samples a pixel after the bicubic enlargement


def _enlarged(image: np.ndarray) -> np.ndarray:
    padded = np.pad(image.astype(np.float32) / 16, _MARGIN)
    side = padded.shape[0] * _FINE
    return np.clip(np.asarray(Image.fromarray(padded).resize((side, side), Image.Resampling.BICUBIC)), 0, 1)


def _sampled(image: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Bilinear samples at x, y (positions in `image`); the border, which is empty, goes on outside."""
    side = image.shape[0]
    x, y = np.clip(x, 0, side - 1.001), np.clip(y, 0, side - 1.001)
    left, top = x.astype(np.int32), y.astype(np.int32)
    a, b = x - left, y - top
    flat, corner = image.ravel(), top * side + left
    upper = flat[corner] * (1 - a) + flat[corner + 1] * a
    lower = flat[corner + side] * (1 - a) + flat[corner + side + 1] * a
    return upper * (1 - b) + lower * b


def draw_clip(verb: str, image: np.ndarray, look: Look, rng: np.random.Generator) -> np.ndarray:
    """One clip of a digit image [8, 8] (0 to 16) moving as `verb` says: uint8 [FRAMES, SIZE, SIZE, 3]."""
    d = DIFFICULTY
    background = _background(look, rng).astype(np.float32)
    x, y, angle, log_scale = _path(verb, rng)
    centre = rng.uniform(-d.centre, d.centre, 2)
    shake = rng.standard_normal((2, FRAMES)) * d.jitter * SIZE / 2
    x, y = x + centre[0] + shake[0], y + centre[1] + shake[1]
    scale = np.exp(log_scale) * rng.uniform(*d.digit_size) / 8  # frame pixels a pixel of the image
    grey = rng.uniform(*(d.light_digit if look.light_digit else d.dark_digit))
    alpha = rng.uniform(*d.alpha)

    # Each frame pixel is taken back through the motion to its place in the enlarged image.
    fine = _enlarged(image)
    right, down = (_X - x[:, None, None]).astype(np.float32), (_Y - y[:, None, None]).astype(np.float32)
    cos, sin = ((f(angle) / scale * _FINE).astype(np.float32)[:, None, None] for f in (np.cos, np.sin))
    middle = np.float32((fine.shape[0] - 1) / 2)
    mask = alpha * _sampled(fine, middle + cos * right + sin * down, middle + cos * down - sin * right)

    frames = background + mask[..., None] * (grey - background)
    frames += d.noise * rng.standard_normal(frames.shape, dtype=np.float32)
    return (np.clip(frames, 0, 1) * 255 + 0.5).astype(np.uint8)


def clip_generator(key: tuple[int | str, ...], number: int) -> np.random.Generator:
    """The one source of everything random in a clip besides its look; key = data_seed, class, split."""
    return generator("moving digits clip", *key, number)


# ---- files

# Near-lossless: at crf 6 the loss is far below the pixel noise.
_X264 = {"crf": "6", "preset": "ultrafast", "g": str(FRAMES), "keyint_min": str(FRAMES), "bf": "0", "threads": "1"}


def write_video(job: VideoJob) -> None:
    """Draw the clips of a job and write them one after the other, each a second long and begun by a key frame."""
    job.path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(job.path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS, options=_X264)
        stream.width = stream.height = SIZE
        stream.pix_fmt = "yuv444p"
        stream.thread_type = "NONE"
        time = 0
        for number, image, look in zip(job.numbers, job.images, job.looks, strict=True):
            for pixels in draw_clip(job.verb, image, look, clip_generator(job.key, number)):
                frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
                frame.pts = time
                time += 1
                container.mux(stream.encode(frame))
        container.mux(stream.encode())
