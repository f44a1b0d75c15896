"""Frames of a video file by presentation time (PyAV)."""

from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np

# Times given with few decimals fall just short of the frame they mean; the tolerance is far below any frame's length.
TOLERANCE = 1e-6


class BadVideo(ValueError):
    """A file that cannot be decoded as asked; the message names the file and the reason."""


def frame_times(start: float, stop: float, n: int) -> np.ndarray:
    """The middles of `n` equal parts of [start, stop], seconds, float64 [n]."""
    return start + (stop - start) * (np.arange(n) + 0.5) / n


def decode(path: Path | str, times: Sequence[float]) -> np.ndarray:
    """The frames shown at `times` (seconds on the player's timeline, any order): uint8 [T, H, W, 3] RGB, upright.

    A frame is shown from its presentation time on; before the first frame the first is taken, past the end the last.
    Raises FileNotFoundError, or BadVideo for a file that is damaged, cut short or without video: a decoder that passes
    over damaged packets returns wrong frames without a word.
    """
    wanted = np.asarray(times, dtype=float)
    if wanted.ndim != 1 or not len(wanted) or not np.isfinite(wanted).all():
        raise ValueError(f"times must be a non-empty list of finite seconds, not {times!r}")
    order = np.argsort(wanted, kind="stable")
    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise BadVideo(f"{path}: no video stream")
            stream = container.streams.video[0]
            stream.thread_type = "NONE"
            frames = _sweep(container, stream, wanted[order], path)
    except FileNotFoundError:
        raise
    except av.error.FFmpegError as error:
        raise BadVideo(f"{path}: {error}") from error
    out = np.empty((len(wanted), *frames[0].shape), np.uint8)
    for position, frame in zip(order, frames, strict=True):
        if frame.shape != out.shape[1:]:
            raise BadVideo(f"{path}: the frame size changes from {out.shape[1:3]} to {frame.shape[:2]}")
        out[position] = frame
    return out


def _sweep(container, stream, targets: np.ndarray, path: Path | str) -> list[np.ndarray]:
    """One pass from the key frame before the first target to the last; `targets` ascend."""
    base = stream.time_base
    begin = float((stream.start_time or 0) * base)
    sought = targets[0] > begin
    if sought:
        container.seek(int(np.floor(targets[0] / float(base))), stream=stream)
    frames: list[np.ndarray] = []
    shown = last = pixels = None  # `pixels` is the converted `shown`
    for frame in container.decode(stream):
        if frame.pts is None:
            raise BadVideo(f"{path}: a frame has no presentation time")
        now = float(frame.pts * base)
        if last is None and sought and now > targets[0] + TOLERANCE:
            raise BadVideo(f"{path}: seeking to {targets[0]:.3f} s arrives late, at {now:.3f} s")
        while len(frames) < len(targets) and targets[len(frames)] + TOLERANCE < now:
            source = frame if last is None else last
            if source is not shown:
                shown, pixels = source, _upright(source)
            frames.append(pixels)
        last = frame
        if len(frames) == len(targets):
            return frames
    if last is None:
        raise BadVideo(f"{path}: no frame could be decoded at {targets[0]:.3f} s")
    _check_end(stream, last, targets[-1], path)
    pixels = pixels if last is shown else _upright(last)
    return frames + [pixels] * (len(targets) - len(frames))


def _upright(frame: av.VideoFrame) -> np.ndarray:
    pixels = frame.to_ndarray(format="rgb24")
    return np.rot90(pixels, round(frame.rotation / 90)) if frame.rotation % 360 else pixels


def _check_end(stream, last: av.VideoFrame, target: float, path: Path | str) -> None:
    """A file cut short decodes without an error up to the cut: compare its end with what the header promises."""
    if stream.duration is None:
        return
    promised = float(((stream.start_time or 0) + stream.duration) * stream.time_base)
    end = float((last.pts + (last.duration or 0)) * stream.time_base)
    slack = max(0.1, 2.0 / float(stream.average_rate or 25))
    if min(promised, target) > end + slack:
        raise BadVideo(f"{path}: frames end at {end:.2f} s, its header promises {promised:.2f} s")
