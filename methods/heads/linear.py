"""head linear: the last layer of the classifier."""

from torch import Tensor

from methods.heads.head import Head


class Linear(Head):
    """The classifier's own last layer, as the rule reads it."""

    def logits(self, features: Tensor) -> Tensor:
        return self.learner.rule.answer(features)
