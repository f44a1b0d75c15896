"""vCLIMB (Villa et al., CVPR 2022): class-incremental splits of three data sets in their published class order.

Split files are JSON: {"train": [task, ...], "val": [...], "test": [...]}, a task is {class name: [item, ...]}; an item
is a video name (UCF101, Kinetics-400) or [video name, start s, stop s, length s, ...] (ActivityNet). They are not in
this package. UCF101 has a validation and a test part. ActivityNet and Kinetics-400 are tested on their val part, as
published; their validation part is held out of train by whole videos here.
"""

import gzip
import json
import re
import zlib
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.annotations import find_file, short
from benchmarks.clips import ClipTable
from benchmarks.frames.find import find_videos
from benchmarks.recorded import Recorded, Recording, hold_out
from benchmarks.settings import VClimbSettings

PARTS = {
    "ucf101": {"train": "train", "val": "valid", "test": "test"},
    "activitynet": {"train": "train", "val": "test"},
    "kinetics400": {"train": "train", "val": "test"},
}
SLACK, INSTANT = 1.0, 0.04  # seconds
_VIDEO = re.compile(r"[A-Za-z0-9_-]{1,100}", re.ASCII)


class Vclimb(Recorded):
    """vCLIMB's splits of UCF101, ActivityNet and Kinetics-400."""

    Settings = VClimbSettings
    settings: VClimbSettings

    def recording(self) -> Recording:
        """The clip table out of the annotation files."""
        settings = self.settings
        name = f"{settings.dataset}_{settings.tasks}tasks"
        if settings.annotations is None:
            raise ValueError(f"benchmark vclimb needs benchmark.annotations=DIR: the folder with {name}.json")
        folder = Path(settings.annotations)
        path = find_file(folder, [f"{name}.json"], "the split", "benchmark.annotations")
        split, order = _json(path), _order(folder, name)
        rows = [row for part, ours in PARTS[settings.dataset].items() for row in _rows(path, split, part, ours)]
        if settings.untrimmed:
            rows = _untrimmed(split, rows)
        table = pd.DataFrame(rows, columns=["file", "start", "stop", "split", "action"])
        table["group"] = table["file"]
        table["sample_id"] = _sample_ids(table)
        tasks = tuple(tuple(task) for task in split["train"])
        if order is not None and [sorted(task) for task in order] != [sorted(task) for task in tasks]:
            raise ValueError(f"{path} and {name}_class_order.json give other classes to the tasks")
        notes = _hold_out(table, settings) + _kept_apart(table)
        if order is not None:
            tasks = tuple(tuple(task) for task in order)
        files = {Path(file).stem: file for file in table["file"].unique()}

        def key(stem: str) -> str | None:
            return files.get(stem) or files.get(f"v_{stem}")

        clips = ClipTable.of(table, Path("."), ("action",), order=tasks)
        return Recording(clips, "action", lambda root: find_videos(root, key), tuple(notes))


def _json(path: Path) -> Any:
    try:
        with gzip.open(path, "rt", encoding="utf-8") if path.suffix == ".gz" else open(path, encoding="utf-8") as file:
            content = json.load(file)
    except (ValueError, EOFError, gzip.BadGzipFile, zlib.error, RecursionError) as error:
        raise ValueError(f"{path}: cannot be read as JSON: {error}") from error
    return content


def _order(folder: Path, name: str) -> list[list[str]] | None:
    files = [file for file in (folder / f"{name}_class_order.json",) if file.is_file()]
    if not files:
        return None
    order = _json(files[0])
    good = isinstance(order, list) and all(
        isinstance(task, list) and task and all(isinstance(each, str) for each in task) for task in order
    )
    if not good:
        raise ValueError(f"{files[0]}: must be a list of tasks, each a list of class names")
    return order


def _rows(path: Path, split: Any, part: str, ours: str) -> list[tuple]:
    if not isinstance(split, dict) or not isinstance(split.get(part), list):
        raise ValueError(f"{path}: lacks the list of tasks {part!r}")
    rows, seen = [], set()
    for number, task in enumerate(split[part]):
        if not isinstance(task, dict) or not task:
            raise ValueError(f"{path}: task {number} of {part!r} must be {{class name: [item, ...]}}")
        for name, items in task.items():
            if not name.strip() or name in seen:
                raise ValueError(f"{path}: class {short(name)} of {part!r} is empty or stands in two tasks")
            seen.add(name)
            if not isinstance(items, list):
                raise ValueError(f"{path}: class {short(name)} of {part!r} has no list of items")
            rows += [(*_item(path, item, name), ours, name) for item in items]
    return rows


def _item(path: Path, item: Any, name: str) -> tuple[str, float, float]:
    """File, start and stop; a segment that goes beyond its video ends with it."""
    whole = isinstance(item, str)
    video = item if whole else item[0] if isinstance(item, list) and item else None
    if not isinstance(video, str) or not _VIDEO.fullmatch(video):
        raise ValueError(f"{path}: class {short(name)}: {short(str(item))} does not begin with a video's name")
    if whole:
        return f"{video}.mp4", 0.0, np.inf
    numbers = [float(x) for x in item[1:4] if isinstance(x, int | float) and not isinstance(x, bool)]
    if len(numbers) != 3 or not 0 <= numbers[0] <= numbers[1] < 1e6 or not numbers[0] <= numbers[2] + SLACK < 1e6:
        raise ValueError(f"{path}: class {short(name)}: {short(str(item))} has no start before stop within its length")
    start, stop, length = numbers
    # The published split holds a few segments of no length: they show one frame.
    start = max(0.0, min(start, length - INSTANT))
    return f"{video}.mp4", start, max(min(stop, length), start + INSTANT)


def _untrimmed(split: Any, rows: list[tuple]) -> list[tuple]:
    """A row for each video and class, from its begin to its end, in place of its segments."""
    lengths = {item[0]: float(item[3]) for part in ("train", "val") for task in split[part] for items in task.values()
               for item in items if isinstance(item, list)}  # fmt: skip
    whole = ((file, 0.0, lengths[Path(file).stem], *rest) for file, _, _, *rest in rows)
    return list(dict.fromkeys(whole))


def _sample_ids(table: pd.DataFrame) -> list[str]:
    """Video and times; ActivityNet repeats a few segments, which are told apart by a number."""
    counts: Counter[str] = Counter()
    ids = []
    for row in table.itertuples():
        stem = row.file.removesuffix(".mp4")
        name = stem if np.isinf(row.stop) else f"{stem}_{row.start:.3f}_{row.stop:.3f}"
        name = f"{row.split}/{name}"
        counts[name] += 1
        ids.append(name if counts[name] == 1 else f"{name}#{counts[name]}")
    return ids


def _hold_out(table: pd.DataFrame, settings: VClimbSettings) -> list[str]:
    if settings.dataset == "ucf101":
        twice = table["file"].duplicated()
        if twice.any():
            raise ValueError(f"vclimb: video {table['file'][twice].iloc[0]} stands twice in the split")
        return ["UCF101's clips of one film stand in train and in validation: that is the published split"]
    train = np.flatnonzero(table["split"] == "train")
    part = table.iloc[train]
    name = {"activitynet": "ActivityNet", "kinetics400": "Kinetics-400"}[settings.dataset]
    valid = hold_out(part["group"], part["action"], settings.valid, f"vCLIMB {name}")
    table.loc[train[valid], "split"] = "valid"
    return [f"tested on {name}'s validation videos, as published; validation is held out of train by videos"]


def _kept_apart(table: pd.DataFrame) -> list[str]:
    shared = set(table["file"][table["split"] == "test"]) & set(table["file"][table["split"] != "test"])
    if shared:
        raise ValueError(f"vclimb: {len(shared)} videos are in training and test, for one {min(shared)}")
    return []
