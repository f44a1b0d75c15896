"""What a head must give."""

from torch import Tensor

from methods.rules.rule import Learner
from methods.shared.part import Part


class Head(Part):
    """Who answers at test time. What a head sets on itself is saved and counted, but for what NOT_STATE names."""

    learner: Learner

    def logits(self, features: Tensor) -> Tensor:
        """The classifier's features [B, n_features] -> scores [B, n_classes]; the highest one is the answer."""
        raise NotImplementedError(f"{type(self).__name__} gives no logits(features)")

    def forget(self) -> None:
        """Classifier or buffer have changed: drop what was worked out from them."""
