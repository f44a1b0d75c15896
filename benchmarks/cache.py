"""Decoded frames in a few packed shard files with an index, so that training opens no decoder."""

import hashlib
import io
import json
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from benchmarks.parallel import made_once, run_jobs
from benchmarks.video import BadVideo, decode, frame_times

if TYPE_CHECKING:
    from benchmarks.clips import ClipTable

VERSION = 1
CODECS = ("raw", "jpeg")
JPEG_QUALITY = 90
ENTRY = np.dtype([("row", "<i8"), ("shard", "<i4"), ("offset", "<i8"), ("bytes", "<i8"), ("crc32", "<u4")])
# Shards are small enough for a lively progress bar and few enough for a file system, whatever the benchmark's size.
SHARD_BYTES = 16_000_000
MOST_SHARDS = 256


def prepare(
    folder: Path,
    table: "ClipTable",
    rows: np.ndarray,
    shape: tuple[int, int, int],
    codec: str = "raw",
    workers: int = 1,
    title: str = "decoding",
) -> "FrameCache":
    """Open the frame cache `folder`, decoding `rows` of the table into it first where it does not exist.

    shape: frames, height, width of a clip; frames are the middles of equal parts of the clip's time. The folder
    appears only when complete. Raises BadVideo for a file that cannot be decoded or has another size.
    """
    if codec not in CODECS:
        raise ValueError(f"unknown codec of the frame cache: {codec!r} (allowed: {', '.join(CODECS)})")
    with made_once(folder) as work:
        if work is not None:
            _build(work, table, np.asarray(rows), shape, codec, workers, title)
    cache = FrameCache(folder)
    stale = (cache.table_hash, cache.shape, cache.codec) != (table.hash, (*shape, 3), codec)
    if stale or not cache.holds(rows):
        raise OSError(f"frame cache {folder} was made for other clips or settings: delete it and run again")
    return cache


def _build(work: Path, table, rows, shape, codec, workers, title) -> None:
    chosen = table.frame.loc[rows]
    files = [part for _, part in chosen.groupby("file", sort=True)]
    share = max(SHARD_BYTES, len(rows) * int(np.prod(shape)) * 3 // MOST_SHARDS)
    jobs, waiting, size = [], [], 0
    for part in files:
        clips = [(int(row), float(clip.start), float(clip.stop)) for row, clip in part.iterrows()]
        waiting.append((str(table.root / part["file"].iloc[0]), clips))
        size += len(clips) * int(np.prod(shape)) * 3
        if size >= share or part is files[-1]:
            jobs.append((work, len(jobs), waiting, shape, codec))
            waiting, size = [], 0
    index = np.concatenate([np.empty(0, ENTRY), *run_jobs(_write_shard, jobs, workers, title)])
    np.save(work / "index.npy", index)
    header = {
        "version": VERSION,
        "codec": codec,
        "shape": [*shape, 3],
        "table": table.hash,
        "shards": [(work / _shard(number)).stat().st_size for number in range(len(jobs))],
        "index_sha256": hashlib.sha256(index.tobytes()).hexdigest(),
    }
    (work / "header.json").write_text(json.dumps(header, indent=1))


def _shard(number: int) -> str:
    return f"shard-{number:04d}.bin"


def _write_shard(job) -> np.ndarray:
    work, number, files, shape, codec = job
    entries, offset = [], 0
    with open(work / _shard(number), "wb") as out:
        for path, clips in files:
            times = np.concatenate([frame_times(start, stop, shape[0]) for _, start, stop in clips])
            frames = decode(path, times)
            if frames.shape[1:3] != shape[1:]:
                raise BadVideo(f"{path}: frames of {frames.shape[1:3]} where {shape[1:]} are wanted (height, width)")
            for (row, _, _), clip in zip(clips, frames.reshape(len(clips), *shape, 3), strict=True):
                payload = clip.tobytes() if codec == "raw" else _to_jpeg(clip)
                entries.append((row, number, offset, len(payload), zlib.crc32(payload)))
                offset += out.write(payload)
    return np.array(entries, ENTRY)


def _to_jpeg(clip: np.ndarray) -> bytes:
    """The lengths of the frames' JPEG files (uint32 each), then the files."""
    parts = []
    for frame in clip:
        buffer = io.BytesIO()
        Image.fromarray(frame).save(buffer, "JPEG", quality=JPEG_QUALITY)
        parts.append(buffer.getvalue())
    return np.array([len(part) for part in parts], "<u4").tobytes() + b"".join(parts)


def _from_jpeg(payload: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    head = 4 * shape[0]
    ends = head + np.cumsum(payload[:head].view("<u4"))
    starts = [head, *ends[:-1]]
    frames = [Image.open(io.BytesIO(payload[a:b].tobytes())) for a, b in zip(starts, ends, strict=True)]
    return np.stack([np.asarray(frame) for frame in frames])


class FrameCache:
    """Reads clips of a finished cache folder through memory maps; may be pickled and shared out to workers.

    Sizes and the index are checked when it is opened, each clip's CRC-32 when a process first reads it; OSError says
    what is damaged.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = Path(folder)
        try:
            header = json.loads((self.folder / "header.json").read_text())
            index = np.load(self.folder / "index.npy")
            sizes = [(self.folder / _shard(number)).stat().st_size for number in range(len(header["shards"]))]
        except (OSError, ValueError, KeyError) as error:
            raise self._damaged(f"cannot be read ({error})") from error
        if header["version"] != VERSION or hashlib.sha256(index.tobytes()).hexdigest() != header["index_sha256"]:
            raise self._damaged("has a wrong index")
        if sizes != header["shards"]:
            raise self._damaged("has shards of wrong sizes")
        self.codec: str = header["codec"]
        self.shape: tuple[int, ...] = tuple(header["shape"])
        self.table_hash: str = header["table"]
        self._index = index
        self._entry = np.full(int(index["row"].max(initial=-1)) + 1, -1, np.int64)
        self._entry[index["row"]] = np.arange(len(index))
        self._checked = np.zeros(len(index), bool)
        self._shards: dict[int, np.ndarray] = {}

    def __getstate__(self) -> dict:
        # A memory map would be pickled as its whole content.
        return {**self.__dict__, "_shards": {}}

    def _damaged(self, what: str) -> OSError:
        return OSError(f"frame cache {self.folder} {what}: delete it and run again")

    def holds(self, rows: np.ndarray) -> bool:
        """Whether every one of `rows` is stored."""
        rows = np.asarray(rows)
        return bool(((rows >= 0) & (rows < len(self._entry))).all()) and bool((self._entry[rows] >= 0).all())

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Clips of these rows of the clip table, in their order: uint8 [B, T, H, W, 3]."""
        rows = np.asarray(rows, np.int64)
        if not self.holds(rows):
            raise ValueError(f"rows {rows[:5].tolist()}... are not all in the frame cache {self.folder}")
        out = np.empty((len(rows), *self.shape), np.uint8)
        for position, entry in enumerate(self._entry[rows].tolist()):
            payload = self._payload(entry)
            out[position] = payload.reshape(self.shape) if self.codec == "raw" else _from_jpeg(payload, self.shape)
        return out

    def _payload(self, entry: int) -> np.ndarray:
        _, shard, offset, size, crc32 = self._index[entry].item()
        if shard not in self._shards:
            # As a plain array: slicing numpy's memmap class costs several times more.
            self._shards[shard] = np.asarray(np.memmap(self.folder / _shard(shard), np.uint8, "r"))
        payload = self._shards[shard][offset : offset + size]
        if not self._checked[entry]:
            if zlib.crc32(payload) != crc32:
                raise self._damaged(f"fails its checksum at row {int(self._index[entry]['row'])}")
            self._checked[entry] = True
        return payload
