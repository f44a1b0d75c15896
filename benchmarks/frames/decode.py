"""Frames of a video by presentation time (PyAV), and of folders of numbered images."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image

from harness.common.words import check_choice

# Times given with few decimals fall just short of the frame they mean; the tolerance is far below any frame's length.
TOLERANCE = 1e-6
# Between clips further apart than this (seconds), seeking costs less than decoding on.
SEEK_GAP = 5.0
FITS = ("crop", "stretch")


class BadVideo(ValueError):
    """A file that cannot be decoded as asked; the message names the file and the reason."""


def frame_times(start: float, stop: float, n: int) -> np.ndarray:
    """The middles of `n` equal parts of [start, stop], seconds, float64 [n]."""
    return start + (stop - start) * (np.arange(n) + 0.5) / n


def fit(pixels: np.ndarray, height: int, width: int, how: str) -> np.ndarray:
    """A frame [H, W, 3] at the size asked for, by Pillow's bilinear filter (antialiased).

    how: crop scales until the frame just covers the size and cuts the centre out of it; stretch ignores proportions.
    """
    check_choice("resize", how, FITS)
    h, w = pixels.shape[:2]
    if (h, w) == (height, width):
        return pixels
    box = (0.0, 0.0, float(w), float(h))
    if how == "crop":
        scale = min(h / height, w / width)
        y, x = (h - scale * height) / 2, (w - scale * width) / 2
        box = (x, y, x + scale * width, y + scale * height)
        # Pillow copies what it is given: only what its filter reaches for.
        left, right = max(0, int(x - scale) - 1), min(w, int(np.ceil(x + scale * (width + 1))) + 1)
        top, bottom = max(0, int(y - scale) - 1), min(h, int(np.ceil(y + scale * (height + 1))) + 1)
        pixels = pixels[top:bottom, left:right]
        box = (box[0] - left, box[1] - top, box[2] - left, box[3] - top)
    image = Image.fromarray(np.ascontiguousarray(pixels))
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR, box=box))


def decode(path: Path | str, times: Sequence[float], rate: float | None = None) -> np.ndarray:
    """The frames shown at `times` (seconds on the player's timeline, any order): uint8 [T, H, W, 3] RGB, upright.

    A frame is shown from its presentation time on; before the first frame the first is taken, past the end the last.
    With `rate`, `path` is a folder of images frame_0000000001.jpg ... at that many a second.
    Raises FileNotFoundError, or BadVideo for a file that is damaged, cut short or without video: a decoder that passes
    over damaged packets returns wrong frames without a word.
    """
    seconds = np.asarray(times, dtype=float)
    if seconds.ndim != 1 or not len(seconds) or not np.isfinite(seconds).all():
        raise ValueError(f"times must be a non-empty list of finite seconds, not {times!r}")
    order = np.argsort(seconds, kind="stable")
    out = np.empty(0, np.uint8)
    for place, (position, frame) in enumerate(zip(order, shown(path, seconds[order], rate), strict=True)):
        if place == 0:
            out = np.empty((len(seconds), *frame.shape), np.uint8)
        out[position] = frame
    return out


def shown(path: Path | str, times: np.ndarray, rate: float | None = None) -> Iterator[np.ndarray]:
    """The frames of `decode` one after the other, for ascending `times`; a frame shown again is the same object."""
    source = _images(Path(path), times, rate) if rate is not None else _decoded(path, times)
    shape = None
    for frame in source:
        shape = frame.shape if shape is None else shape
        if frame.shape != shape:
            raise BadVideo(f"{path}: the frame size changes from {shape[:2]} to {frame.shape[:2]}")
        yield frame


def end_time(path: Path | str, rate: float | None = None) -> float | None:
    """Where the video ends on the player's timeline, seconds, as its header says; None where it does not say."""
    if rate is not None:
        return _count(Path(path)) / rate
    with _open(path) as (container, stream):
        if stream.duration is not None:
            return float(((stream.start_time or 0) + stream.duration) * stream.time_base)
        return None if container.duration is None else container.duration / av.time_base


def pixel_rate(path: Path | str) -> float | None:
    """Pixels that a second of the video has, as its header says; None where it does not say, or is no video file."""
    try:
        with _open(path) as (_, stream):
            return float(stream.width * stream.height * (stream.average_rate or 0)) or None
    except (BadVideo, OSError):
        return None


# ---- video files


class _open:
    """The container and its first video stream, with FFmpeg's errors as BadVideo."""

    def __init__(self, path: Path | str) -> None:
        self.path = path

    def __enter__(self) -> tuple[Any, Any]:
        try:
            self.container = av.open(str(self.path))
        except FileNotFoundError:
            raise
        except (av.error.FFmpegError, OSError) as error:
            empty = Path(self.path).is_file() and not Path(self.path).stat().st_size
            raise BadVideo(f"{self.path}: {'the file is empty' if empty else error.strerror or error}") from error
        if not self.container.streams.video:
            self.container.close()
            raise BadVideo(f"{self.path}: no video stream")
        stream = self.container.streams.video[0]
        stream.thread_type = "NONE"
        return self.container, stream

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.container.close()
        if isinstance(error, av.error.FFmpegError):
            raise BadVideo(f"{self.path}: damaged: {error.strerror or error}") from error


def _decoded(path: Path | str, times: np.ndarray) -> Iterator[np.ndarray]:
    with _open(path) as (container, stream):
        for part in np.split(times, np.flatnonzero(np.diff(times) > SEEK_GAP) + 1):
            yield from _one_pass(container, stream, part, path)


def _one_pass(container: Any, stream: Any, targets: np.ndarray, path: Path | str) -> Iterator[np.ndarray]:
    """One pass from the key frame before the first target to the last; `targets` ascend."""
    base = stream.time_base
    begin = float((stream.start_time or 0) * base)
    sought = targets[0] > begin
    if sought:
        container.seek(int(np.floor(targets[0] / float(base))), stream=stream)
    done = 0
    last = source = None
    pixels = np.empty(0, np.uint8)  # the converted `source`
    for frame in container.decode(stream):
        if frame.pts is None:
            raise BadVideo(f"{path}: a frame has no presentation time")
        now = float(frame.pts * base)
        if last is None and sought and now > targets[0] + TOLERANCE:
            raise BadVideo(f"{path}: seeking to {targets[0]:.3f} s arrives late, at {now:.3f} s")
        while done < len(targets) and targets[done] + TOLERANCE < now:
            due = frame if last is None else last
            if due is not source:
                source, pixels = due, _upright(due)
            yield pixels
            done += 1
        last = frame
        if done == len(targets):
            return
    if last is None:
        raise BadVideo(f"{path}: no frame could be decoded at {targets[0]:.3f} s")
    _check_end(stream, last, targets[-1], path)
    pixels = pixels if last is source else _upright(last)
    for _ in range(done, len(targets)):
        yield pixels


def _upright(frame: av.VideoFrame) -> np.ndarray:
    pixels = frame.to_ndarray(format="rgb24")
    return np.rot90(pixels, round(frame.rotation / 90)) if frame.rotation % 360 else pixels


def _check_end(stream: Any, last: av.VideoFrame, target: float, path: Path | str) -> None:
    """A file cut short decodes without an error up to the cut: compare its end with what the header promises."""
    if stream.duration is None:
        return
    promised = float(((stream.start_time or 0) + stream.duration) * stream.time_base)
    end = float(((last.pts or 0) + (last.duration or 0)) * stream.time_base)
    slack = max(0.1, 2.0 / float(stream.average_rate or 25))
    if min(promised, target) > end + slack:
        raise BadVideo(f"{path}: frames end at {end:.2f} s, its header promises {promised:.2f} s")


# ---- folders of images


def _count(folder: Path) -> int:
    """The number of the last image, found by doubling: such folders hold up to 200,000."""
    low, high = 0, 1
    while _image(folder, high) is not None:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if _image(folder, middle) is not None else (low, middle)
    return low


def _image(folder: Path, number: int) -> Path | None:
    names = (folder / f"frame_{number:010d}{suffix}" for suffix in (".jpg", ".png"))
    return next((name for name in names if name.is_file()), None)


def _images(folder: Path, times: np.ndarray, rate: float) -> Iterator[np.ndarray]:
    count = _count(folder)
    if not count:
        raise BadVideo(f"{folder}: no frame_0000000001.jpg")
    # Image n (from 1) is shown from (n - 1) / rate on.
    numbers = np.clip(np.floor((times + TOLERANCE) * rate).astype(np.int64) + 1, 1, count)
    last, pixels = 0, np.empty(0, np.uint8)
    for number in numbers.tolist():
        if number != last:
            path = _image(folder, number)
            if path is None:
                raise BadVideo(f"{folder}: image {number} is missing or damaged (there is no such file)")
            try:
                with Image.open(path) as image:
                    last, pixels = number, np.asarray(image.convert("RGB"))
            except (OSError, SyntaxError) as error:
                raise BadVideo(f"{folder}: image {number} is missing or damaged ({error})") from error
        yield pixels
