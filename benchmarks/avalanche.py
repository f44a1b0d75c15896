"""Our streams as benchmarks of Avalanche (avalanche-lib 0.6); clips are decoded when an item is asked for."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from avalanche.benchmarks import CLScenario
from avalanche.benchmarks.scenarios.dataset_scenario import DatasetExperience
from avalanche.benchmarks.scenarios.generic_scenario import EagerCLStream
from avalanche.benchmarks.utils.classification_dataset import _make_taskaware_classification_dataset

from benchmarks.benchmark import Reader
from benchmarks.stream import Experience, Stream

STREAMS = ("train", "valid", "test")


class Clips(torch.utils.data.Dataset):
    """One experience as a map-style dataset of (clip uint8 [T,H,W,3] or what `transform` makes of it, class id)."""

    def __init__(self, experience: Experience, reader: Reader, transform: Callable[[torch.Tensor], Any] | None) -> None:
        self.rows, self.targets = experience.indices, experience.targets.tolist()
        self.reader, self.transform = reader, transform

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[Any, int]:
        clip = torch.from_numpy(self.reader.read(np.asarray([self.rows[index]]))[0])
        return clip if self.transform is None else self.transform(clip), self.targets[index]


def to_avalanche(stream: Stream, reader: Reader, transform: Callable[[torch.Tensor], Any] | None = None) -> CLScenario:
    """A stream as a benchmark of Avalanche, in its class order; a clip is decoded when its item is asked for.

    Items are (clip uint8 [T,H,W,3] or what `transform` makes of it, class id, task label 0): one head for all
    classes. Experiences carry Avalanche's attributes classes_in_this_experience, previous_classes,
    classes_seen_so_far, future_classes and task_label.
    """
    streams = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name in STREAMS:
            parts = [_experience(part, stream, reader, transform) for part in getattr(stream, f"{name}_stream")]
            streams.append(EagerCLStream(name, parts))
        return CLScenario(streams)


def _experience(part: Experience, stream: Stream, reader: Reader, transform: Any) -> DatasetExperience:
    data = _make_taskaware_classification_dataset(Clips(part, reader, transform), task_labels=0)
    experience = DatasetExperience(dataset=data, current_experience=part.current_experience)
    seen, now = set(part.classes_seen_so_far), set(part.classes_in_this_experience)
    experience.classes_in_this_experience, experience.classes_seen_so_far = now, seen
    experience.previous_classes = seen - now
    experience.future_classes = set(range(stream.n_classes)) - seen
    experience.task_label, experience.task_labels = 0, [0]
    return experience
