"""What the benchmarks of recorded videos share: finding the files, holding out groups, and the cache of frames."""

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks import Benchmark, dense
from benchmarks.clips import ClipTable
from benchmarks.frames.build import Wish, part_of, prepare, prepare_share
from benchmarks.frames.cache import FrameCache, staged
from benchmarks.frames.decode import BadVideo
from benchmarks.frames.find import VideoFile
from benchmarks.randomness import generator
from benchmarks.settings import RecordedSettings

DIRECTED = re.compile(r"(?i)(?<![a-z])(left|right|(anti|counter)?-?clockwise)(wards?)?(?![a-z])")


@dataclass(frozen=True)
class Recording:
    """A clip table out of annotation files, and how to find its videos.

    find: folder of the videos -> where the frames of each `file` of the table are, as far as they are there.
    """

    table: ClipTable
    label: str
    find: Callable[[Path], Mapping[str, VideoFile]]
    notes: tuple[str, ...] = field(default=())


def describe(name: str, recording: Recording, settings: RecordedSettings, cache: Path) -> Benchmark:
    """The benchmark without its frames; with `benchmark.videos` it says which videos are not there."""
    table, missing, notes = _clips(recording, settings)
    folder = _folder(name, table, settings, missing, cache)
    bad = FrameCache(folder).bad if folder.is_dir() else _undone(missing, settings)
    return _benchmark(name, recording, replace(table, unusable=_skipped(bad)), settings, None, notes, bad)


def load(name: str, recording: Recording, settings: RecordedSettings, cache: Path, workers: int) -> Benchmark:
    """The benchmark with its frames; what the cache lacks is decoded first."""
    table, missing, notes = _clips(recording, settings)
    folder, wish = _wish(name, table, settings, missing, cache)
    title = f"decoding {name}, once, to {folder}"
    part = _part(name, table, settings, cache)
    try:
        frames = prepare(folder, table, np.arange(len(table)), wish, workers, title, part)
    except BadVideo as error:
        raise BadVideo(f"{error} (benchmark.on_bad=skip or replace goes on without them)") from error
    if settings.stage is not None:
        frames = staged(frames, Path(settings.stage))
    return _benchmark(name, recording, replace(table, unusable=frames.skipped), settings, frames, notes, frames.bad)


def write_share(
    name: str, recording: Recording, settings: RecordedSettings, cache: Path, workers: int, part: int, parts: int
) -> None:
    """Decode the part `part` of `parts` for a later `load`."""
    table, missing, _ = _clips(recording, settings)
    folder, wish = _wish(name, table, settings, missing, cache)
    if not folder.is_dir():
        title = f"decoding {name}, part {part} of {parts}, for {folder}"
        there = _part(name, table, settings, cache)
        prepare_share(there, table, np.arange(len(table)), wish, workers, title, (part, parts))


def _wish(name, table, settings, missing, cache) -> tuple[Path, Wish]:
    """Where the frames of these clips lie, and what they are."""
    if settings.videos is None:
        raise ValueError(f"benchmark {name} needs benchmark.videos=DIR, the folder of its videos (or plan=true)")
    shape = (settings.frames, settings.size, settings.size)
    how = {name: getattr(settings, name) for name in ("candidates", "margin", "codec", "on_bad", "patience")}
    return _folder(name, table, settings, missing, cache), Wish(shape, fit=settings.resize, missing=missing, **how)


def hold_out(groups: Sequence[str], classes: Sequence[str], share: float, purpose: str) -> np.ndarray:
    """Rows of about `share` of the clips, in whole groups: bool [N].

    Groups are taken in an order that depends on nothing but their names. No class loses more than half of its clips;
    where a group holds clips of one class only, each class gives its share, rounded up.
    """
    group, names = pd.factorize(np.asarray(groups, object), sort=True)
    target, labels = pd.factorize(np.asarray(classes, object), sort=True)
    total, held = np.bincount(target, minlength=len(labels)), np.zeros(len(labels), np.int64)
    pairs, counts = np.unique(np.stack([group, target]), axis=1, return_counts=True)
    bounds = np.searchsorted(pairs[0], np.arange(len(names) + 1))
    chosen = np.zeros(len(names), bool)
    wanted, most, quota = share * len(group), total // 2, np.ceil(share * total)
    for place in generator(f"held out: {purpose}").permutation(len(names)).tolist() if share else ():
        part = slice(bounds[place], bounds[place + 1])
        what, after = pairs[1, part], held[pairs[1, part]] + counts[part]
        if len(what) == 1:
            fits = after[0] <= quota[what[0]]
        else:
            fits = held.sum() < wanted and held.sum() + counts[part].sum() <= 1.2 * wanted
        if fits and (after <= most[what]).all():
            chosen[place], held[what] = True, after
    return chosen[group]


def _clips(recording: Recording, settings: RecordedSettings) -> tuple[ClipTable, dict[int, str], list[str]]:
    """The clips asked for with their videos as far as they are known, row -> why for those without, and notes."""
    table, notes, missing = recording.table, list(recording.notes), {}
    if settings.videos is not None:
        root = Path(settings.videos)
        if not root.is_dir():
            raise ValueError(f"benchmark.videos={settings.videos} is no folder")
        table = replace(table, root=root, videos=recording.find(root))
    if settings.clips == "dense":
        table, note = dense.cut(table, settings.frames, settings.rate, table.videos)
        notes.append(note)
    if settings.videos is not None:
        missing = _missing(table, settings)
        notes += _missing_notes(table, missing, settings)
    return table, missing, notes


def _missing(table: ClipTable, settings: RecordedSettings) -> dict[int, str]:
    files = table.frame["file"]
    absent = ~files.isin(table.videos.keys())
    if absent.all():
        example = Path(files.iloc[0]).name
        raise ValueError(
            f"benchmark.videos={settings.videos} holds none of the {files.nunique():,} videos, as {example}"
        )
    return {int(row): f"{files.iloc[row]}: not under {settings.videos}" for row in np.flatnonzero(absent)}


def _missing_notes(table: ClipTable, missing: Mapping[int, str], settings: RecordedSettings) -> list[str]:
    if not missing:
        return []
    files = sorted(set(table.frame["file"].iloc[list(missing)]))
    named = ", ".join(files[:5]) + (", ..." if len(files) > 5 else "")
    then = {"fail": "a run will fail (benchmark.on_bad=skip leaves them out)", "skip": "left out",
            "replace": "replaced by others of their class"}[settings.on_bad]  # fmt: skip
    return [f"{len(missing):,} of {len(table):,} clips have no video ({len(files):,} videos): {named}; {then}"]


def _undone(missing: Mapping[int, str], settings: RecordedSettings) -> dict[int, tuple[str, str]]:
    done = {"fail": "nothing yet", "skip": "skipped", "replace": "to be replaced"}[settings.on_bad]
    return {row: (why, done) for row, why in missing.items()}


def _skipped(bad: Mapping[int, tuple[str, str]]) -> dict[int, str]:
    return {row: why for row, (why, done) in bad.items() if done == "skipped"}


def _folder(name: str, table: ClipTable, settings: RecordedSettings, missing: Mapping[int, str], cache: Path) -> Path:
    """The cache folder of these clips at this size; other missing videos give another one."""
    gone = sorted(table.frame["sample_id"].iloc[list(missing)]) if settings.on_bad != "fail" else []
    return cache / f"{_name(name, table, settings, settings.on_bad, gone)}-frames"


def _part(name: str, table: ClipTable, settings: RecordedSettings, cache: Path) -> Path:
    """Where it is made: what was decoded before `on_bad=fail` failed serves `on_bad=skip` as well."""
    return part_of(cache / _name(name, table, settings))


def _name(name: str, table: ClipTable, settings: RecordedSettings, *more: Any) -> str:
    how = {key: getattr(settings, key) for key in ("frames", "size", "resize", "candidates", "margin", "codec")}
    digest = hashlib.sha256(json.dumps([table.hash, how, *more], sort_keys=True).encode()).hexdigest()
    return f"{name.replace('_', '-')}-{digest[:12]}"


def _benchmark(name, recording, table, settings, reader, notes, bad) -> Benchmark:
    frame = table.frame
    notes = list(notes)
    if bad:
        kinds = pd.Series([done.split(" ")[0].strip(",") for _, done in bad.values()]).value_counts()
        notes.append("clips not as annotated: " + ", ".join(f"{n:,} {kind}" for kind, n in kinds.items()))
    listed = tuple(
        {"sample_id": frame["sample_id"].iloc[row], "file": frame["file"].iloc[row], "reason": why, "done": done}
        for row, (why, done) in sorted(bad.items())
    )
    shape = (settings.frames, settings.size, settings.size)
    mirrored = _mirrored(table, settings.flip)
    return Benchmark(name, table, recording.label, *shape, reader, tuple(notes), listed, mirrored)


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
