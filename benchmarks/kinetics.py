"""Kinetics-400, 600, 700 and 700-2020: ten-second clips with one action each, from the annotation CSVs as released.

The official train file becomes train and validation (held out by youtube id), the official validation file the test
part. Training never sees a youtube id of the test part. Annotations are not part of this package.
"""

import re
from collections.abc import Callable
from importlib import resources
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.annotations import Annotations
from benchmarks.clips import ClipTable
from benchmarks.frames.find import find_videos
from benchmarks.recorded import Recorded, Recording, hold_out
from benchmarks.settings import KineticsSettings

COLUMNS = (
    "label|label-name|label_name|class", "youtube_id|youtube-id|ytid|video_id", "time_start|time-start|start_time",
    "time_end|time-end|end_time",
)  # fmt: skip
PARTS = {"train": ("train", "training"), "validation": ("validate", "val", "valid", "validation")}
# Kinetics-400's name -> Kinetics-700's, for classes that were renamed (the merged map of Kinetics-710).
RENAMED = {
    "balloon blowing": "inflating balloons",
    "changing wheel": "changing wheel (not on bike)",
    "cooking sausages": "cooking sausages (not on barbeque)",
    "drinking": "sipping cup",
    "dying hair": "dyeing hair",
    "garbage collecting": "person collecting garbage",
    "hugging": "hugging (not baby)",
    "making bed": "making the bed",
    "opening bottle": "opening bottle (not wine)",
    "picking fruit": "picking apples",
    "skiing (not slalom or crosscountry)": "skiing mono",
    "sniffing": "smelling feet",
    "throwing ball": "throwing ball (not baseball or American football)",
    "tying tie": "tying necktie",
}
_CLIP = re.compile(r"([A-Za-z0-9_-]{11})_(\d{6})_(\d{6})", re.ASCII)
_TEST_SHARE = 0.25  # of the clips of source=validation


class Kinetics(Recorded):
    """Kinetics-400, 600, 700 and 700-2020."""

    Settings = KineticsSettings
    settings: KineticsSettings

    def recording(self) -> Recording:
        """The clip table out of the annotation files."""
        settings = self.settings
        if settings.annotations is None:
            raise ValueError(
                "benchmark kinetics needs benchmark.annotations=DIR: the folder with the CSVs of "
                f"Kinetics-{settings.version}, e.g. kinetics{settings.version}_train.csv and _validate.csv, or "
                "train.csv and val.csv"
            )
        test = _clips(settings, "validation")
        if settings.source == "validation":
            rows, notes = _divided(test, settings)
        else:
            rows, notes = _official(_clips(settings, "train"), test, settings)
        rows["action"] = _one_spelling(rows["action"])
        streamed = {}
        if settings.pretrain != "none":
            known = kinetics_400_classes(merged=settings.pretrain == "k400_merged")
            classes = sorted(set(rows["action"]))
            kept = tuple(name for name in classes if name.lower() not in known)
            streamed["action"] = kept
            notes.append(f"{len(classes) - len(kept)} classes of Kinetics-400 are kept for pre-training")
        table = ClipTable.of(rows, Path("."), ("action",), streamed=streamed)
        key = _key(table.frame)
        return Recording(table, "action", lambda root: find_videos(root, key), tuple(notes))


def plain_name(label: str) -> str:
    """A class name without the crawlers' underscores, typographic quotes and doubled blanks."""
    for odd, plain in (("_", " "), ("’", "'"), ("‘", "'"), ("“", '"'), ("”", '"')):
        label = label.replace(odd, plain)
    return " ".join(label.split()).strip('"')


def kinetics_400_classes(merged: bool) -> frozenset[str]:
    """The names of Kinetics-400's classes, in lower case; with `merged` as Kinetics-700 calls the renamed ones."""
    text = (resources.files("benchmarks") / "kinetics_400_classes.txt").read_text(encoding="utf-8")
    names = [line for line in text.splitlines() if not line.startswith("#")]
    return frozenset((RENAMED.get(name, name) if merged else name).lower() for name in names)


def _official(train: pd.DataFrame, test: pd.DataFrame, settings: KineticsSettings) -> tuple[pd.DataFrame, list[str]]:
    shared = train["group"].isin(set(test["group"]))
    train = train[~shared].reset_index(drop=True)
    valid = hold_out(train["group"], train["action"], settings.valid, "Kinetics")
    train["split"], test["split"] = np.where(valid, "valid", "train"), "test"
    notes = [f"{int(shared.sum()):,} training clips share a youtube id with the test part and are left out"]
    return pd.concat([train, test], ignore_index=True), notes if shared.any() else []


def _divided(clips: pd.DataFrame, settings: KineticsSettings) -> tuple[pd.DataFrame, list[str]]:
    """Train, validation and test out of one file, by youtube id."""
    test = hold_out(clips["group"], clips["action"], _TEST_SHARE, "Kinetics, validation file, test")
    clips["split"] = np.where(test, "test", "train")
    rest = np.flatnonzero(~test)
    part = clips.iloc[rest]
    valid = hold_out(part["group"], part["action"], settings.valid, "Kinetics, validation file")
    clips.loc[rest[valid], "split"] = "valid"
    return clips, [f"all {len(clips):,} clips are of the official validation file, divided by youtube id"]


def _clips(settings: KineticsSettings, part: str) -> pd.DataFrame:
    rows = Annotations(_file(settings, part), COLUMNS)
    video = rows.names("youtube_id", r"[A-Za-z0-9_-]{11}", "youtube id of 11 signs")
    start, stop = rows.span("time_start", "time_end")
    if "split" in rows:
        named = [word.lower() for word in rows.text("split")]
        rows.refuse([word not in PARTS[part] for word in named], "split", f"is not that of the {part} file")
    sample = np.array([f"{v}_{int(a):06d}_{int(b):06d}" for v, a, b in zip(video, start, stop, strict=True)], object)
    twice = pd.Series(sample).duplicated()
    rows.refuse(twice, "youtube_id", "stands in an earlier row with the same times already")
    names = {label: plain_name(label) for label in set(rows.text("label"))}
    label = np.array([names[label] for label in rows.text("label")], object)
    return pd.DataFrame({
        "sample_id": sample, "file": sample + ".mp4", "start": 0.0, "stop": stop - start, "group": video,
        "action": label,
    })  # fmt: skip


def _file(settings: KineticsSettings, part: str) -> Path:
    """The CSV of this part and version; a name without any version's number is of the version asked for."""
    folder = Path(settings.annotations or "")
    if not folder.is_dir():
        raise ValueError(f"benchmark.annotations={settings.annotations} is no folder")
    words = "|".join(PARTS[part])
    pattern = re.compile(rf"(?:.*[_-])?(?:{words})\.csv(?:\.gz)?", re.IGNORECASE)
    number = settings.version.replace("_", "[-_]?")
    own = re.compile(rf"{number}(?![-_]?2020)")
    named = [path for path in sorted(folder.iterdir()) if pattern.fullmatch(path.name)]
    exact = [path for path in named if own.search(path.name)]
    files = exact or [path for path in named if not re.search(r"400|600|700", path.name)]
    if len(files) > 1:
        raise ValueError(f"benchmark.annotations={folder} has {files[0].name} and {files[1].name} for one part: {part}")
    if not files:
        hint = ""
        if part == "train":
            hint = "; benchmark.source=validation divides the validation file alone"
        raise ValueError(
            f"benchmark.annotations={folder} lacks the {part} CSV of Kinetics-{settings.version}, such as "
            f"kinetics{settings.version}_{PARTS[part][0]}.csv{hint}"
        )
    return files[0]


def _one_spelling(labels: pd.Series) -> pd.Series:
    """Names that differ in capitals only are one class, by the spelling that sorts first."""
    first: dict[str, str] = {}
    for name in sorted(set(labels)):
        first.setdefault(name.lower(), name)
    return labels.map(lambda name: first[name.lower()])


def _key(frame: pd.DataFrame) -> Callable[[str], str | None]:
    """File names as the crawlers give them: id_start_end in any folder, or the id alone where one clip has it."""
    samples = set(frame["sample_id"])
    counts = frame["group"].value_counts()
    alone = frame[frame["group"].isin(counts.index[counts == 1])]
    by_id = dict(zip(alone["group"], alone["file"], strict=True))

    def key(stem: str) -> str | None:
        if _CLIP.fullmatch(stem):
            return f"{stem}.mp4" if stem in samples else None
        return by_id.get(stem)

    return key
