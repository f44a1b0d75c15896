"""Settings of the benchmarks, declared; nothing heavy is imported, so that `--help` and `harness.list` stay quick."""

from dataclasses import dataclass, fields
from typing import Any

from harness.common.settings import check, declared, default_of, setting, typed


@dataclass(frozen=True)
class BenchmarkSettings:
    """What every benchmark has; the settings of a plug-in's benchmark derive from it."""

    tasks: int = setting(
        10,
        "tasks (experiences) of the stream",
        minimum=1,
        also="experiences splits increments classes_per_task increment",
    )
    classes: Any = setting(
        None, "a part of the stream: how many classes, or their names; default: all", minimum=1, since="2"
    )
    limit: int = setting(
        0,
        "a part of the stream: clips of each class and split",
        zero="all",
        since="2",
        also="subset samples max_samples fraction",
    )

    def __post_init__(self) -> None:
        """Check types and bounds, and bring each value into one form, so that equal settings have equal hashes."""
        values = typed(type(self), vars(self), "benchmark.")
        values["classes"] = _classes(self.classes)
        for name, value in values.items():
            object.__setattr__(self, name, value)
        check(type(self), values, "benchmark.")

    @property
    def is_part(self) -> bool:
        """Whether only some of the classes or clips are asked for."""
        return self.classes is not None or self.limit > 0


def _classes(given: Any) -> Any:
    """None, a number of classes, or a tuple of their names."""
    if isinstance(given, list | tuple):
        given = given[0] if len(given) == 1 and isinstance(given[0], int) else tuple(map(str, given))
    elif isinstance(given, str):
        given = (given,)
    if isinstance(given, bool) or given == () or not isinstance(given, int | tuple | None):
        raise ValueError(f"benchmark.classes={given} is not allowed: give a number of classes, or names as [a,b]")
    return given


def pixels(settings: BenchmarkSettings) -> dict[str, Any]:
    """The settings that decide what is decoded or drawn; those that came later are left out at their default."""
    return {
        entry.name: getattr(settings, entry.name)
        for entry in fields(settings)
        if declared(entry).kind == "pixels"
        and not (declared(entry).since and getattr(settings, entry.name) == default_of(entry))
    }


@dataclass(frozen=True)
class MovingDigitsSettings(BenchmarkSettings):
    """Handwritten digits moving over textured backgrounds (embedded, nothing to download)."""

    actions: int = setting(
        40, "action classes streamed: all ten blocks of four, or the first five", choices=("20", "40"), kind="pixels"
    )
    clips_per_class: int = setting(
        100,
        "training clips a class; validation and pre-training get a fifth of it, test two fifths",
        minimum=1,
        kind="pixels",
    )
    leak: float = setting(
        0.0, "share of clips drawn with the background of a random block", minimum=0, maximum=1, kind="pixels"
    )
    data_seed: int = setting(0, "seed of the digit images, their split and the videos", kind="pixels")


@dataclass(frozen=True)
class RecordedSettings(BenchmarkSettings):
    """What the benchmarks of recorded videos share."""

    annotations: str | None = setting(
        None,
        "folder of the annotation files as released",
        kind="path",
        also="annotation annotation_dir annotation_file labels csv",
    )
    videos: str | None = setting(
        None,
        "folder of the videos as downloaded; not needed for plan=true",
        kind="path",
        also="video_dir video_root data_dir data_root data_path root",
    )
    stage: str | None = setting(
        None, "folder on this machine's own disk that decoded frames are copied to first", kind="path"
    )
    patience: float = setting(
        120.0, "seconds without a frame after which a decoder is cut off", above=0, kind="machine"
    )
    valid: float = setting(
        0.1,
        "share of the training videos held out for validation",
        minimum=0,
        maximum=0.99,
        zero="none",
        also="val val_size val_split val_ratio validation validation_size",
    )
    clips: str = setting(
        "one", "one: a clip a segment; dense: segments are cut into consecutive clips", choices=("one", "dense")
    )
    rate: float = setting(30.0, "frames a second of dense clips", minimum=0.1, maximum=1000, also="fps frame_rate")
    frames: int = setting(
        14,
        "frames of a clip, evenly spread over it; short clips repeat frames",
        minimum=1,
        kind="pixels",
        also="clip_length clip_len segments sequence_length",
    )
    size: int = setting(
        224,
        "height and width of the decoded frames, pixels",
        minimum=8,
        kind="pixels",
        also="image_size img_size resolution crop_size input_size",
    )
    resize: str = setting(
        "crop",
        "crop: the short side to size, then the center; stretch: to size by size",
        choices=("crop", "stretch"),
        kind="pixels",
    )
    candidates: int = setting(
        1,
        "stored times a frame, odd: training takes any of them, evaluation the middle one",
        minimum=1,
        kind="pixels",
    )
    margin: int = setting(
        0, "pixels stored beyond `size`: training crops at random, evaluation takes the middle", kind="pixels"
    )
    flip: str = setting(
        "none",
        "mirrored views in training; undirected: not of left, right, clockwise",
        choices=("none", "all", "undirected"),
        also="hflip horizontal_flip mirror",
    )
    codec: str = setting(
        "jpeg",
        "how decoded frames are stored; jpeg has quality 90, raw is 13 times as large",
        choices=("jpeg", "raw"),
        kind="pixels",
    )
    on_bad: str = setting(
        "fail",
        "what is done about clips that cannot be decoded; replace: by another of their class",
        choices=("fail", "skip", "replace"),
        also="skip_bad ignore_errors corrupt",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.candidates % 2 == 0:
            raise ValueError(f"benchmark.candidates must be odd, so that one time is the middle, not {self.candidates}")


@dataclass(frozen=True)
class EpicKitchensSettings(RecordedSettings):
    """EPIC-KITCHENS-100: long kitchen videos with verb, noun and action segments (annotations not included)."""

    min_train: int = setting(100, "classes with fewer segments in the train file are left out of the stream")
    min_test: int = setting(10, "classes with fewer segments in the validation file are left out of the stream")
    tasks_by: str = setting(
        "classes",
        "what tasks are made of; participants: domain-incremental",
        choices=("classes", "participants"),
    )


@dataclass(frozen=True)
class KineticsSettings(RecordedSettings):
    """Kinetics-400, 600, 700 or 700-2020: ten-second clips of human actions (annotations not included)."""

    version: str = setting("700", "which release", choices=("400", "600", "700", "700_2020"))
    source: str = setting(
        "official",
        "official: train file to train, validation file to test; validation: that file alone, divided",
        choices=("official", "validation"),
    )
    pretrain: str = setting(
        "none",
        "classes kept for pre-training; k400_merged: those of Kinetics-400, renamed ones too; k400_name: by their name",
        choices=("none", "k400_merged", "k400_name"),
    )


@dataclass(frozen=True)
class VClimbSettings(RecordedSettings):
    """vCLIMB's splits of UCF101, ActivityNet and Kinetics-400 with their class order (split files not included)."""

    tasks: int = setting(10, "tasks (experiences) of the published split", choices=("10", "20"))
    dataset: str = setting("ucf101", "which data set", choices=("ucf101", "activitynet", "kinetics400"))
    untrimmed: bool = setting(
        False, "whole videos of ActivityNet, background and all, in place of their segments", since="2"
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.untrimmed and self.dataset != "activitynet":
            raise ValueError(f"benchmark.untrimmed=true is for benchmark.dataset=activitynet, not {self.dataset}")


@dataclass(frozen=True)
class OfficialListsSettings(RecordedSettings):
    """What the benchmarks with official lists of clips share."""

    order: str = setting(
        "even",
        "even: tasks of one size in the order of order_seed; tcd: the first task and the three class orders of TCD",
        choices=("even", "tcd"),
    )


@dataclass(frozen=True)
class Ucf101Settings(OfficialListsSettings):
    """UCF101: 101 actions in short clips, official splits (lists not included)."""

    split: int = setting(1, "which official split", choices=("1", "2", "3"))


@dataclass(frozen=True)
class Hmdb51Settings(OfficialListsSettings):
    """HMDB51: 51 actions in clips of films, official splits (lists not included)."""

    split: int = setting(1, "which official split", choices=("1", "2", "3"))


@dataclass(frozen=True)
class Ssv2Settings(OfficialListsSettings):
    """Something-Something V2: 174 actions with things in the hand (annotations not included)."""


@dataclass(frozen=True)
class VideoCsvSettings(RecordedSettings):
    """Your own videos: a CSV with a row a clip, or one folder a class."""

    test: float = setting(
        0.25,
        "share of the videos of each class for testing, where nothing names the split",
        above=0,
        maximum=0.99,
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.test + self.valid >= 1.0:
            raise ValueError(f"benchmark.test={self.test} and benchmark.valid={self.valid} leave nothing to train on")


BUILT_IN: dict[str, type[BenchmarkSettings]] = {
    "moving_digits": MovingDigitsSettings,
    "epic_kitchens": EpicKitchensSettings,
    "kinetics": KineticsSettings,
    "vclimb": VClimbSettings,
    "ucf101": Ucf101Settings,
    "hmdb51": Hmdb51Settings,
    "ssv2": Ssv2Settings,
    "video_csv": VideoCsvSettings,
}
