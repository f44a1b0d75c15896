"""How a frame cache is built: one pass over each video, in watched processes, to be taken up again after a kill."""

import csv
import hashlib
import json
import os
import shutil
import sys
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.frames import watched
from benchmarks.frames.cache import VERSION, BadClip, FrameCache
from benchmarks.frames.decode import BadVideo
from benchmarks.frames.find import VideoFile
from benchmarks.frames.parallel import build_once, progress
from benchmarks.frames.shards import CODECS, ENTRY, Beat, Clip, Packed, ShardJob, shard_name, write_shard
from benchmarks.randomness import generator
from harness.common.files import write_json
from harness.common.units import bytes_text
from harness.common.words import check_choice

if TYPE_CHECKING:
    from benchmarks.clips import ClipTable

# Shards are small enough to lose little in a kill and few enough for a file system, whatever the benchmark's size.
SHARD_BYTES = 16_000_000
MOST_SHARDS = 256
PATIENCE = 120.0
# Of a video whose decoder was cut off at so many clips, the clips that are left are given up.
LOST_CLIPS = 3
# Measured on real clips: a JPEG file of quality 90 takes its head and this share of the raw frame.
JPEG_HEAD, JPEG_SHARE = 650, 0.08


@dataclass(frozen=True)
class Wish:
    """Which frames a cache is to hold, and how.

    shape: frames, height, width of a clip; frames are the middles of equal parts of the clip's time, for each of which
    `candidates` times are stored (odd; the middle one is that of evaluation), with `margin` more pixels in height and
    width. fit: how frames of other sizes are resized (`video.fit`); None: they are errors. missing: row -> reason,
    clips without a file. on_bad: fail raises BadVideo after all files were tried, with a CSV of the bad clips beside
    the folder; skip leaves them out; replace takes another clip of the same split and labels. patience: seconds that a
    decoder may be silent.
    """

    shape: tuple[int, int, int]
    candidates: int = 1
    margin: int = 0
    codec: str = "raw"
    fit: str | None = None
    on_bad: str = "fail"
    missing: Mapping[int, str] = field(default_factory=dict)
    patience: float = PATIENCE

    @property
    def stored(self) -> tuple[int, int, int]:
        """Frames, height and width of what is stored of a clip."""
        n, height, width = self.shape
        return (n * self.candidates, height + self.margin, width + self.margin)

    @property
    def clip_bytes(self) -> int:
        """Bytes of a clip: exact for raw, an estimate for jpeg."""
        n, pixels = self.stored[0], 3 * self.stored[1] * self.stored[2]
        return n * pixels if self.codec == "raw" else int(n * (JPEG_HEAD + JPEG_SHARE * pixels))


def prepare(
    folder: Path, table: "ClipTable", rows: np.ndarray, wish: Wish, workers: int, title: str, part: Path | None = None
) -> FrameCache:
    """Open the frame cache `folder`, decoding `rows` of the table into it first where it does not exist.

    The folder appears only when complete and verified; what a killed process had finished stays in the folder `part`
    beside it (default: `<folder>.part`) and is taken up again. Raises OSError where the disk is too small.
    """
    check_choice("codec", wish.codec, CODECS)
    with build_once(folder, part or part_of(folder)) as work:
        if work is not None:
            builder = _Builder(work, table, np.asarray(rows), wish)
            builder.check_disk(title)
            builder.decode(workers)
            builder.finish(folder)
    cache = FrameCache(folder)
    found = (cache.table_hash, cache.shape, cache.codec, cache.candidates, cache.margin)
    stale = found != (table.hash, (*wish.shape, 3), wish.codec, wish.candidates, wish.margin)
    if stale or not cache.holds([row for row in rows if row not in cache.skipped]):
        raise OSError(f"frame cache {folder} was built for other clips or settings: delete it and run again")
    return cache


def part_of(folder: Path) -> Path:
    """Where a cache folder is built."""
    return folder.with_name(f"{folder.name}.part")


def prepare_share(
    part: Path, table: "ClipTable", rows: np.ndarray, wish: Wish, workers: int, title: str, share: tuple[int, int]
) -> None:
    """Write the shards k of n only, with share (k, n), to `part` for a later `prepare`; others may write meanwhile."""
    part.mkdir(parents=True, exist_ok=True)
    builder = _Builder(part, table, np.asarray(rows), wish)
    builder.todo = [number for number in builder.todo if number % share[1] == share[0]]
    builder.check_disk(title)
    builder.decode(workers)


class _Builder:
    """The shards of a cache in the folder `work`, each with a JSON file that says what is in it once it is complete."""

    def __init__(self, work: Path, table: "ClipTable", rows: np.ndarray, wish: Wish) -> None:
        self.work, self.table, self.wish = work, table, wish
        self.jobs = self._shards(rows)
        self.keys = [_key(job) for job in self.jobs]
        self.contents = [self._written(number) for number in range(len(self.jobs))]
        self.todo = [number for number, content in enumerate(self.contents) if content is None]

    def _shards(self, rows: np.ndarray) -> list[ShardJob]:
        """Which videos go to which shard: the same whatever is missing, so that finished shards stay of use."""
        size = 3 * int(np.prod(self.wish.stored))
        share = max(SHARD_BYTES, len(rows) * size // MOST_SHARDS)
        groups: list[list[tuple[VideoFile, tuple[Clip, ...]]]] = [[]]
        size_so_far = 0
        for file, part in self.table.frame.loc[rows].groupby("file", sort=True):
            if size_so_far >= share:
                groups.append([])
                size_so_far = 0
            size_so_far += len(part) * size
            part = part[~part.index.isin(self.wish.missing)]
            if len(part):
                clips = tuple(map(Clip, part.index.tolist(), part["start"].tolist(), part["stop"].tolist()))
                groups[-1].append((self.table.video(file), clips))
        wish = self.wish
        return [
            ShardJob(
                self.work / f"{shard_name(number)}.{os.getpid()}", tuple(videos), wish.stored, wish.codec, wish.fit
            )
            for number, videos in enumerate(groups)
        ]

    def _written(self, number: int) -> dict[str, Any] | None:
        """What a shard that an earlier process completed holds; None where it is to be written."""
        try:
            content = json.loads((self.work / f"{shard_name(number)}.json").read_text())
            size = (self.work / shard_name(number)).stat().st_size
        except (OSError, ValueError):
            return None
        return content if (content["key"], content["size"]) == (self.keys[number], size) else None

    def check_disk(self, title: str) -> None:
        """Say what room the shards will take; OSError where it is not there."""
        clips = [sum(len(listed) for _, listed in self.jobs[number].videos) for number in self.todo]
        needed, free = sum(clips) * self.wish.clip_bytes, shutil.disk_usage(self.work).free
        there = len(self.jobs) - len(self.todo)
        about = "" if self.wish.codec == "raw" else "about "
        taken_up = f", {there} of {len(self.jobs)} shards are there already" if there else ""
        text = f"{title}: {sum(clips):,} clips, {about}{bytes_text(needed)} of {bytes_text(free)} free{taken_up}"
        if needed > free:
            raise OSError(f"{text}: not enough room in {self.work.parent} (paths.cache=DIR names another folder)")
        print(text, file=sys.stderr, flush=True)

    def decode(self, workers: int) -> None:
        """Write the shards that are not there; a video whose decoder crashes or hangs costs its bad clips only."""
        todo = self.todo
        jobs = [self.jobs[number] for number in todo]
        states = [_Shard(job) for job in jobs]
        clips = sum(len(listed) for job in jobs for _, listed in job.videos)
        if not clips:
            jobs, states = [], []
        with progress("decoding", clips) as advance:

            def on_message(place: int, message: Beat | Packed) -> None:
                advance(states[place].take_in(message))

            def on_end(place: int) -> None:
                number = todo[place]
                path = self.work / shard_name(number)
                content = {"key": self.keys[number], "size": states[place].job.path.stat().st_size}
                os.replace(states[place].job.path, path)
                self.contents[number] = content | states[place].content()
                write_json(path.with_name(f"{path.name}.json"), self.contents[number])

            def on_loss(place: int, why: str) -> ShardJob:
                return states[place].without_present_video(why)

            watched.run(write_shard, jobs, workers, self.wish.patience, on_message, on_end, on_loss)

    def finish(self, folder: Path) -> None:
        """Verify every byte, deal with bad clips, and write index and header."""
        contents = [content or {"entries": [], "bad": {}, "short": {}, "size": 0} for content in self.contents]
        entries = []
        for number, content in enumerate(contents):
            self._verify(number, content)
            entries += [(row, number, *rest) for row, *rest in content["entries"]]
        bad = dict(self.wish.missing) | {int(row): why for each in contents for row, why in each["bad"].items()}
        short = {int(row): why for each in contents for row, why in each["short"].items()}
        index, notes = _deal_with(bad, short, np.array(entries, ENTRY), self.table, self.wish.on_bad)
        if bad or short:
            _write_bad(self.work / "bad.csv", notes, self.table)
        if bad and self.wish.on_bad == "fail":
            _fail(folder, self.work, bad, self.table)
        kept = {shard_name(number) for number, content in enumerate(contents)} | {"bad.csv"}
        for path in self.work.iterdir():
            if path.name not in kept:
                path.unlink()
        np.save(self.work / "index.npy", index)
        header = {
            "version": VERSION,
            "codec": self.wish.codec,
            "shape": [*self.wish.shape, 3],
            "candidates": self.wish.candidates,
            "margin": self.wish.margin,
            "table": self.table.hash,
            "shards": [content["size"] for content in contents],
            "index_sha256": hashlib.sha256(index.tobytes()).hexdigest(),
            "bad": [[row, clip.reason, clip.kind, clip.by] for row, clip in sorted(notes.items())],
        }
        (self.work / "header.json").write_text(json.dumps(header, indent=1))

    def _verify(self, number: int, content: dict[str, Any]) -> None:
        """Every clip of a shard is there once and has its checksum; OSError, and the shard is forgotten, otherwise."""
        path = self.work / shard_name(number)
        if not content["size"]:
            path.touch()
            return
        payload = np.memmap(path, np.uint8, "r")
        expected = {clip.row for _, clips in self.jobs[number].videos for clip in clips}
        rows = [row for row, *_ in content["entries"]] + [int(row) for row in content["bad"]]
        sums = all(zlib.crc32(payload[at : at + size].data) == crc for _, at, size, crc in content["entries"])
        if not sums or len(rows) != len(expected) or set(rows) != expected:
            path.with_name(f"{path.name}.json").unlink(missing_ok=True)
            raise OSError(f"{path} is not as it was written: is the disk sound? Run again to write it anew")


class _Shard:
    """What is known of a shard while it is written."""

    def __init__(self, job: ShardJob) -> None:
        self.job = job
        self.packed: list[Packed] = []
        self.beat = Beat(0)

    def take_in(self, message: Beat | Packed) -> int:
        """Take in a message; how many more clips are done."""
        before = self.beat.clips
        if isinstance(message, Beat):
            self.beat = message
            return max(0, message.clips - before)
        done = len(self.job.videos[len(self.packed)][1])
        self.packed.append(message)
        self.beat = Beat(0)
        return done - before

    def without_present_video(self, why: str) -> ShardJob:
        """The job to go on with after its process was lost at the present video."""
        number, row = len(self.packed), self.beat.alone
        video, clips = self.job.videos[number]
        given_up = dict(self.job.given_up)
        if number in self.job.single and row is not None:
            given_up[row] = f"{video.path}: its decoder {why}"
            mine = [clip.row for clip in clips]
            if sum(each in given_up for each in mine) >= LOST_CLIPS:
                rest = f"{video.path}: its decoder was cut off at {LOST_CLIPS} other clips"
                given_up = {each: rest for each in mine[mine.index(row) :]} | given_up
        elif number in self.job.single:  # lost before the first clip: in the header
            given_up |= {clip.row: f"{video.path}: its decoder {why}" for clip in clips}
        offset = self.packed[-1].end if self.packed else 0
        single = self.job.single | {number}
        self.job = replace(self.job, first=number, offset=offset, single=single, given_up=given_up)
        return self.job

    def content(self) -> dict[str, Any]:
        """What the shard holds, as its JSON file says it."""
        parts = [asdict(each) for each in self.packed]
        return {
            "entries": [entry for each in parts for entry in each["entries"]],
            "bad": {row: why for each in parts for row, why in each["bad"].items()},
            "short": {row: why for each in parts for row, why in each["short"].items()},
        }


def _key(job: ShardJob) -> str:
    """What decides the bytes of a shard: its clips and how they are stored, and the videos as they lie there now."""
    parts: list[Any] = [job.shape, job.codec, job.fit]
    for video, clips in job.videos:
        state = video.path.stat() if video.path.exists() else None
        parts.append([str(video.path), video.rate, state and [state.st_size, state.st_mtime_ns]])
        parts.append([[clip.row, clip.start, clip.stop] for clip in clips])
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


# ---- bad clips


def _deal_with(
    bad: Mapping[int, str], short: Mapping[int, str], index: np.ndarray, table: "ClipTable", on_bad: str
) -> tuple[np.ndarray, dict[int, BadClip]]:
    """The index with entries for replaced clips, and for each odd clip its reason and what was done."""
    notes = {row: BadClip(why, "kept") for row, why in short.items()}
    place = {int(row): number for number, row in enumerate(index["row"])}
    keys = list(zip(table.frame["split"], *(table.frame[name] for name in table.labels), strict=True))
    alike: dict[tuple[str, ...], list[int]] = {}
    for row in sorted(place) if on_bad == "replace" and bad else ():
        alike.setdefault(keys[row], []).append(row)
    more = []
    for row, why in sorted(bad.items()):
        choice = alike.get(keys[row], [])
        if not choice:
            notes[row] = BadClip(why, "skipped")
            continue
        sample = table.frame["sample_id"].iloc[row]
        other = choice[int(generator("replacement", sample).integers(len(choice)))]
        entry = index[place[other]].copy()
        entry["row"] = row
        more.append(entry)
        notes[row] = BadClip(why, "replaced", table.frame["sample_id"].iloc[other])
    return (np.concatenate([index, np.array(more, ENTRY)]) if more else index), notes


def _write_bad(path: Path, notes: Mapping[int, BadClip], table: "ClipTable") -> None:
    with open(path, "w", newline="", encoding="utf-8") as out:
        lines = csv.writer(out)
        lines.writerow(("sample_id", "file", "reason", "done"))
        for row, bad in sorted(notes.items()):
            clip = table.frame.iloc[row]
            lines.writerow((clip["sample_id"], clip["file"], bad.reason, bad.done))


def _fail(folder: Path, work: Path, bad: Mapping[int, str], table: "ClipTable") -> None:
    reasons: Sequence[str] = list(dict.fromkeys(bad.values()))
    listed = folder.parent / f"{folder.name}-bad.csv"
    (work / "bad.csv").replace(listed)
    files = table.frame["file"].iloc[sorted(bad)].nunique()
    raise BadVideo(
        f"{len(bad):,} clips of {files:,} videos cannot be used, listed in {listed}: {'; '.join(reasons[:3])}"
        f"{'; ...' if len(reasons) > 3 else ''}"
    )
