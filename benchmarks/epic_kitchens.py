"""EPIC-KITCHENS-100: verb, noun and action segments of long kitchen videos, from the annotation files as released.

Times are those of the timestamp columns. The frame columns count images extracted at 60 a second (videos with two
digits) or 50 (three digits), which is not the rate of all videos; they only serve to check the timestamps.
Annotations: github.com/epic-kitchens/epic-kitchens-100-annotations, CC BY-NC 4.0, not part of this package.
"""

import ast
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.annotations import Annotations, find_file
from benchmarks.clips import ClipTable
from benchmarks.frames.find import find_videos
from benchmarks.recorded import Recorded, Recording, hold_out
from benchmarks.settings import EpicKitchensSettings

LABELS = ("verb", "noun", "action")
RELEASED = {"train": 67_217, "validation": 9_668}
COLUMNS = (
    "narration_id", "participant_id", "video_id", "start_timestamp", "stop_timestamp", "start_frame", "stop_frame",
    "verb", "verb_class", "noun", "noun_class", "all_noun_classes",
)  # fmt: skip
VIDEO = r"P\d{2}_\d{2,3}"


class EpicKitchens(Recorded):
    """EPIC-KITCHENS-100."""

    Settings = EpicKitchensSettings
    settings: EpicKitchensSettings

    def recording(self) -> Recording:
        """The clip table out of the annotation files."""
        settings = self.settings
        if settings.annotations is None:
            raise ValueError(
                "benchmark epic_kitchens needs benchmark.annotations=DIR: the folder with EPIC_100_train.csv, "
                "EPIC_100_validation.csv and the class files (github.com/epic-kitchens/epic-kitchens-100-annotations)"
            )
        folder = Path(settings.annotations)
        names = {kind: _class_names(folder, kind) for kind in ("verb", "noun")}
        train, test = (_segments(folder, part, names) for part in ("train", "validation"))
        both = pd.concat([train, test], ignore_index=True)
        notes = _check_parts(train, test)
        notes += _cut_to_length(folder, both)
        streamed = {label: _selected(train[label], test[label], settings) for label in LABELS}
        by_person = settings.tasks_by == "participants"
        person = both["group"].str[:3]
        # Nothing that tasks are made of may lose more than half of its clips.
        kept = person[: len(train)] if by_person else train["noun"]
        valid = hold_out(train["group"], kept, settings.valid, "EPIC-KITCHENS-100")
        both["split"] = ["valid" if out else "train" for out in valid] + ["test"] * len(test)
        notes.append(
            f"classes with fewer than {settings.min_train} segments in the train file or {settings.min_test} in the "
            f"validation file are left out; {settings.valid:g} of the train file is held out by whole videos"
        )
        if by_person:
            both["domain"] = person
        files = {Path(file).stem: file for file in both["file"].unique()}
        table = ClipTable.of(both, Path("."), LABELS, streamed=streamed)
        return Recording(table, "noun", lambda root: find_videos(root, files.get, image_rate), tuple(notes))


def image_rate(video: str) -> float:
    """Images a second of the released frame folders: 60 for P01_01, 50 for the later P01_101."""
    return 60.0 if len(video.rpartition("_")[2]) == 2 else 50.0


def _class_names(folder: Path, kind: str) -> tuple[list[str], list[set[str]]]:
    """The names of the classes in the order of their ids, and the words that annotators used for each."""
    path = find_file(folder, [f"EPIC_100_{kind}_classes.csv"], f"the {kind} classes", "benchmark.annotations")
    rows = Annotations(path, ("id", "key", "instances"))
    ids, keys = rows.whole("id", below=len(rows)), rows.text("key")
    rows.unique("id", ids)
    rows.unique("key", keys)
    words = []
    for row, text in enumerate(rows.text("instances")):
        try:
            words.append({str(word) for word in ast.literal_eval(text)})
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            rows.refuse(np.arange(len(rows)) == row, "instances", "is no list of words")
    order = np.argsort(ids)
    return keys[order].tolist(), [words[i] for i in order]


def _segments(folder: Path, part: str, names: Mapping[str, tuple[list[str], list[set[str]]]]) -> pd.DataFrame:
    files = [f"EPIC_100_{part}.csv", f"EPIC_100_{part}_rebuilt.csv"]
    path = find_file(folder, files, f"the {part} segments", "benchmark.annotations")
    rows = Annotations(path, COLUMNS)
    video = rows.names("video_id", VIDEO, "video id such as P01_01 or P01_101")
    sample = rows.names("narration_id", rf"{VIDEO}_\d+", "narration id such as P01_01_0")
    person = rows.text("participant_id")
    rows.unique("narration_id", sample)
    within = [name.rpartition("_")[0] for name in sample]
    rows.refuse(np.array(within, object) != video, "narration_id", "is not of the row's video_id")
    rows.refuse([name[:3] for name in video] != person, "participant_id", "is not that of the row's video_id")
    start, stop = rows.span("start_timestamp", "stop_timestamp")
    for column, times in (("start", start), ("stop", stop)):
        _check_frames(rows, f"{column}_frame", times, video)
    numbers = re.compile(r"\[[\d, ]*\]|").fullmatch
    lists = rows.words("all_noun_classes")
    rows.refuse([numbers(value) is None for value in lists], "all_noun_classes", "is no list of numbers")
    labels = {}
    for kind, (keys, words) in names.items():
        number = rows.whole(f"{kind}_class", below=len(keys))
        _check_words(rows, kind, number, words)
        labels[kind] = np.array(keys, dtype=object)[number]
    return pd.DataFrame({
        "sample_id": sample, "file": person + "/videos/" + video + ".MP4", "start": start, "stop": stop,
        "group": video, **labels, "action": labels["verb"] + " " + labels["noun"],
    })  # fmt: skip


def _check_frames(rows: Annotations, column: str, times: np.ndarray, video: np.ndarray) -> None:
    """The frame numbers count from the same times, so timestamps that were changed or swapped show."""
    rate = np.array([image_rate(name) for name in video])
    frame = rows.whole(column, below=10**7)
    stamp = column.replace("frame", "timestamp")
    rows.refuse(np.abs(frame - times * rate) > 3, column, f"does not fit its {stamp}")


def _check_words(rows: Annotations, kind: str, number: np.ndarray, words: list[set[str]]) -> None:
    """A few narrations use a word of another class; many such rows mean that columns were mixed up."""
    pairs = zip(rows.words(kind), number.tolist(), strict=True)
    other = np.array([word != "" and word not in words[k] for word, k in pairs])
    if other.sum() > max(5, 0.01 * len(other)):
        rows.refuse(other, kind, f"is no word of the row's {kind}_class: are columns mixed up?")


def _check_parts(train: pd.DataFrame, test: pd.DataFrame) -> list[str]:
    shared = sorted(set(train["group"]) & set(test["group"]))
    if shared:
        raise ValueError(f"{len(shared)} videos are in the train and in the validation file, for one {shared[0]}")
    return [
        f"the {part} file has {len(rows):,} segments, the release has {RELEASED[part]:,}: other clips, other hash"
        for part, rows in (("train", train), ("validation", test))
        if len(rows) != RELEASED[part]
    ]


def _cut_to_length(folder: Path, segments: pd.DataFrame) -> list[str]:
    """Segments end with their video, where EPIC_100_video_info.csv is there to say when that is."""
    path = folder / "EPIC_100_video_info.csv"
    if not path.is_file():
        return ["EPIC_100_video_info.csv is not there: the lengths of the videos are unknown until they are decoded"]
    rows = Annotations(path, ("video_id", "duration"))
    video = rows.names("video_id", VIDEO, "video id such as P01_01")
    rows.unique("video_id", video)
    length = segments["group"].map(dict(zip(video, rows.seconds("duration"), strict=True)))
    for lost in (length.isna(), segments["start"] >= length):
        if lost.any():
            row = segments[lost].iloc[0]
            raise ValueError(f"{path}: segment {row.sample_id} at {row.start:.2f} s is not within a video listed there")
    late = segments["stop"] > length
    segments["stop"] = segments["stop"].clip(upper=length)
    hours = length.groupby(segments["group"]).first().sum() / 3600
    notes = [f"{segments['group'].nunique()} videos of {hours:.1f} h"]
    return notes + ([f"{int(late.sum())} segments end after their video and are cut there"] if late.any() else [])


def _selected(train: pd.Series, test: pd.Series, settings: EpicKitchensSettings) -> tuple[str, ...]:
    trained, tested = train.value_counts(), test.value_counts()
    enough = set(trained.index[trained >= settings.min_train])
    if settings.min_test:
        enough &= set(tested.index[tested >= settings.min_test])
    return tuple(sorted(enough))
