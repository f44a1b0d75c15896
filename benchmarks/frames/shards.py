"""How one shard of a frame cache is written: clips of a few videos, decoded in one pass each, packed in one file."""

import io
import time
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image

from benchmarks.frames.decode import BadVideo, extent, fit, frame_times, shown
from benchmarks.frames.find import VideoFile, absence

CODECS = ("raw", "jpeg")
JPEG_QUALITY = 90
ENTRY = np.dtype([("row", "<i8"), ("shard", "<i4"), ("offset", "<i8"), ("bytes", "<i8"), ("crc32", "<u4")])
# Seconds by which a video may end before its clip does without being called too short.
SHORT = 0.5
BEAT_SECONDS = 0.5


@dataclass(frozen=True)
class Clip:
    """A row of the clip table: seconds of its video; stop inf means to the end."""

    row: int
    start: float
    stop: float


@dataclass(frozen=True)
class ShardJob:
    """A shard to be written to `path`; shape: stored frames, height, width of a clip.

    A job that was cut off is taken up again with the video `first` at byte `offset`; of the videos in `single` each
    clip is decoded for itself, but for those in `given_up` (row -> why).
    """

    path: Path
    videos: tuple[tuple[VideoFile, tuple[Clip, ...]], ...]
    shape: tuple[int, int, int]
    codec: str
    fit: str | None
    first: int = 0
    offset: int = 0
    single: frozenset[int] = frozenset()
    given_up: Mapping[int, str] = field(default_factory=dict)


@dataclass
class Packed:
    """What became of a video: (row, offset, bytes, crc32) of its clips; row -> why for bad and for too long ones."""

    entries: list[tuple[int, int, int, int]] = field(default_factory=list)
    bad: dict[int, str] = field(default_factory=dict)
    short: dict[int, str] = field(default_factory=dict)
    end: int = 0


@dataclass(frozen=True)
class Beat:
    """A sign of life: finished clips of the video at hand, and the row of the clip that is tried alone."""

    clips: int
    alone: int | None = None


def shard_name(number: int) -> str:
    """The file of a shard."""
    return f"shard-{number:04d}.bin"


def write_shard(job: ShardJob) -> Iterator[Beat | Packed]:
    """Decode and pack the clips of a job; yields a beat now and then and what became of each video."""
    with open(job.path, "r+b" if job.first else "wb") as out:
        out.truncate(job.offset)
        out.seek(job.offset)
        for number in range(job.first, len(job.videos)):
            yield from _pack_video(out, job, number)


def _pack_video(out: BinaryIO, job: ShardJob, number: int) -> Iterator[Beat | Packed]:
    video, listed = job.videos[number]
    packed = Packed(bad={clip.row: job.given_up[clip.row] for clip in listed if clip.row in job.given_up})
    yield Beat(0)
    clips = _within(video, [clip for clip in listed if clip.row not in packed.bad], packed, job.shape[0])
    if number not in job.single:
        try:
            yield from _write(out, packed, video, clips, job)
        except (BadVideo, OSError):
            # Damage spoils the clips that touch it; those before and after are tried alone.
            yield from _one_by_one(out, packed, video, clips, job)
    else:
        yield from _one_by_one(out, packed, video, clips, job)
    out.flush()
    packed.end = out.tell()
    yield packed


def _one_by_one(
    out: BinaryIO, packed: Packed, video: VideoFile, clips: Sequence[Clip], job: ShardJob
) -> Iterator[Beat]:
    done = {entry[0] for entry in packed.entries}
    for clip in clips:
        if clip.row not in done:
            yield Beat(len(packed.entries), alone=clip.row)
            try:
                yield from _write(out, packed, video, [clip], job, alone=clip.row)
            except (BadVideo, OSError) as error:
                packed.bad[clip.row] = str(error)


def _write(
    out: BinaryIO, packed: Packed, video: VideoFile, clips: Sequence[Clip], job: ShardJob, alone: int | None = None
) -> Iterator[Beat]:
    beat = time.monotonic()
    for clip, payload in _payloads(video, clips, job):
        if payload is not None:
            packed.entries.append((clip.row, out.tell(), len(payload), zlib.crc32(payload)))
            out.write(payload)
        if time.monotonic() - beat > BEAT_SECONDS:
            beat = time.monotonic()
            yield Beat(len(packed.entries), alone)


def _within(video: VideoFile, clips: Sequence[Clip], packed: Packed, n: int) -> list[Clip]:
    """The clips of which a frame lies in the video, open ends closed; the others become bad ones."""
    if not clips:
        return []
    try:
        there = extent(video.path, video.rate)
    except (BadVideo, OSError) as error:
        why = f"{video.path}: {absence(video.path)}" if isinstance(error, FileNotFoundError) else str(error)
        packed.bad |= {clip.row: why for clip in clips}
        return []
    inside = []
    for clip in clips:
        start, stop = clip.start, clip.stop
        if np.isinf(stop):
            start, stop = (there.begin if start < there.begin - there.slack else start), there.end
        ends = f"{video.path}: ends at {there.end:.2f} s, the clip"
        shown = there.holds(frame_times(start, stop, n)) if stop > start else np.zeros(n, bool)
        if not shown.any() and stop <= there.begin:
            packed.bad[clip.row] = f"{video.path}: begins at {there.begin:.2f} s, the clip ends at {stop:.2f} s"
        elif not shown.any() or start >= there.end:
            packed.bad[clip.row] = f"{ends} begins at {start:.2f} s"
        else:
            inside.append(Clip(clip.row, start, stop))
            if stop > there.end + SHORT or not shown[-1]:
                packed.short[clip.row] = f"{ends} at {stop:.2f} s"
            elif not shown[0]:
                packed.short[clip.row] = f"{video.path}: begins at {there.begin:.2f} s, the clip at {start:.2f} s"
    return inside


def _payloads(video: VideoFile, clips: Sequence[Clip], job: ShardJob) -> Iterator[tuple[Clip, bytes | None]]:
    """The packed frames of each clip, as soon as its last frame is there: one pass, little in memory.

    Between them comes (clip, None) for every other frame, so that a long clip is not silent.
    """
    if not clips:
        return
    n, height, width = job.shape
    times = np.concatenate([frame_times(clip.start, clip.stop, n) for clip in clips])
    order = np.argsort(times, kind="stable")
    parts: list[list[bytes]] = [[] for _ in clips]
    last: list[np.ndarray | None] = [None] * len(clips)
    source, packed = None, b""
    for place, frame in zip(order.tolist(), shown(video.path, times[order], video.rate), strict=True):
        if frame is not source:
            if job.fit is None and frame.shape[:2] != (height, width):
                size = f"frames of {frame.shape[:2]}, not of {(height, width)} (height, width)"
                raise BadVideo(f"{video.path}: {size}")
            pixels = frame if job.fit is None else fit(frame, height, width, job.fit)
            source, packed = frame, _pack(pixels, job.codec)
        which = place // n
        # The frames of a clip come in their order; one shown again takes no more room, where frames have lengths.
        parts[which].append(b"" if last[which] is frame and job.codec == "jpeg" else packed)
        last[which] = frame
        if len(parts[which]) == n:
            yield clips[which], _join(parts[which], job.codec)
            parts[which], last[which] = [], None
        else:
            yield clips[which], None


def _pack(pixels: np.ndarray, codec: str) -> bytes:
    if codec == "raw":
        return np.ascontiguousarray(pixels).tobytes()
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()


def _join(parts: Sequence[bytes], codec: str) -> bytes:
    """The frames one after the other; JPEG files after a list of their lengths (uint32 each, 0: the one before)."""
    head = b"" if codec == "raw" else np.array([len(part) for part in parts], "<u4").tobytes()
    return head + b"".join(parts)


def from_jpeg(payload: np.ndarray, n: int, chosen: Sequence[int]) -> np.ndarray:
    """The `chosen` of the n frames of a packed clip: uint8 [T, H, W, 3]."""
    lengths = payload[: 4 * n].view("<u4")
    ends = 4 * n + np.cumsum(lengths, dtype=np.int64)
    own = np.maximum.accumulate(np.where(lengths > 0, np.arange(n), 0))[chosen]
    frames: dict[int, np.ndarray] = {}
    for k in own.tolist():
        if k not in frames:
            frames[k] = np.asarray(Image.open(io.BytesIO(payload[ends[k] - lengths[k] : ends[k]].tobytes())))
    return np.stack([frames[k] for k in own.tolist()])
