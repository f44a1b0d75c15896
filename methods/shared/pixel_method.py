"""What methods that learn from pixels share: the classifier with a trainable stem, and prediction."""

from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
from torch import Tensor

from methods.answers import NOTHING
from methods.contract import Batch, Clips, Experience, Phase
from methods.forms import FORMS
from methods.networks.head import Headed
from methods.shared.buffers import Buffer, PayloadBuffer
from methods.shared.classifier import pixel_classifier
from methods.shared.replay_method import ReplayMethod
from methods.shared.settings import STEM


class PixelMethod(ReplayMethod):
    """Classify clips; with a `buffer`, a share of each batch is replayed from it."""

    uses: ClassVar[tuple[str, ...]] = (*STEM, "classifier", "replay", "training")

    def make_networks(self) -> None:
        spec = self.spec
        self.classifier = self.classifier_for(spec.n_pretraining_classes or spec.n_classes)

    def fresh_classifier(self) -> Headed:
        return self.classifier_for(self.spec.n_classes)

    def classifier_for(self, n_classes: int) -> Headed:
        """A classifier with new weights."""
        spec = self.spec
        return self.placed(pixel_classifier(spec.clip_shape, spec.compressor, spec.classifier, n_classes))

    def kept(self) -> tuple[str, Any]:
        """What is kept of a clip, and in which quality."""
        return self.chosen.form, self.spec.replay.quality

    def new_buffer(self) -> Buffer | PayloadBuffer | None:
        form, quality = self.kept()
        return None if form == NOTHING else self.buffer_in(FORMS.get(form)(self.spec.clip_shape, quality))

    def phases(self, experience: Experience) -> list[Phase]:
        return self.learning_phases(experience)

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
        return self.answer(clips)
