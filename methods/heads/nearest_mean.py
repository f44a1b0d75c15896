"""head nearest_mean: nearest mean of exemplars (iCaRL, Rebuffi et al. 2017, algorithm 1)."""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from methods.contract import evaluating
from methods.heads.head import Head

UNKNOWN = -1e9  # the score of a class without a stored sample


class NearestMean(Head):
    """The class whose stored samples have the nearest mean of normalized features.

    The means follow from buffer and classifier: they are worked out when first asked for after an experience, and not
    carried.
    """

    NOT_STATE = Head.NOT_STATE | {"means"}

    def __init__(self, learner: Any, settings: Any):
        super().__init__(learner, settings)
        self.means: Tensor | None = None  # [n_classes, n_features], of length 1; 0 where nothing is stored

    def logits(self, features: Tensor) -> Tensor:
        """Minus the distance to each mean, -2 to 0. Before anything is stored, the last layer answers."""
        if self.learner.buffer is None or len(self.learner.buffer) == 0:
            return self.learner.rule.answer(features)
        if self.means is None:
            self.means = self.class_means()
        near = -torch.cdist(F.normalize(features.float(), dim=-1), self.means)
        return near.masked_fill(~self.means.any(-1), UNKNOWN)

    def forget(self) -> None:
        self.means = None

    def class_means(self) -> Tensor:
        """Means [n_classes, n_features] of the normalized features of what is stored, normalized again."""
        learner, buffer = self.learner, self.learner.buffer
        assert buffer is not None
        total = torch.zeros(learner.spec.n_classes, learner.classifier.n_features, device=learner.spec.device)
        with evaluating(learner.classifier):
            for slots in np.split(np.arange(len(buffer)), range(learner.spec.chunk, len(buffer), learner.spec.chunk)):
                batch = buffer.take(slots)
                features = learner.classifier.features(learner.inputs(batch))
                total.index_add_(0, batch.target, F.normalize(features.float(), dim=-1))
        return F.normalize(total, dim=-1)
