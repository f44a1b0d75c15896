"""Your own videos: a CSV with a row a clip, or one folder a class.

CSV columns: file (relative to benchmark.videos); optional start and stop in seconds (empty: the whole video), split
(train, valid, test), group (clips that must not be parted by a split; default: the file) and sample_id; every other
column is a label. Folders: VIDEOS/class/clip.mp4, or VIDEOS/train/class/clip.mp4 beside valid and test.
"""

import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from benchmarks.annotations import Annotations
from benchmarks.clips import FIXED, ClipTable
from benchmarks.frames.find import ARCHIVES, SUFFIXES, VideoFile, composed, is_leftover, listing, stems
from benchmarks.recorded import Recorded, Recording, hold_out
from benchmarks.settings import VideoCsvSettings
from harness.common.words import unknown

SPLITS = {
    "train": "train", "training": "train", "valid": "valid", "val": "valid", "validate": "valid",
    "validation": "valid", "test": "test", "testing": "test",
}  # fmt: skip


class VideoCsv(Recorded):
    """A user's own videos."""

    Settings = VideoCsvSettings
    settings: VideoCsvSettings

    def recording(self) -> Recording:
        """The clip table out of the annotation files."""
        settings = self.settings
        passed: list[str] = []
        if settings.annotations is not None:
            rows, labels = _from_csv(Path(settings.annotations))
        elif settings.videos is not None:
            rows, labels, passed = _from_folders(Path(settings.videos))
        else:
            raise ValueError(
                "benchmark video_csv needs benchmark.annotations=FILE.csv or benchmark.videos=DIR (or both)"
            )
        notes = [*passed, *_divide(rows, labels[0], settings)]
        for part in ("valid", "test"):
            shared = set(rows["group"][rows["split"] == "train"]) & set(rows["group"][rows["split"] == part])
            if shared:
                raise ValueError(f"video_csv: {len(shared)} groups are in train and in {part}, for one {min(shared)!r}")
        table = ClipTable.of(rows, Path("."), labels)
        files = table.frame["file"].unique().tolist()
        return Recording(table, labels[0], lambda root: _there(root, files), tuple(notes))


def _there(root: Path, files: list[str]) -> dict[str, VideoFile]:
    found = {file: VideoFile(root / file) for file in files if (root / file).is_file()}
    if len(found) < len(files):  # accents may be written otherwise, and a downloader may have added its own ending
        others = _spellings(root)
        found |= {file: VideoFile(others[name]) for file in files if file not in found
                  and (name := composed(file)) in others}  # fmt: skip
    return found


def _spellings(root: Path) -> dict[str, Path]:
    """The files under a folder by their names with accents in one piece, and without a second ending."""
    found: dict[str, Path] = {}
    for path in (path for path in sorted(root.rglob("*")) if stems(path.name)):
        name = unicodedata.normalize("NFC", path.relative_to(root).as_posix())
        found[name] = path
        if len(stems(name)) == 2:
            found.setdefault(name.rpartition(".")[0], path)
    return {name: path for name, path in found.items() if path.is_file()}


def _from_csv(path: Path) -> tuple[pd.DataFrame, tuple[str, ...]]:
    if not path.is_file():
        raise ValueError(f"benchmark.annotations={path} is no CSV file")
    rows = Annotations(path, ("file",))
    labels = tuple(name for name in rows.columns if name not in FIXED and name != "block")
    if not labels:
        raise ValueError(f"{path}: has no label: every column but {', '.join(FIXED)} is one")
    file = rows.text("file")
    rows.refuse([not _inside(name) for name in file], "file", "is no path inside benchmark.videos")
    start, stop = _times(rows)
    frame = {"file": file, "start": start, "stop": stop, **{label: rows.text(label) for label in labels}}
    if "split" in rows:
        named = [SPLITS.get(word.lower()) for word in rows.text("split")]
        rows.refuse([name is None for name in named], "split", "is none of train, valid, test")
        frame["split"] = np.array(named, object)
    frame["group"] = rows.text("group") if "group" in rows else file
    if "sample_id" in rows:
        frame["sample_id"] = rows.text("sample_id")
        rows.unique("sample_id", frame["sample_id"])
    else:
        frame["sample_id"] = np.array([_name(*each) for each in zip(file, start, stop, strict=True)], object)
        rows.refuse(pd.Series(frame["sample_id"]).duplicated(), "file", "stands in an earlier row with the same times")
    return pd.DataFrame(frame), labels


def _inside(name: str) -> bool:
    path = PurePosixPath(name)
    return not (path.is_absolute() or ".." in path.parts or "\\" in name or "\0" in name or ":" in name[:3])


def _times(rows: Annotations) -> tuple[np.ndarray, np.ndarray]:
    """Start and stop; cells left empty mean the begin and the end of the video."""
    for name, filled in (("start", "0"), ("stop", "")):
        if name not in rows:
            rows.columns[name] = (filled,) * len(rows)
    rows.columns["start"] = tuple(value if value.strip() else "0" for value in rows.columns["start"])
    start = rows.seconds("start")
    open_end = rows.words("stop") == ""
    given = rows.columns["stop"]
    rows.columns["stop"] = tuple("0" if open_ else value for value, open_ in zip(given, open_end, strict=True))
    stop = np.where(open_end, np.inf, rows.seconds("stop"))
    rows.refuse(stop <= start, "stop", "is not after start")
    return start, stop


def _name(file: str, start: float, stop: float) -> str:
    return file if start == 0 and np.isinf(stop) else f"{file}@{start:.3f}-{stop:.3f}"


def _from_folders(root: Path) -> tuple[pd.DataFrame, tuple[str, ...], list[str]]:
    """The rows, the label, and notes on what was passed over."""
    if not root.is_dir():
        raise ValueError(f"benchmark.videos={root} is no folder")
    entries = sorted(path for path in root.iterdir() if not is_leftover(path.name))
    tops = [path for path in entries if path.is_dir()]
    parts = {path: SPLITS.get(path.name.lower()) for path in tops}
    named = bool(tops) and all(parts.values())
    rows = []
    passed = [path for path in entries if not path.is_dir()]
    for top in tops:
        for folder in sorted(path for path in top.iterdir() if path.is_dir()) if named else [top]:
            files = [path for path in sorted(folder.rglob("*")) if not (path.is_dir() or _hidden(path, folder))]
            passed += [path for path in files if not stems(path.name)] or ([] if files else [folder])
            for file in (path for path in files if stems(path.name)):
                name = composed(file.relative_to(root).as_posix())
                rows.append({"sample_id": name, "file": name, "start": 0.0, "stop": np.inf, "group": name,
                             "label": composed(folder.name), **({"split": parts[top]} if named else {})})  # fmt: skip
    if not rows:
        there = f"({', '.join(SUFFIXES)}); {listing(root)}"
        raise ValueError(f"benchmark.videos={root} holds no class folders with videos {there}")
    return pd.DataFrame(rows), ("label",), _passed_over(passed, root)


def _hidden(path: Path, under: Path) -> bool:
    return any(is_leftover(part) for part in path.relative_to(under).parts)


def _passed_over(paths: Sequence[Path], root: Path) -> list[str]:
    """A note on files that are no videos by their endings, and on empty class folders and links to nowhere."""
    if not paths:
        return []
    kinds = Counter("empty folders" if path.is_dir() else path.suffix.lower() or "no ending" for path in paths)
    counts = ", ".join(f"{n:,} {kind}" for kind, n in kinds.most_common(5))
    named = ", ".join(path.relative_to(root).as_posix() for path in paths[:5]) + (", ..." if len(paths) > 5 else "")
    packed = "; unpack the archives" if any(path.name.lower().endswith(ARCHIVES) for path in paths) else ""
    return [f"passed over in benchmark.videos, since they hold no videos: {named} ({counts}){packed}"]


def _divide(rows: pd.DataFrame, label: str, settings: VideoCsvSettings) -> list[str]:
    """Fill in the split where nothing names it, and a validation part where there is none."""
    notes = []
    if "split" not in rows:
        test = hold_out(rows["group"], rows[label], settings.test, "video_csv test")
        rows["split"] = np.where(test, "test", "train")
        notes.append(f"nothing names the split: {settings.test:g} of the clips of each class are for testing")
    elif "train" not in set(rows["split"]):
        raise ValueError(unknown("split of all rows", rows["split"].iloc[0], ("train", "valid", "test")))
    if "valid" not in set(rows["split"]):
        train = np.flatnonzero(rows["split"] == "train")
        valid = hold_out(rows["group"].iloc[train], rows[label].iloc[train], settings.valid, "video_csv")
        rows.loc[train[valid], "split"] = "valid"
    return notes
