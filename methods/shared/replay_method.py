"""What methods share that learn from clips or codes and may replay stored ones: the classifier's step, and storing."""

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from methods.contract import Batch, Experience, Log, Method, Phase, Source, Spec, evaluating
from methods.networks.head import Headed
from methods.shared.buffers import Buffer, PayloadBuffer
from methods.shared.classifier import classification_loss
from methods.shared.replay import fresh_part, replayed_part
from methods.shared.settings import steps_of


class ReplayMethod(Method):
    """Train the classifier on current and, where there is a `buffer`, stored samples; offer the current ones to it."""

    task_local: tuple[str, ...] = ("looked",)
    classifier: Headed
    buffer: Buffer | PayloadBuffer | None = None

    def __init__(self, spec: Spec, settings: Any, generator: torch.Generator):
        super().__init__(spec, settings, generator)
        self.looked: list[Tensor] = []  # features of the current samples, for a selection that asks for them

    def inputs(self, batch: Batch) -> Tensor:
        """What the classifier sees of a batch."""
        raise NotImplementedError

    def current(self, experience: Experience) -> Source:
        """The current samples, as the classifier learns from them and the buffer is offered them."""
        raise NotImplementedError

    def classifier_phase(self, experience: Experience) -> Phase:
        """Train the classifier; the loop hands over the current part of each batch, the step replays the rest."""
        s, spec, n_clips = self.spec.classifier, self.spec.replay, len(experience.clips)
        fresh = fresh_part(s.batch, spec.share, self.buffer is not None and not experience.is_first, spec.iid)
        step = partial(self.train_classifier, n_current=n_clips)
        steps = steps_of(s, n_clips, experience.n_merged)
        return Phase("classifier", lambda: self.current(experience), step, start=self.begin_classifier,
                     kind="classifier", steps=steps, batch=fresh)  # fmt: skip

    def begin_classifier(self) -> None:
        """Start the optimizer of the classifier."""
        self.begin_optimizer(["classifier"], self.spec.classifier.rate)

    def train_classifier(self, batch: Batch, n_current: int) -> Log:
        """One step on a batch filled up from the buffer; `n_current`: clips of the experience."""
        batch, n_old = replayed_part(batch, self.spec.classifier.batch, self.spec.replay, self.buffer, n_current)
        loss, log = classification_loss(self.classifier(self.inputs(batch)), batch.target)
        self.optimize(loss)
        return {**log, "replayed": n_old, "samples": len(batch)}

    def store_phases(self, experience: Experience, every: int = 1) -> list[Phase]:
        """Offer the current samples to the buffer; nothing of the pre-training part, whose classes are not streamed.

        Each `every`-th sample is a clip itself, the others are views of it. A selection that chooses by features first
        looks at all of them.
        """
        buffer = self.buffer
        if experience.is_pretraining or buffer is None:
            return []
        chosen = np.arange(0, len(experience.clips) * every, every)

        def as_they_come(epoch: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
            return chosen, np.zeros_like(chosen)

        def by_features(epoch: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
            order = chosen[buffer.selection.order(torch.cat(self.looked), experience.clips.targets)]
            return order, np.zeros_like(order)

        store = Phase("store", lambda: self.current(experience), self.store, kind="store",
                      epochs=1, shuffle=False, batch=self.spec.chunk,
                      sampler=as_they_come if every > 1 else None)  # fmt: skip
        if not buffer.selection.by_features:
            return [store]
        return [replace(store, name="select", step=self.look), replace(store, sampler=by_features)]

    def look(self, batch: Batch) -> None:
        """Note the features of current samples, by which the selection chooses."""
        with evaluating(self.classifier):
            self.looked = [*self.looked, self.classifier.features(self.inputs(batch)).cpu()]

    def store(self, batch: Batch) -> None:
        """Offer samples to the buffer."""
        assert self.buffer is not None
        self.buffer.offer(batch, batch.clips if batch.codes is None else batch.codes)
