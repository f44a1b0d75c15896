"""Options of the benchmarks with their help texts; imports nothing heavy so that `--help` stays quick."""

import difflib
import os
from dataclasses import Field, dataclass, field, fields
from typing import Any


def _option(default: Any, help: str) -> Any:
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True)
class MovingDigitsSettings:
    """Handwritten digits moving over textured backgrounds (embedded, nothing to download)."""

    tasks: int = _option(10, "tasks (experiences) of the stream")
    actions: int = _option(40, "action classes streamed: 40 (ten blocks of four) | 20 (the first five blocks)")
    clips_per_class: int = _option(
        100, "training clips a class; validation and pre-training get a fifth of it, test two fifths"
    )
    leak: float = _option(0.0, "share of clips drawn with the background of a random block (0 to 1)")
    data_seed: int = _option(0, "seed of the digit images, their split and the videos")

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            wanted = (int, float) if each.name == "leak" else int
            if isinstance(value, bool) or not isinstance(value, wanted):
                kind = "a number" if each.name == "leak" else "a whole number"
                raise ValueError(f"benchmark.{each.name} must be {kind}, not {value!r}")
        # 0 and 0.0 are the same benchmark and must give the same hashes.
        object.__setattr__(self, "leak", float(self.leak))
        if self.actions not in (20, 40):
            raise ValueError(f"benchmark.actions must be 20 or 40, not {self.actions}")
        if not 0.0 <= self.leak <= 1.0:
            raise ValueError(f"benchmark.leak is a share between 0 and 1, not {self.leak}")
        for name, least in (("tasks", 1), ("clips_per_class", 1), ("data_seed", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"benchmark.{name} must be at least {least}, not {getattr(self, name)}")


def _path(help: str, default: float | None = None) -> Any:
    """A place on this machine, or what it is capable of: how a run is carried out, not what it is; never hashed."""
    return field(default=default, metadata={"help": help, "path": True})


@dataclass(frozen=True)
class RecordedSettings:
    """What the benchmarks of recorded videos share."""

    tasks: int = _option(10, "tasks (experiences) of the stream")
    annotations: str | None = _path("folder of the annotation files as released")
    videos: str | None = _path("folder of the videos as downloaded; not needed for plan=true")
    stage: str | None = _path("folder on this machine's own disk that decoded frames are copied to first")
    patience: float = _path("seconds without a frame after which a decoder is cut off", 120.0)
    valid: float = _option(0.1, "share of the training videos held out for validation (0: none)")
    clips: str = _option("one", "one (a clip a segment) | dense (segments cut into consecutive clips)")
    rate: float = _option(30.0, "frames a second of dense clips")
    frames: int = _option(14, "frames of a clip, evenly spread over it; short clips repeat frames")
    size: int = _option(224, "height and width of the decoded frames, pixels")
    resize: str = _option("crop", "crop (short side to size, then the centre) | stretch (to size by size)")
    candidates: int = _option(1, "stored times a frame, odd: training takes any of them, evaluation the middle one")
    margin: int = _option(0, "pixels stored beyond `size`: training crops at random, evaluation takes the middle")
    flip: str = _option("none", "mirrored views in training: none | all | undirected (not of left, right, clockwise)")
    codec: str = _option("jpeg", "how decoded frames are stored: jpeg (quality 90) | raw (13 times as large)")
    on_bad: str = _option("fail", "clips that cannot be decoded: fail | skip | replace (by another of their class)")

    def __post_init__(self) -> None:
        for each in fields(self):
            _check_type(each, getattr(self, each.name))
        for name in ("valid", "rate", "patience"):
            object.__setattr__(self, name, float(getattr(self, name)))
        for name in ("annotations", "videos", "stage"):  # a job on a cluster begins in another folder
            if getattr(self, name) is not None:
                object.__setattr__(self, name, os.path.abspath(os.path.expanduser(getattr(self, name))))
        if not 0.0 <= self.valid < 1.0:
            raise ValueError(f"benchmark.valid is a share from 0 to below 1, not {self.valid}")
        if not 0.1 <= self.rate <= 1000.0:
            raise ValueError(f"benchmark.rate is a number of frames a second from 0.1 to 1000, not {self.rate}")
        for name, least in (("tasks", 1), ("frames", 1), ("size", 8), ("candidates", 1), ("margin", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"benchmark.{name} must be at least {least}, not {getattr(self, name)}")
        if self.patience <= 0:
            raise ValueError(f"benchmark.patience is a number of seconds above 0, not {self.patience}")
        if self.candidates % 2 == 0:
            raise ValueError(f"benchmark.candidates must be odd, so that one time is the middle, not {self.candidates}")
        one_of("flip", self.flip, ("none", "all", "undirected"))
        one_of("codec", self.codec, ("jpeg", "raw"))
        one_of("clips", self.clips, ("one", "dense"))
        one_of("resize", self.resize, ("crop", "stretch"))
        one_of("on_bad", self.on_bad, ("fail", "skip", "replace"))


def _check_type(each: Field, value: Any) -> None:
    optional = "path" in each.metadata and each.default is None
    kinds = {int: (int, "a whole number"), float: ((int, float), "a number"), str: (str, "a text")}
    kind, words = kinds[str if optional else each.type]
    if not (optional and value is None) and (isinstance(value, bool) or not isinstance(value, kind)):
        raise ValueError(f"benchmark.{each.name} must be {words}, not {value!r}")


def one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    """ValueError with the nearest word unless `value` is one of those allowed."""
    if value not in allowed:
        near = difflib.get_close_matches(value, allowed, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"unknown benchmark.{name}: {value!r}{hint} (allowed: {', '.join(allowed)})")


@dataclass(frozen=True)
class EpicKitchensSettings(RecordedSettings):
    """EPIC-KITCHENS-100: long kitchen videos with verb, noun and action segments (annotations not included)."""

    min_train: int = _option(100, "classes with fewer segments in the train file are left out of the stream")
    min_test: int = _option(10, "classes with fewer segments in the validation file are left out of the stream")
    tasks_by: str = _option("classes", "what tasks are made of: classes | participants (domain-incremental)")

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("tasks_by", self.tasks_by, ("classes", "participants"))


@dataclass(frozen=True)
class KineticsSettings(RecordedSettings):
    """Kinetics-400, 600, 700 or 700-2020: ten-second clips of human actions (annotations not included)."""

    version: str = _option("700", "400 | 600 | 700 | 700_2020")
    source: str = _option(
        "official", "official (train file to train, validation file to test) | validation (that file alone, divided)"
    )
    pretrain: str = _option(
        "none", "classes kept for pre-training: none | k400_merged (Kinetics-400's, renamed ones too) | k400_name"
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "version", str(self.version))  # 700 on a command line is a number
        super().__post_init__()
        one_of("version", self.version, ("400", "600", "700", "700_2020"))
        one_of("source", self.source, ("official", "validation"))
        one_of("pretrain", self.pretrain, ("none", "k400_merged", "k400_name"))


@dataclass(frozen=True)
class VClimbSettings(RecordedSettings):
    """vCLIMB's splits of UCF101 and ActivityNet with their published class order (split files not included)."""

    dataset: str = _option("ucf101", "ucf101 | activitynet")

    def __post_init__(self) -> None:
        super().__post_init__()
        one_of("dataset", self.dataset, ("ucf101", "activitynet"))
        if self.tasks not in (10, 20):
            raise ValueError(f"benchmark.tasks must be 10 or 20 (the published splits), not {self.tasks}")


@dataclass(frozen=True)
class VideoCsvSettings(RecordedSettings):
    """Your own videos: a CSV with a row a clip, or one folder a class."""

    test: float = _option(0.25, "share of the videos of each class for testing, where nothing names the split")

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "test", float(self.test))
        if not 0.0 < self.test < 1.0 or self.test + self.valid >= 1.0:
            raise ValueError(f"benchmark.test is a share above 0, below 1 - benchmark.valid, not {self.test}")


SETTINGS: dict[str, type] = {
    "moving_digits": MovingDigitsSettings,
    "epic_kitchens": EpicKitchensSettings,
    "kinetics": KineticsSettings,
    "vclimb": VClimbSettings,
    "video_csv": VideoCsvSettings,
}
