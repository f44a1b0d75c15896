"""rule ace: ER-ACE (Caccia et al. 2022, New Insights on Reducing Abrupt Representation Change, section 4).

As in the authors' code, classes seen before and absent from the current part of the batch take no part in its loss;
classes not yet seen do. In the first experience nothing is masked, so the rule is er there.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from methods.contract import Batch, Log
from methods.rules.rule import Rule, cross_entropy

MASKED = -1e9


class ACE(Rule):
    """Asymmetric cross-entropy: current samples do not push the classes of earlier experiences away."""

    def loss(self, current: Batch, replayed: Batch | None) -> tuple[Tensor, Log]:
        if self.experience is None or self.experience.is_first:
            return cross_entropy(self.learner, current, replayed)
        logits = self.learner.logits(current).float()
        hidden = torch.zeros(logits.shape[1], dtype=torch.bool, device=logits.device)
        hidden[list(self.experience.classes_seen_so_far)] = True
        hidden[current.target] = False
        loss = F.cross_entropy(logits.masked_fill(hidden, MASKED), current.target)
        if replayed is not None:
            loss = loss + F.cross_entropy(self.learner.logits(replayed).float(), replayed.target)
        return loss, {"accuracy": (logits.argmax(-1) == current.target).float().mean()}
