"""The making of one shard of a frame cache: clips of a few videos, decoded in one sweep each, packed into one file."""

import io
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.clips import VideoFile
from benchmarks.video import BadVideo, end_time, fit, frame_times, shown

CODECS = ("raw", "jpeg")
JPEG_QUALITY = 90
ENTRY = np.dtype([("row", "<i8"), ("shard", "<i4"), ("offset", "<i8"), ("bytes", "<i8"), ("crc32", "<u4")])
# Seconds by which a video may end before its clip does without being called too short.
SHORT = 0.5


@dataclass(frozen=True)
class Clip:
    """A row of the clip table: seconds of its video; stop inf means to the end."""

    row: int
    start: float
    stop: float


@dataclass(frozen=True)
class ShardJob:
    """Shard `number` of the cache being made in `work`; shape: frames, height, width."""

    work: Path
    number: int
    videos: tuple[tuple[VideoFile, tuple[Clip, ...]], ...]
    shape: tuple[int, int, int]
    codec: str
    fit: str | None


@dataclass
class Shard:
    """What became of a job: entries of the index; row -> reason for bad clips and for those longer than their video."""

    index: np.ndarray = field(default_factory=lambda: np.empty(0, ENTRY))
    bad: dict[int, str] = field(default_factory=dict)
    short: dict[int, str] = field(default_factory=dict)


def shard_name(number: int) -> str:
    """The file of a shard."""
    return f"shard-{number:04d}.bin"


def write_shard(job: ShardJob) -> Shard:
    """Decode and pack the clips of a job; clips that cannot be decoded are in `bad`, and the rest is there."""
    shard, entries = Shard(), []
    with open(job.work / shard_name(job.number), "wb") as out:

        def write(video: VideoFile, clips: Sequence[Clip]) -> None:
            for clip, payload in _payloads(video, clips, job):
                entries.append((clip.row, job.number, out.tell(), len(payload), zlib.crc32(payload)))
                out.write(payload)

        for video, listed in job.videos:
            clips = _within(video, listed, shard)
            first = len(entries)
            try:
                write(video, clips)
            except (BadVideo, OSError):
                # Damage spoils the clips that touch it; those before and after are tried alone.
                done = {entry[0] for entry in entries[first:]}
                for clip in clips:
                    if clip.row not in done:
                        try:
                            write(video, [clip])
                        except (BadVideo, OSError) as error:
                            shard.bad[clip.row] = str(error)
    shard.index = np.array(entries, ENTRY)
    return shard


def _within(video: VideoFile, clips: Sequence[Clip], shard: Shard) -> list[Clip]:
    """The clips that lie in the video at least in part, open ends closed; the others become bad ones."""
    try:
        end = end_time(video.path, video.rate)
    except (BadVideo, OSError) as error:
        shard.bad |= {clip.row: str(error) for clip in clips}
        return []
    inside = []
    for clip in clips:
        if end is None and np.isinf(clip.stop):
            shard.bad[clip.row] = f"{video.path}: its header does not say how long it is: give start and stop"
        elif end is not None and clip.start >= end:
            shard.bad[clip.row] = f"{video.path}: ends at {end:.2f} s, the clip begins at {clip.start:.2f} s"
        else:
            inside.append(Clip(clip.row, clip.start, end if np.isinf(clip.stop) else clip.stop))
            if end is not None and np.isfinite(clip.stop) and clip.stop > end + SHORT:
                shard.short[clip.row] = f"{video.path}: ends at {end:.2f} s, the clip at {clip.stop:.2f} s"
    return inside


def _payloads(video: VideoFile, clips: Sequence[Clip], job: ShardJob) -> Iterator[tuple[Clip, bytes]]:
    """The packed frames of each clip, as soon as its last frame is there: one sweep, little held in memory."""
    if not clips:
        return
    n, height, width = job.shape
    times = np.concatenate([frame_times(clip.start, clip.stop, n) for clip in clips])
    order = np.argsort(times, kind="stable")
    parts: list[list[bytes | None]] = [[None] * n for _ in clips]
    left = [n] * len(clips)
    held = packed = None
    for place, frame in zip(order.tolist(), shown(video.path, times[order], video.rate), strict=True):
        if frame is not held:
            if job.fit is None and frame.shape[:2] != (height, width):
                size = f"frames of {frame.shape[:2]} where {(height, width)} are wanted (height, width)"
                raise BadVideo(f"{video.path}: {size}")
            pixels = frame if job.fit is None else fit(frame, height, width, job.fit)
            held, packed = frame, _pack(pixels, job.codec)
        which, when = divmod(place, n)
        parts[which][when] = packed
        left[which] -= 1
        if not left[which]:
            yield clips[which], _join(parts[which], job.codec)
            parts[which] = []


def _pack(pixels: np.ndarray, codec: str) -> bytes:
    if codec == "raw":
        return np.ascontiguousarray(pixels).tobytes()
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "JPEG", quality=JPEG_QUALITY)
    return buffer.getvalue()


def _join(parts: Sequence[bytes], codec: str) -> bytes:
    """The frames one after the other; JPEG files after a list of their lengths (uint32 each)."""
    head = b"" if codec == "raw" else np.array([len(part) for part in parts], "<u4").tobytes()
    return head + b"".join(parts)


def from_jpeg(payload: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The frames of a packed clip: uint8 [T, H, W, 3]."""
    head = 4 * shape[0]
    ends = head + np.cumsum(payload[:head].view("<u4"))
    starts = [head, *ends[:-1]]
    frames = [Image.open(io.BytesIO(payload[a:b].tobytes())) for a, b in zip(starts, ends, strict=True)]
    return np.stack([np.asarray(frame) for frame in frames])
