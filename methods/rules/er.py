"""rule er: experience replay (Chaudhry et al. 2019, On Tiny Episodic Memories in Continual Learning)."""

from torch import Tensor

from methods.contract import Batch, Log
from methods.rules.rule import Rule, cross_entropy


class ER(Rule):
    """Cross-entropy over all classes; a replayed sample counts as much as a current one."""

    def loss(self, current: Batch, replayed: Batch | None) -> tuple[Tensor, Log]:
        return cross_entropy(self.learner, current, replayed)
