"""The clip table: one row a clip, the only place that knows files, times, labels and splits."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.frames.find import VideoFile

SPLITS = ("train", "valid", "test", "pretrain")
FIXED = ("sample_id", "file", "start", "stop", "split", "group")
OPTIONAL = ("block", "item", "domain")


@dataclass(frozen=True)
class ClipTable:
    """Clips sorted by sample id; the row number is the integer sample id that batches carry.

    frame: columns sample_id (unique), file (relative to `root`), start and stop in seconds (stop inf: to the end of
    the video), split (train, valid, test, pretrain), group (clips of one group never stand on both sides of train and
    valid or test), one text column a label, and optionally block (classes of one block share a task as far as the
    number of tasks allows), item (clips of one item are tested together, by the mean of their scores) and domain (tasks
    are then made of domains and not of classes).
    streamed: for a label the classes that its stream has; training clips of the others are its pre-training part.
    order: the classes of each task where the benchmark's authors fixed them (order_seed then changes nothing).
    class_orders: orders of the classes that its authors fixed, of which order_seed takes one in turn; `first_classes`
    of them come in the first task, and the other tasks divide the rest.
    videos: where the files were found, for those that do not lie at root / file; unusable: row -> reason, clips that
    no stream hands out. Neither is part of `hash`: it says what the annotations ask for, not what a disk holds.
    """

    frame: pd.DataFrame
    root: Path
    labels: tuple[str, ...]
    streamed: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    order: tuple[tuple[str, ...], ...] = ()
    class_orders: tuple[tuple[str, ...], ...] = ()
    first_classes: int = 0
    videos: Mapping[str, VideoFile] = field(default_factory=dict)
    unusable: Mapping[int, str] = field(default_factory=dict)

    @classmethod
    def of(cls, frame: pd.DataFrame, root: Path, labels: tuple[str, ...], **rules) -> "ClipTable":
        """A checked and sorted table out of rows in any order; ValueError names what is wrong."""
        taken = sorted(set(labels) & {*FIXED, *OPTIONAL})
        if taken:
            raise ValueError(f"clip table: {taken[0]!r} has a meaning of its own and cannot be a label")
        columns = [*FIXED, *labels, *(name for name in OPTIONAL if name in frame)]
        missing = [name for name in columns if name not in frame]
        if missing:
            raise ValueError(f"clip table lacks the columns {', '.join(missing)} (it has: {', '.join(frame)})")
        frame = frame[columns].sort_values("sample_id", kind="stable").reset_index(drop=True)
        for name in ("sample_id", "file", "split", "group", *labels, *sorted({"item", "domain"} & set(frame))):
            if frame[name].isna().any():
                raise ValueError(f"clip table: empty {name} in {int(frame[name].isna().sum())} rows")
            frame[name] = frame[name].astype(str)
        frame = frame.astype({"start": float, "stop": float})
        if "block" in frame:
            frame["block"] = frame["block"].astype("int64")
        twice = frame["sample_id"][frame["sample_id"].duplicated()]
        if len(twice):
            raise ValueError(f"clip table: sample_id {twice.iloc[0]!r} occurs more than once")
        odd = sorted(set(frame["split"]) - set(SPLITS))
        if odd:
            raise ValueError(f"clip table: unknown split {odd[0]!r} (allowed: {', '.join(SPLITS)})")
        wrong = frame[~((frame["start"] >= 0) & (frame["stop"] > frame["start"]))]
        if len(wrong):
            row = wrong.iloc[0]
            raise ValueError(f"clip table: {row.sample_id!r} starts at {row.start} s and stops at {row.stop} s")
        return cls(frame, Path(root), tuple(labels), **rules)

    def __len__(self) -> int:
        return len(self.frame)

    def video(self, file: str) -> VideoFile:
        """Where the frames of this `file` are."""
        return self.videos.get(file) or VideoFile(self.root / file)

    @cached_property
    def items(self) -> np.ndarray:
        """For each row the first row of its item; itself where every clip is an item of its own: int64 [N]."""
        names = self.item_ids
        first = np.unique(pd.factorize(names)[0], return_index=True)[1]
        return first[pd.factorize(names)[0]]

    @cached_property
    def item_ids(self) -> np.ndarray:
        """The name of each row's item: object [N]."""
        return self.frame["item" if "item" in self.frame else "sample_id"].to_numpy()

    @cached_property
    def hours(self) -> np.ndarray:
        """The time that each clip spans, hours; nan where it goes to the end of its video: float64 [N]."""
        return ((self.frame["stop"] - self.frame["start"]) / 3600).replace(np.inf, np.nan).to_numpy()

    @cached_property
    def hash(self) -> str:
        """sha256 (hex) over labels, columns, rows and the rules of the stream; where the videos lie is not in it."""
        head: dict = {"labels": list(self.labels), "rows": len(self)}
        if self.streamed or self.order:
            head["streamed"] = {label: sorted(classes) for label, classes in sorted(self.streamed.items())}
            head["order"] = [list(task) for task in self.order]
        if self.class_orders:
            head["class_orders"] = [self.first_classes, *map(list, self.class_orders)]
        digest = hashlib.sha256(json.dumps(head).encode())
        for name in self.frame.columns:
            digest.update(json.dumps([name, self.frame[name].tolist()], ensure_ascii=True).encode())
        return digest.hexdigest()

    def write_csv(self, path: Path) -> None:
        """Write the rows as an annotation CSV."""
        self.frame.to_csv(path, index=False)


def read_csv(path: Path, root: Path, labels: tuple[str, ...]) -> ClipTable:
    """The clip table of an annotation CSV with the columns of `ClipTable`; times in seconds."""
    text = {name: str for name in ("sample_id", "file", "split", "group", *labels)}
    return ClipTable.of(pd.read_csv(path, dtype=text, keep_default_na=False, na_values=[""]), root, labels)
