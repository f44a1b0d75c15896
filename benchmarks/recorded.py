"""What the benchmarks of recorded videos share: finding the files, holding out groups, and the cache of frames."""

import hashlib
import json
import re
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.benchmark import Benchmark, Decoding
from benchmarks.clips import ClipTable
from benchmarks.dense import cut
from benchmarks.frames.build import Wish, part_of, prepare, prepare_share
from benchmarks.frames.cache import BadClip, FrameCache, staged
from benchmarks.frames.decode import BadVideo, pixel_rate
from benchmarks.frames.find import VideoFile, absence, listing
from benchmarks.part import part_of_table
from benchmarks.randomness import generator
from benchmarks.registry import BenchmarkSource
from benchmarks.settings import RecordedSettings, pixels

DIRECTED = re.compile(r"(?i)(?<![a-z])(left|right|(anti|counter)?-?clockwise)(wards?)?(?![a-z])")
# Pixels that one core decodes in a second: measured on H.264, from 456x256 to 1080p.
PIXELS_A_SECOND = 280e6
LOOKED_AT = 3  # videos whose size stands for that of all


@dataclass(frozen=True)
class Recording:
    """A clip table out of annotation files, and how to find its videos.

    find: folder of the videos -> where the frames of each `file` of the table are, as far as they are there.
    """

    table: ClipTable
    label: str
    find: Callable[[Path], Mapping[str, VideoFile]]
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Clips:
    """The clips asked for, with their videos as far as they are known; `missing`: row -> why, for clips without one."""

    table: ClipTable
    label: str
    missing: Mapping[int, str]
    notes: tuple[str, ...]


class Recorded(BenchmarkSource):
    """A benchmark of recorded videos with annotation files; `recording` reads these files."""

    settings: RecordedSettings

    @abstractmethod
    def recording(self) -> Recording:
        """The clip table out of the annotation files. Raises ValueError for what is wrong in one of them."""

    def describe(self) -> Benchmark:
        """The benchmark without its frames; with `benchmark.videos` it says which videos are not there."""
        clips = self._clips()
        folder = self._folder(clips)
        if folder.is_dir():
            return self._decoded(clips, FrameCache(folder))
        kind = "skipped" if self.settings.on_bad == "skip" else "absent"
        bad = {row: BadClip(why, kind) for row, why in clips.missing.items()}
        settled = self.settings.on_bad == "fail"
        found = self._benchmark(clips, bad, settled)
        later = () if settled else ("which clips are bad is known once they are decoded; run ids may change then",)
        return replace(found, notes=(*found.notes, *later), decoding=self._decoding(clips))

    def load(self, workers: int) -> Benchmark:
        """The benchmark with its frames; what the cache lacks is decoded first."""
        clips = self._clips(decode=True)
        folder, wish = self._folder(clips), self._wish(clips)
        title, rows = f"decoding {self.name}, once, to {folder}", np.arange(len(clips.table))
        try:
            frames = prepare(folder, clips.table, rows, wish, workers, title, self._unfinished(clips))
        except BadVideo as error:
            raise BadVideo(f"{error} (benchmark.on_bad=skip or replace goes on without them)") from error
        stage = self.settings.stage
        return replace(self._decoded(clips, frames), reader=staged(frames, Path(stage)) if stage else frames)

    def write_share(self, workers: int, share: int, shares: int) -> None:
        """Decode the share `share` (from 0) of `shares` for a later `load`."""
        clips = self._clips(decode=True)
        folder, wish = self._folder(clips), self._wish(clips)
        if not folder.is_dir():
            title, rows = f"decoding {self.name}, part {share} of {shares}, for {folder}", np.arange(len(clips.table))
            prepare_share(self._unfinished(clips), clips.table, rows, wish, workers, title, (share, shares))

    def part(self, benchmark: Benchmark) -> Benchmark:
        """The same: `_clips` has taken the part already, so that no other clip is decoded."""
        return benchmark

    def _clips(self, decode: bool = False) -> _Clips:
        recording, settings = self.recording(), self.settings
        if decode and settings.videos is None:
            raise ValueError(f"benchmark {self.name} needs benchmark.videos=DIR, its videos (or plan=true)")
        table, notes, missing = recording.table, list(recording.notes), {}
        if settings.is_part:
            table, _, note = part_of_table(table, recording.label, settings)
            notes.append(note)
        root = None if settings.videos is None else Path(settings.videos)
        if root is not None:
            if not root.is_dir():
                raise ValueError(f"benchmark.videos={settings.videos} is no folder")
            files = set(table.frame["file"])
            videos = {file: video for file, video in recording.find(root).items() if file in files}
            table = replace(table, root=root, videos=videos)
        if settings.clips == "dense":
            table, note = cut(table, settings.frames, settings.rate, table.videos)
            notes.append(note)
        if root is not None:
            missing = _missing(table, root)
            notes += _missing_notes(table, missing, settings)
        return _Clips(table, recording.label, missing, tuple(notes))

    def _wish(self, clips: _Clips) -> Wish:
        """What the cache is to hold; a new setting that decides pixels goes there by its name."""
        how = pixels(self.settings)
        shape, fit = (how.pop("frames"), size := how.pop("size"), size), how.pop("resize")
        return Wish(shape, fit=fit, missing=clips.missing, on_bad=self.settings.on_bad,
                    patience=self.settings.patience, **how)  # fmt: skip

    def _folder(self, clips: _Clips) -> Path:
        """The cache folder of these clips at this size; other missing videos give another one."""
        on_bad = self.settings.on_bad
        gone = sorted(clips.table.frame["sample_id"].iloc[list(clips.missing)]) if on_bad != "fail" else []
        return self.cache / f"{cache_name(self.name, clips.table, self.settings, on_bad, gone)}-frames"

    def _unfinished(self, clips: _Clips) -> Path:
        """Where it is built: what was decoded before `on_bad=fail` failed serves `on_bad=skip` as well."""
        return part_of(self.cache / cache_name(self.name, clips.table, self.settings))

    def _decoding(self, clips: _Clips) -> Decoding:
        """What `load` will decode; its hours are those of one pass from the first clip of each video to the last."""
        rows = np.setdiff1d(np.arange(len(clips.table)), list(clips.missing))
        spans = clips.table.frame.iloc[rows].groupby("file").agg({"start": "min", "stop": "max"})
        lengths = (spans["stop"] - spans["start"]).to_numpy()
        looked_at = [clips.table.videos[file] for file in spans.index if file in clips.table.videos][:LOOKED_AT]
        rates = [rate for video in looked_at if (rate := pixel_rate(video.path)) is not None]
        known = bool(rates) and bool(np.isfinite(lengths).all())
        hours = float(lengths.sum()) * sum(rates) / len(rates) / PIXELS_A_SECOND / 3600 if known else None
        return Decoding(len(rows), len(rows) * self._wish(clips).clip_bytes, hours)

    def _decoded(self, clips: _Clips, frames: FrameCache) -> Benchmark:
        """The benchmark as its cache has it; says which videos of bad clips came later than the cache."""
        found, built = self._benchmark(clips, frames.bad, True), (frames.folder / "header.json").stat().st_mtime
        files = sorted({clips.table.frame["file"].iloc[row] for row, bad in frames.bad.items() if bad.kind != "kept"})
        videos = [clips.table.videos[file].path for file in files if file in clips.table.videos]
        newer = [path.name for path in videos if path.exists() and path.stat().st_mtime > built]
        if newer:
            note = (f"{len(newer)} videos of bad clips have changed since they were decoded, as {newer[0]}: delete "
                    f"{frames.folder} to decode again")  # fmt: skip
            return replace(found, notes=(*found.notes, note))
        return found

    def _benchmark(self, clips: _Clips, bad: Mapping[int, BadClip], settled: bool) -> Benchmark:
        settings, notes = self.settings, list(clips.notes)
        skipped = {row: clip.reason for row, clip in bad.items() if clip.kind == "skipped"}
        table = replace(clips.table, unusable=skipped)
        ids, files = table.frame["sample_id"], table.frame["file"]
        if bad:
            kinds = pd.Series([clip.kind for clip in bad.values()]).value_counts()
            notes.append("clips not as annotated: " + ", ".join(f"{n:,} {kind}" for kind, n in kinds.items()))
        return Benchmark(
            self.name,
            table,
            clips.label,
            settings.frames,
            settings.size,
            settings.size,
            None,
            tuple(notes),
            bad=tuple({"sample_id": ids.iloc[row], "file": files.iloc[row], "reason": clip.reason, "done": clip.done}
                      for row, clip in sorted(bad.items())),
            mirrored=_mirrored(table, settings.flip),
            changed={ids.iloc[row]: clip.by for row, clip in bad.items() if clip.kind in ("skipped", "replaced")},
            settled=settled,
        )  # fmt: skip


def cache_name(name: str, table: ClipTable, settings: RecordedSettings, *more: Any) -> str:
    """The name of a cache: the benchmark's, and a hash of its clips and of every setting that decides pixels."""
    digest = hashlib.sha256(json.dumps([table.hash, pixels(settings), *more], sort_keys=True).encode()).hexdigest()
    return f"{name.replace('_', '-')}-{digest[:12]}"


def _missing(table: ClipTable, root: Path) -> dict[int, str]:
    files = table.frame["file"]
    absent = ~files.isin(table.videos.keys())
    if absent.all():
        example = Path(files.iloc[0]).name
        raise ValueError(
            f"benchmark.videos={root} holds none of the {files.nunique():,} videos, as {example}; {listing(root)}"
        )
    why = {file: absence(root / file).replace("is not there", f"not under {root}", 1) for file in set(files[absent])}
    return {int(row): f"{files.iloc[row]}: {why[files.iloc[row]]}" for row in np.flatnonzero(absent)}


def _missing_notes(table: ClipTable, missing: Mapping[int, str], settings: RecordedSettings) -> list[str]:
    if not missing:
        return []
    files = sorted(set(table.frame["file"].iloc[list(missing)]))
    named = ", ".join(files[:5]) + (", ..." if len(files) > 5 else "")
    then = {"fail": "a run will fail (benchmark.on_bad=skip leaves them out)", "skip": "left out",
            "replace": "replaced by others of their class"}[settings.on_bad]  # fmt: skip
    return [f"{len(missing):,} of {len(table):,} clips have no video ({len(files):,} videos): {named}; {then} "
            f"({len(table.videos):,} videos are there)"]  # fmt: skip


def hold_out(groups: Sequence[str], classes: Sequence[str], share: float, purpose: str) -> np.ndarray:
    """Rows of about `share` of the clips, in whole groups: bool [N].

    Groups are taken in an order that depends on nothing but their names. No class loses more than half of its clips;
    where a group holds clips of one class only, each class gives its share, rounded up.
    """
    group, names = pd.factorize(np.asarray(groups, object), sort=True)
    target, labels = pd.factorize(np.asarray(classes, object), sort=True)
    total, taken = np.bincount(target, minlength=len(labels)), np.zeros(len(labels), np.int64)
    pairs, counts = np.unique(np.stack([group, target]), axis=1, return_counts=True)
    bounds = np.searchsorted(pairs[0], np.arange(len(names) + 1))
    chosen = np.zeros(len(names), bool)
    goal, most, quota = share * len(group), total // 2, np.ceil(share * total)
    for place in generator(f"held out: {purpose}").permutation(len(names)).tolist() if share else ():
        part = slice(bounds[place], bounds[place + 1])
        what, after = pairs[1, part], taken[pairs[1, part]] + counts[part]
        if len(what) == 1:
            fits = after[0] <= quota[what[0]]
        else:
            fits = taken.sum() < goal and taken.sum() + counts[part].sum() <= 1.2 * goal
        if fits and (after <= most[what]).all():
            chosen[place], taken[what] = True, after
    return chosen[group]


def _mirrored(table: ClipTable, flip: str) -> np.ndarray | None:
    """Rows that may be mirrored; with `undirected` those none of whose labels has a side in its name."""
    if flip == "none":
        return None
    allowed = np.ones(len(table), bool)
    for label in table.labels if flip == "undirected" else ():
        names = table.frame[label]
        directed = {name for name in set(names) if DIRECTED.search(name)}
        allowed &= ~names.isin(directed).to_numpy()
    return allowed
