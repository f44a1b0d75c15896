"""What methods that learn from pixels share: the classifier with a trainable stem, and prediction."""

from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from methods.contract import Batch, Experience, Method, Phase, Spec, evaluating
from methods.shared.classifier import classification_loss, pixel_classifier
from methods.shared.replay import fresh_part, replayed_part
from methods.shared.settings import STEM, steps_of


class PixelMethod(Method):
    """Classify clips; with a `buffer`, a share of each batch is replayed from it."""

    uses: ClassVar[tuple[str, ...]] = (*STEM, "classifier", "replay", "training")

    def __init__(self, spec: Spec, settings: Any, generator: torch.Generator):
        super().__init__(spec, settings, generator)
        classes = spec.n_pretraining_classes or spec.n_classes
        self.classifier = self.placed(pixel_classifier(spec.clip_shape, spec.compressor, spec.classifier, classes))

    def classifier_phase(self, experience: Experience) -> Phase:
        s, replay = self.spec.classifier, self.spec.replay
        has_past = self.buffer is not None and not experience.is_first
        fresh = fresh_part(s.batch, replay.share, has_past, replay.iid)

        def step(batch: Batch) -> dict[str, float]:
            return self.train_classifier(batch, len(experience.clips))

        n_clips = len(experience.clips)
        steps = steps_of(s, n_clips, experience.n_merged)

        def one_view_each(epoch: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
            return rng.permutation(n_clips), rng.integers(0, s.views, n_clips)

        return Phase("classifier", lambda: experience.clips, step, start=self.begin_classifier,
                     kind="classifier", steps=steps, batch=fresh,
                     sampler=one_view_each if s.views > 1 else None)  # fmt: skip

    def begin_classifier(self) -> None:
        self.begin_optimizer(["classifier"], self.spec.classifier.rate)

    def train_classifier(self, batch: Batch, n_current: int) -> dict[str, float]:
        batch, n_old = replayed_part(batch, self.spec.classifier.batch, self.spec.replay, self.buffer, n_current)
        loss, log = classification_loss(self.classifier(batch.clips), batch.target)
        self.optimize(loss)
        return {**log, "replayed": n_old, "samples": len(batch)}

    def predict(self, clips: Tensor) -> Tensor:
        with evaluating(self.classifier):
            return self.classifier(clips)
