"""Decoded frames in a few packed shard files with an index, so that training opens no decoder."""

import hashlib
import json
import shutil
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.frames.parallel import build_once
from benchmarks.frames.shards import from_jpeg, shard_name

VERSION = 1
# What older headers say in place of a kind; all else there is a replacement.
OLD_KINDS = {"skipped": "skipped", "kept, its last frame repeats": "kept"}


@dataclass(frozen=True)
class BadClip:
    """A clip that is not as annotated.

    kind: kept (it reaches beyond its video, whose first or last frame repeats), skipped, replaced (by the clip with the
    sample id `by`), or absent (nothing was done about it yet).
    """

    reason: str
    kind: str
    by: str = ""

    @property
    def done(self) -> str:
        """What was done about it, in words."""
        return {
            "kept": f"kept, its {'first' if ': begins at ' in self.reason else 'last'} frame repeats",
            "replaced": f"replaced by {self.by}",
            "absent": "nothing yet",
        }.get(self.kind, self.kind)

    @classmethod
    def of(cls, fields: list[str]) -> "BadClip":
        """Out of a header: reason, kind and replacement, or reason and the words of older headers."""
        if len(fields) == 3:
            return cls(*fields)
        reason, done = fields
        kind = OLD_KINDS.get(done, "replaced")
        return cls(reason, kind, done.removeprefix("replaced by ") if kind == "replaced" else "")


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
            sizes = [(self.folder / shard_name(number)).stat().st_size for number in range(len(header["shards"]))]
        except (OSError, ValueError, KeyError) as error:
            raise self._damaged(f"cannot be read ({error})") from error
        if header["version"] != VERSION or hashlib.sha256(index.tobytes()).hexdigest() != header["index_sha256"]:
            raise self._damaged("has a wrong index")
        if sizes != header["shards"]:
            raise self._damaged("has shards of wrong sizes")
        self.size = sum(sizes)
        self.codec: str = header["codec"]
        self.shape: tuple[int, ...] = tuple(header["shape"])
        self.candidates: int = header.get("candidates", 1)
        self.margin: int = header.get("margin", 0)
        self.table_hash: str = header["table"]
        self.bad: dict[int, BadClip] = {row: BadClip.of(fields) for row, *fields in header.get("bad", [])}
        self.skipped: dict[int, str] = {row: clip.reason for row, clip in self.bad.items() if clip.kind == "skipped"}
        self._index = index
        self._entry = np.full(int(index["row"].max(initial=-1)) + 1, -1, np.int64)
        self._entry[index["row"]] = np.arange(len(index))
        self._checked = np.zeros(len(index), bool)
        self._shards: dict[int, np.ndarray] = {}

    def __getstate__(self) -> dict[str, Any]:
        # A memory map would be pickled as its whole content.
        return {**self.__dict__, "_shards": {}}

    def _damaged(self, what: str) -> OSError:
        return OSError(f"frame cache {self.folder} {what}: delete it and run again")

    def holds(self, rows: np.ndarray | list[int]) -> bool:
        """Whether every one of `rows` is stored."""
        rows = np.asarray(rows, np.int64)
        return bool(((rows >= 0) & (rows < len(self._entry))).all()) and bool((self._entry[rows] >= 0).all())

    def read(self, rows: np.ndarray, choice: np.ndarray | None = None, corner: np.ndarray | None = None) -> np.ndarray:
        """Clips of these rows of the clip table, in their order: uint8 [B, T, H, W, 3].

        choice [B, T]: which candidate time each frame is of, from 0 to candidates - 1; by default the middle ones.
        corner [B, 2]: top and left of the crop, from 0 to margin; by default the middle.
        """
        rows = np.asarray(rows, np.int64)
        if not self.holds(rows):
            raise ValueError(f"rows {rows[:5].tolist()}... are not all in the frame cache {self.folder}")
        n, height, width, _ = self.shape
        stored = (n * self.candidates, height + self.margin, width + self.margin, 3)
        choice = np.full((len(rows), n), self.candidates // 2) if choice is None else choice
        corner = np.full((len(rows), 2), self.margin // 2) if corner is None else corner
        chosen = np.arange(n) * self.candidates + choice
        out = np.empty((len(rows), *self.shape), np.uint8)
        for position, entry in enumerate(self._entry[rows].tolist()):
            payload, (top, left) = self._payload(entry), corner[position]
            if self.codec == "jpeg":
                frames = from_jpeg(payload, stored[0], chosen[position])
            else:
                frames = payload.reshape(stored)
                frames = frames if self.candidates == 1 else frames[chosen[position]]
            # Only what is asked for is copied: a crop costs nothing here.
            out[position] = frames[:, top : top + height, left : left + width]
        return out

    def verify(self) -> tuple[int, int]:
        """Compare every clip with its checksum; number of clips and bytes of the shards. OSError says what is wrong."""
        for entry in range(len(self._index)):
            self._payload(entry)
        return len(self._index), self.size

    def _payload(self, entry: int) -> np.ndarray:
        _, shard, offset, size, crc32 = self._index[entry].item()
        if shard not in self._shards:
            # As a plain array: slicing numpy's memmap class costs several times more.
            self._shards[shard] = np.asarray(np.memmap(self.folder / shard_name(shard), np.uint8, "r"))
        payload = self._shards[shard][offset : offset + size]
        if not self._checked[entry]:
            if zlib.crc32(payload.data) != crc32:
                raise self._damaged(f"fails its checksum at row {int(self._index[entry]['row'])}")
            self._checked[entry] = True
        return payload


def staged(cache: FrameCache, folder: Path) -> FrameCache:
    """The same cache read from a copy under `folder`, a disk of this machine's own; copied once."""
    copy = Path(folder) / cache.folder.name
    with build_once(copy) as work:
        if work is not None:
            for path in sorted(cache.folder.iterdir()):
                shutil.copyfile(path, work / path.name)
    return FrameCache(copy)
