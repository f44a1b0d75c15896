"""What methods that learn from pixels share: the classifier with a trainable stem, and prediction."""

from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor

from methods.contract import Batch, Clips, Experience, Phase, Spec, evaluating
from methods.shared.classifier import pixel_classifier
from methods.shared.replay_method import ReplayMethod
from methods.shared.settings import STEM


class PixelMethod(ReplayMethod):
    """Classify clips; with a `buffer`, a share of each batch is replayed from it."""

    uses: ClassVar[tuple[str, ...]] = (*STEM, "classifier", "replay", "training")

    def __init__(self, spec: Spec, settings: Any, generator: torch.Generator):
        super().__init__(spec, settings, generator)
        classes = spec.n_pretraining_classes or spec.n_classes
        self.classifier = self.placed(pixel_classifier(spec.clip_shape, spec.compressor, spec.classifier, classes))

    def inputs(self, batch: Batch) -> Tensor:
        return batch.clips

    def current(self, experience: Experience) -> Clips:
        return experience.clips

    def classifier_phase(self, experience: Experience) -> Phase:
        n_clips, views = len(experience.clips), self.spec.classifier.views

        def one_view_each(epoch: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
            return rng.permutation(n_clips), rng.integers(0, views, n_clips)

        return replace(super().classifier_phase(experience), sampler=one_view_each if views > 1 else None)

    def predict(self, clips: Tensor) -> Tensor:
        with evaluating(self.classifier):
            return self.classifier(clips)
