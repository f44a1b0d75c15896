"""A benchmark from Python: its stream of experiences, to iterate, decode and look at; the clips are those of a run."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from benchmarks.stream import Experience as Part
from harness.api import words_of
from harness.config.compose import request
from harness.config.schema import GROUPS, Command
from harness.run import COMPOSING, make_videos
from harness.training.batches import ClipSource
from harness.training.context import Context
from results.plots import shown

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

MOST_FRAMES = 8  # that a row of a figure shows


class Clips:
    """Clips with their class ids, decoded when asked for; a torch DataLoader takes them as a data set.

    rows: the rows of the clip table (sample_id, file, start, stop, group, labels, ...), one a clip in this order.
    targets: class ids, int64 [N]; class_names: their names; items: name of the item that a clip is tested with, [N].
    """

    def __init__(self, source: ClipSource, rows: "pd.DataFrame", names: Sequence[str], items: np.ndarray):
        self._source, self.rows, self.items = source, rows, items
        self.targets: np.ndarray = source.targets
        self.class_names = tuple(names[target] for target in self.targets)

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int | slice | Sequence[int]) -> tuple[Tensor, Any]:
        """Of a number one clip (uint8 [T,H,W,3]) and its class id; of a slice or list [B,T,H,W,3] and int64 [B]."""
        chosen = np.arange(len(self))[index]
        batch = self._source.take(np.atleast_1d(chosen))
        return (batch.clips, batch.target) if chosen.ndim else (batch.clips[0], int(batch.target[0]))

    def figure(self, index: Sequence[int] | int = 4) -> "Figure":
        """Some clips as a matplotlib figure, a row a clip; a number stands for so many clips, spread over the part."""
        from matplotlib.figure import Figure

        chosen = _spread(len(self), index) if isinstance(index, int) else list(index)
        clips, _ = self[chosen]
        frames = _spread(clips.shape[1], MOST_FRAMES)
        figure = Figure(figsize=(1.2 * len(frames), 1.3 * len(chosen)), layout="constrained")
        for row, line in enumerate(figure.subplots(len(chosen), len(frames), squeeze=False)):
            line[0].set_title(self.class_names[chosen[row]], loc="left", fontsize="small")
            for axis, frame in zip(line, frames, strict=True):
                axis.imshow(clips[row, frame])
                axis.set_axis_off()
        return shown(figure)

    def __repr__(self) -> str:
        return f"{len(self):,} clips of {len(set(self.class_names))} classes"


@dataclass(frozen=True)
class Experience:
    """One task: its number from 0 on (-1 for pre-training), its classes by id and name, and its clips by split."""

    number: int
    classes: tuple[int, ...]
    class_names: tuple[str, ...]
    train: Clips
    valid: Clips | None = None
    test: Clips | None = None


class Stream:
    """The experiences of a benchmark in one class order: `for experience in stream`, `stream[0]`, `len(stream)`.

    class_names: by class id. clip_shape: (T, H, W, 3). pretraining: an Experience of other classes, or None.
    protocol: the named rule that these settings follow, or "custom". notes: what is odd about the stream.
    """

    def __init__(self, context: Context):
        stream, self._context = context.stream, context
        self.name, self.label = context.benchmark.name, stream.label
        self.protocol: str = context.config.protocol
        self.class_names, self.clip_shape = stream.classes, context.spec.clip_shape
        self.notes = (*context.benchmark.notes, *stream.notes)
        parts = zip(stream.train_stream, stream.valid_stream, stream.test_stream, strict=True)
        self.experiences = tuple(self._experience(self.class_names, *three) for three in parts)
        self.pretraining = None
        if stream.pretraining is not None:
            self.pretraining = self._experience(stream.pretraining_classes, stream.pretraining)

    def _experience(self, names: Sequence[str], *parts: Part) -> Experience:
        table, first = self._context.table, parts[0]
        clips = [
            Clips(self._context.clips(part), table.frame.iloc[part.indices], names, table.item_ids[part.indices])
            for part in parts
        ]
        classes = first.classes_in_this_experience
        return Experience(first.current_experience, classes, tuple(names[c] for c in classes), *clips)

    def __len__(self) -> int:
        return len(self.experiences)

    def __getitem__(self, number: int) -> Experience:
        return self.experiences[number]

    def __iter__(self) -> Iterator[Experience]:
        return iter(self.experiences)

    def __repr__(self) -> str:
        n, shape = sum(len(experience.train) for experience in self), list(self.clip_shape)
        return (
            f"{self.name}, protocol {self.protocol}, label {self.label}: {len(self.class_names)} classes in "
            f"{len(self)} experiences, {n:,} training clips of {shape}"
        )


def _spread(n: int, most: int) -> list[int]:
    """At most `most` places of 0..n-1, evenly spread."""
    return np.linspace(0, n - 1, min(most, n)).round().astype(int).tolist()


def benchmark(name: str = "", *words: str | Mapping[str, Any], order_seed: int = 0, **settings: Any) -> Stream:
    """The stream of a benchmark as a run with these settings gets it; videos that the cache lacks are made first.

    settings: words of the command line such as protocol, label, setting, plugins; all other names are the benchmark's
    own, so `tasks=5` means benchmark.tasks=5. Without a name it is the protocol's benchmark, by default moving_digits.

    Raises:
        ValueError: a name or a value is wrong; the line is the one that the command prints.
    """
    of_command = {*GROUPS, *(entry.name for entry in fields(Command))}
    known = {key if key in of_command or "." in key else f"benchmark.{key}": value for key, value in settings.items()}
    chosen = {"benchmark": name} if name else {}
    fixed = {"methods": ["naive"], "memory.budget": "none", "device": "cpu", "order_seeds": [order_seed]}
    with COMPOSING:
        configs = list(request(words_of(fixed, chosen, *words, known)).runs.values())
        if len(configs) != 1:
            raise ValueError(f"one stream at a time: these settings ask for {len(configs)}")
        make_videos(configs)
        return Stream(Context(configs[0]))
