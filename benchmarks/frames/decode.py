"""Frames of a video by presentation time (PyAV), and of folders of numbered images."""

import os
import re
from collections import deque
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from benchmarks.frames.picture import picture
from benchmarks.frames.video import TOLERANCE, BadVideo, Video
from harness.common.words import check_choice

# Between clips further apart than this (seconds), seeking costs less than decoding on.
SEEK_GAP = 5.0
# A decoder holds back no more than so many frames, to give them in their order.
LAST_FRAMES = 17
FITS = ("crop", "stretch")


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
        if frame.shape != out.shape[1:]:
            raise BadVideo(f"{path}: the frame size changes from {out.shape[1:3]} to {frame.shape[:2]}")
        out[position] = frame
    return out


def shown(path: Path | str, times: np.ndarray, rate: float | None = None) -> Iterator[np.ndarray]:
    """The frames of `decode` one after the other, for ascending `times`; a frame shown again is the same object.

    Their sizes may differ where the video's does.
    """
    return _images(Path(path), times, rate) if rate is not None else _decoded(path, times)


class Extent(NamedTuple):
    """Where a video begins and ends on the player's timeline, seconds; a time may lie `slack` outside unnamed."""

    begin: float
    end: float
    slack: float = 0.1

    def holds(self, times: np.ndarray) -> np.ndarray:
        """Whether a frame is shown at each of the times, give or take the slack: bool, in their shape."""
        return (times >= self.begin - self.slack) & (times <= self.end + self.slack)


def extent(path: Path | str, rate: float | None = None) -> Extent:
    """Begin and end of a video; of headers and packets, nothing is decoded. Raises BadVideo, or FileNotFoundError."""
    if rate is not None:
        return Extent(0.0, max(_numbered(Path(path))) / rate)
    with Video(path) as video:
        return Extent(*video.extent(), video.slack)


def pixel_rate(path: Path | str) -> float | None:
    """Pixels that a second of the video has, as its header says; None where it does not say, or is no video file."""
    try:
        with Video(path) as video:
            return float(video.stream.width * video.stream.height * (video.stream.average_rate or 0)) or None
    except (BadVideo, OSError):
        return None


# ---- video files


def _decoded(path: Path | str, times: np.ndarray) -> Iterator[np.ndarray]:
    with Video(path) as video:
        inside = False
        for part in np.split(times, np.flatnonzero(np.diff(times) > SEEK_GAP) + 1):
            one_pass = _Pass(video, part)
            yield from one_pass.frames()
            inside = inside or bool(Extent(one_pass.begin, one_pass.end, video.slack).holds(part).any())
        if not inside:
            raise BadVideo(f"{path}: {one_pass.where()}")


class _Pass:
    """One pass from the key frame before the first of `targets`, which ascend, to the last."""

    def __init__(self, video: Video, targets: np.ndarray) -> None:
        self.video, self.targets = video, targets
        self.begin, self.end = -np.inf, np.inf  # where the video begins and ends, as far as the pass came to see it

    def frames(self) -> Iterator[np.ndarray]:
        """The frame of each target; the first or last one for targets before or past all."""
        targets, done = self.targets, 0
        last = source = None
        times: deque[float] = deque(maxlen=LAST_FRAMES)
        pixels = np.empty(0, np.uint8)  # the converted `source`
        for now, frame in self.video.frames_from(targets[0]):
            if last is None and now > targets[0] + TOLERANCE:
                self.begin = now
            while done < len(targets) and targets[done] + TOLERANCE < now:
                due = frame if last is None else last
                if due is not source:
                    source, pixels = due, picture(due, self.video.stream.sample_aspect_ratio)
                yield pixels
                done += 1
            last = frame
            times.append(now)
            if done == len(targets):
                return
        if last is None:
            raise BadVideo(f"{self.video.path}: no frame could be decoded at {targets[0]:.3f} s")
        self.end = times[-1] + (float(last.duration * self.video.base) if last.duration else self.video.frame_seconds)
        self._check_end(list(times))
        pixels = pixels if last is source else picture(last, self.video.stream.sample_aspect_ratio)
        for _ in range(done, len(targets)):
            yield pixels

    def _check_end(self, times: Sequence[float]) -> None:
        """A file cut short decodes without an error up to the cut: compare its end with what the header promises.

        times: of the last frames. Where the cut took B-frames, the frame before them would be shown too long.
        """
        promised, target = self.video.promised_end(), self.targets[-1]
        if self.video.cut or self.video.broadcast or (self.video.said_end() or 0) > self.end + self.video.slack:
            holes = [before for before, after in pairwise(times) if after - before > 1.5 * self.video.frame_seconds]
            whole = holes[0] + self.video.frame_seconds if holes else self.end
            if target > whole + TOLERANCE and (holes or self.video.cut):
                raise BadVideo(f"{self.video.path}: is damaged or cut off at {whole:.2f} s")
        if promised is not None and min(promised, target) > self.end + self.video.slack:
            raise BadVideo(f"{self.video.path}: frames end at {self.end:.2f} s, its header promises {promised:.2f} s")

    def where(self) -> str:
        """Where the video is and where the targets are, for a message."""
        if np.isfinite(self.end):
            return f"ends at {self.end:.2f} s, before {self.targets[0]:.2f} s"
        return f"begins at {self.begin:.2f} s, after {self.targets[-1]:.2f} s"


# ---- folders of images

IMAGE = re.compile(r"frame_(\d{10})\.(?:jpg|png)", re.ASCII)


def _numbered(folder: Path) -> dict[int, str]:
    """Number -> file name of the images of a folder, listed anew where it has changed. BadVideo where it has none."""
    images = _listed(folder, os.stat(folder).st_mtime_ns)
    if not images:
        raise BadVideo(f"{folder}: no frame_0000000001.jpg")
    return images


@lru_cache(maxsize=2)
def _listed(folder: Path, _changed: int) -> dict[int, str]:
    found = (IMAGE.fullmatch(name) for name in sorted(os.listdir(folder), reverse=True))
    return {int(match[1]): match[0] for match in found if match}


def _images(folder: Path, times: np.ndarray, rate: float) -> Iterator[np.ndarray]:
    images = _numbered(folder)
    # Image n (from 1) is shown from (n - 1) / rate on.
    numbers = np.clip(np.floor((times + TOLERANCE) * rate).astype(np.int64) + 1, 1, max(images))
    last, pixels = 0, np.empty(0, np.uint8)
    for number in numbers.tolist():
        if number != last:
            if number not in images:
                there = f"it holds {len(images):,} of {max(images):,}"
                raise BadVideo(f"{folder}: image {number} is missing or damaged (there is no such file; {there})")
            try:
                with Image.open(folder / images[number]) as image:
                    last, pixels = number, np.asarray(image.convert("RGB"))
            except (OSError, SyntaxError) as error:
                raise BadVideo(f"{folder}: image {number} is missing or damaged ({error})") from error
        yield pixels
