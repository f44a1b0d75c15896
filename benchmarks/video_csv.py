"""Your own videos: a CSV with a row a clip, or one folder a class.

CSV columns: file (relative to benchmark.videos); optional start and stop in seconds (empty: the whole video), split
(train, valid, test), group (clips that must not be parted by a split; default: the file) and sample_id; every other
column is a label. Folders: VIDEOS/class/clip.mp4, or VIDEOS/train/class/clip.mp4 beside valid and test.
"""

from pathlib import Path, PurePosixPath

import numpy as np
import pandas as pd

from benchmarks.annotations import Annotations
from benchmarks.clips import FIXED, ClipTable
from benchmarks.frames.find import SUFFIXES, VideoFile
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
        if settings.annotations is not None:
            rows, labels = _from_csv(Path(settings.annotations))
        elif settings.videos is not None:
            rows, labels = _from_folders(Path(settings.videos))
        else:
            raise ValueError(
                "benchmark video_csv needs benchmark.annotations=FILE.csv or benchmark.videos=DIR (or both)"
            )
        notes = _divide(rows, labels[0], settings)
        for part in ("valid", "test"):
            shared = set(rows["group"][rows["split"] == "train"]) & set(rows["group"][rows["split"] == part])
            if shared:
                raise ValueError(f"video_csv: {len(shared)} groups are in train and in {part}, for one {min(shared)!r}")
        table = ClipTable.of(rows, Path("."), labels)
        files = table.frame["file"].unique().tolist()
        return Recording(table, labels[0], lambda root: _there(root, files), tuple(notes))


def _there(root: Path, files: list[str]) -> dict[str, VideoFile]:
    return {file: VideoFile(root / file) for file in files if (root / file).is_file()}


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


def _from_folders(root: Path) -> tuple[pd.DataFrame, tuple[str, ...]]:
    if not root.is_dir():
        raise ValueError(f"benchmark.videos={root} is no folder")
    tops = sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))
    parts = {path: SPLITS.get(path.name.lower()) for path in tops}
    named = bool(tops) and all(parts.values())
    rows = []
    for top in tops:
        for folder in sorted(path for path in top.iterdir() if path.is_dir()) if named else [top]:
            for file in sorted(folder.rglob("*")):
                if file.suffix.lower() in SUFFIXES and file.is_file():
                    name = file.relative_to(root).as_posix()
                    rows.append({"sample_id": name, "file": name, "start": 0.0, "stop": np.inf, "group": name,
                                 "label": folder.name, **({"split": parts[top]} if named else {})})  # fmt: skip
    if not rows:
        raise ValueError(f"benchmark.videos={root} holds no class folders with videos ({', '.join(SUFFIXES)})")
    return pd.DataFrame(rows), ("label",)


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
