"""The experiences of a stream as a method sees them, one after the other."""

import numpy as np

from benchmarks.stream import Experience, Stream
from harness.training.batches import ClipSource
from harness.training.context import Context


class CurrentExperience:
    """An experience as a method sees it: its training clips until it is over, its classes and the classes before."""

    def __init__(
        self, experience: Experience, n_experiences: int, clips: ClipSource, opens_run: bool, n_merged: int = 1
    ):
        """`n_merged`: experiences given as one to a joint method; `opens_run`: the very first data the method gets."""
        self.current_experience: int = experience.current_experience
        self.classes_in_this_experience: tuple[int, ...] = experience.classes_in_this_experience
        self.classes_seen_so_far: tuple[int, ...] = experience.classes_seen_so_far
        own = set(self.classes_in_this_experience)
        earlier = () if n_merged > 1 else self.classes_seen_so_far
        self.previous_classes: tuple[int, ...] = tuple(c for c in earlier if c not in own)
        self.is_pretraining: bool = experience.is_pretraining
        self.n_experiences = n_experiences
        self.n_merged = n_merged
        self.opens_run = opens_run
        self.own_ids: set[int] = set(clips.rows.tolist())  # sample ids of its clips
        self._clips: ClipSource | None = clips

    @property
    def is_first(self) -> bool:
        """Nothing of the stream came before."""
        return self.current_experience <= 0 or self.n_merged > 1

    @property
    def is_last(self) -> bool:
        """Whether the stream ends with it."""
        return self.current_experience == self.n_experiences - 1

    @property
    def clips(self) -> ClipSource:
        """Its training clips. RuntimeError once the experience is over."""
        if self._clips is None:
            raise RuntimeError(f"experience {self.current_experience} is over: only a buffer keeps any of its clips")
        return self._clips

    def close(self) -> None:
        """Its clips are gone, also for those who kept the source itself."""
        if self._clips is not None:
            self._clips.close(f"experience {self.current_experience} is over")
        self._clips = None


def experiences_of(context: Context, joint: bool) -> list[CurrentExperience]:
    """What a method gets, in order: the pre-training part if there is one, then the stream.

    A joint method gets the whole stream as one experience.
    """
    stream = context.stream
    parts: list[tuple[Experience, int]] = [(e, 1) for e in stream.train_stream]
    if joint:
        parts = [(merged(stream), stream.n_experiences)]
    if stream.pretraining is not None:
        parts.insert(0, (stream.pretraining, 1))
    return [
        CurrentExperience(e, stream.n_experiences, context.clips(e), opens_run=k == 0, n_merged=n_merged)
        for k, (e, n_merged) in enumerate(parts)
    ]


def merged(stream: Stream) -> Experience:
    """All experiences of the training stream as one, at the place of the last."""
    last = stream.train_stream[-1]
    fields = {k: v for k, v in vars(last).items() if k not in ("indices", "targets", "classes_in_this_experience")}
    return Experience(
        indices=np.concatenate([e.indices for e in stream.train_stream]),
        targets=np.concatenate([e.targets for e in stream.train_stream]),
        classes_in_this_experience=last.classes_seen_so_far,
        **fields,
    )
