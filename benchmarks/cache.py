"""Decoded frames in a few packed shard files with an index, so that training opens no decoder."""

import csv
import hashlib
import json
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.parallel import made_once, run_jobs
from benchmarks.randomness import generator
from benchmarks.shards import CODECS, ENTRY, Clip, ShardJob, from_jpeg, shard_name, write_shard
from benchmarks.video import BadVideo

if TYPE_CHECKING:
    from benchmarks.clips import ClipTable

VERSION = 1
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
    fit: str | None = None,
    on_bad: str = "fail",
    missing: Mapping[int, str] | None = None,
) -> "FrameCache":
    """Open the frame cache `folder`, decoding `rows` of the table into it first where it does not exist.

    shape: frames, height, width of a clip; frames are the middles of equal parts of the clip's time. fit: how frames
    of other sizes are resized (`video.fit`); None: they are errors. missing: row -> reason, clips without a file.
    on_bad: fail raises BadVideo after all files were tried, with a CSV of the bad clips beside the folder; skip leaves
    them out; replace takes another clip of the same split and labels. The folder appears only when complete.
    """
    if codec not in CODECS:
        raise ValueError(f"unknown codec of the frame cache: {codec!r} (allowed: {', '.join(CODECS)})")
    with made_once(folder) as work:
        if work is not None:
            rows = np.asarray(rows)
            gone = dict(missing or {})
            jobs = _jobs(work, table, rows[~np.isin(rows, list(gone))], shape, codec, fit)
            results = run_jobs(write_shard, jobs, workers, title)
            index = np.concatenate([np.empty(0, ENTRY), *(result.index for result in results)])
            bad = gone | {row: why for result in results for row, why in result.bad.items()}
            short = {row: why for result in results for row, why in result.short.items()}
            index, notes = _deal_with(bad, short, index, table, on_bad)
            if bad or short:
                _write_bad(work / "bad.csv", notes, table)
            if bad and on_bad == "fail":
                _fail(folder, work, bad, table)
            _write_header(work, index, notes, table, shape, codec, len(jobs))
    cache = FrameCache(folder)
    stale = (cache.table_hash, cache.shape, cache.codec) != (table.hash, (*shape, 3), codec)
    if stale or not cache.holds([row for row in rows if row not in cache.skipped]):
        raise OSError(f"frame cache {folder} was made for other clips or settings: delete it and run again")
    return cache


def _jobs(work: Path, table, rows, shape, codec, fit) -> list[ShardJob]:
    files = [part for _, part in table.frame.loc[rows].groupby("file", sort=True)]
    share = max(SHARD_BYTES, len(rows) * int(np.prod(shape)) * 3 // MOST_SHARDS)
    jobs, waiting, size = [], [], 0
    for part in files:
        clips = tuple(map(Clip, part.index.tolist(), part["start"].tolist(), part["stop"].tolist()))
        waiting.append((table.video(part["file"].iloc[0]), clips))
        size += len(clips) * int(np.prod(shape)) * 3
        if size >= share or part is files[-1]:
            jobs.append(ShardJob(work, len(jobs), tuple(waiting), shape, codec, fit))
            waiting, size = [], 0
    return jobs


def _deal_with(bad, short, index, table, on_bad: str) -> tuple[np.ndarray, dict[int, tuple[str, str]]]:
    """The index with entries for replaced clips, and for each odd clip its reason and what was done."""
    notes = {row: (why, "kept, its last frame repeats") for row, why in short.items()}
    place = {int(row): number for number, row in enumerate(index["row"])}
    keys = list(zip(table.frame["split"], *(table.frame[name] for name in table.labels), strict=True))
    alike: dict[tuple, list[int]] = {}
    for row in sorted(place) if on_bad == "replace" and bad else ():
        alike.setdefault(keys[row], []).append(row)
    more = []
    for row, why in sorted(bad.items()):
        choice = alike.get(keys[row], [])
        if not choice:
            notes[row] = (why, "skipped")
            continue
        sample = table.frame["sample_id"].iloc[row]
        other = choice[int(generator("replacement", sample).integers(len(choice)))]
        entry = index[place[other]].copy()
        entry["row"] = row
        more.append(entry)
        notes[row] = (why, f"replaced by {table.frame['sample_id'].iloc[other]}")
    return (np.concatenate([index, np.array(more, ENTRY)]) if more else index), notes


def _write_bad(path: Path, notes, table) -> None:
    with open(path, "w", newline="", encoding="utf-8") as out:
        lines = csv.writer(out)
        lines.writerow(("sample_id", "file", "reason", "done"))
        for row, (why, done) in sorted(notes.items()):
            clip = table.frame.iloc[row]
            lines.writerow((clip["sample_id"], clip["file"], why, done))


def _fail(folder: Path, work: Path, bad: Mapping[int, str], table) -> None:
    reasons = list(dict.fromkeys(bad.values()))
    if len(bad) == 1:
        raise BadVideo(reasons[0])
    listed = folder.parent / f"{folder.name}-bad.csv"
    (work / "bad.csv").replace(listed)
    files = table.frame["file"].iloc[sorted(bad)].nunique()
    raise BadVideo(
        f"{len(bad):,} clips of {files:,} videos cannot be used, all named in {listed}: {'; '.join(reasons[:3])}"
        f"{'; ...' if len(reasons) > 3 else ''}"
    )


def _write_header(work: Path, index, notes, table, shape, codec, n_shards: int) -> None:
    np.save(work / "index.npy", index)
    header = {
        "version": VERSION,
        "codec": codec,
        "shape": [*shape, 3],
        "table": table.hash,
        "shards": [(work / shard_name(number)).stat().st_size for number in range(n_shards)],
        "index_sha256": hashlib.sha256(index.tobytes()).hexdigest(),
        "bad": [[row, why, done] for row, (why, done) in sorted(notes.items())],
    }
    (work / "header.json").write_text(json.dumps(header, indent=1))


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
        self.codec: str = header["codec"]
        self.shape: tuple[int, ...] = tuple(header["shape"])
        self.table_hash: str = header["table"]
        # row -> (what is wrong with the clip, what was done about it)
        self.bad: dict[int, tuple[str, str]] = {row: (why, done) for row, why, done in header.get("bad", [])}
        self.skipped: dict[int, str] = {row: why for row, (why, done) in self.bad.items() if done == "skipped"}
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
        rows = np.asarray(rows, np.int64)
        return bool(((rows >= 0) & (rows < len(self._entry))).all()) and bool((self._entry[rows] >= 0).all())

    def read(self, rows: np.ndarray) -> np.ndarray:
        """Clips of these rows of the clip table, in their order: uint8 [B, T, H, W, 3]."""
        rows = np.asarray(rows, np.int64)
        if not self.holds(rows):
            raise ValueError(f"rows {rows[:5].tolist()}... are not all in the frame cache {self.folder}")
        out = np.empty((len(rows), *self.shape), np.uint8)
        for position, entry in enumerate(self._entry[rows].tolist()):
            payload = self._payload(entry)
            out[position] = payload.reshape(self.shape) if self.codec == "raw" else from_jpeg(payload, self.shape)
        return out

    def _payload(self, entry: int) -> np.ndarray:
        _, shard, offset, size, crc32 = self._index[entry].item()
        if shard not in self._shards:
            # As a plain array: slicing numpy's memmap class costs several times more.
            self._shards[shard] = np.asarray(np.memmap(self.folder / shard_name(shard), np.uint8, "r"))
        payload = self._shards[shard][offset : offset + size]
        if not self._checked[entry]:
            if zlib.crc32(payload) != crc32:
                raise self._damaged(f"fails its checksum at row {int(self._index[entry]['row'])}")
            self._checked[entry] = True
        return payload
