"""rule derpp: DER++ (Buzzega et al. 2020, Dark Experience for General Continual Learning, equation 6).

Loss: CE(current) + alpha * MSE(logits now, logits stored) + beta * CE(stored), each term on samples of its own. alpha
and beta are those of the released code for sequential CIFAR-10 and a buffer of 200 samples.
The released code draws two batches of the size of the current one. Here the replayed part is cut into halves, which at
replay.share=2/3 gives the same thirds at equal work.
Deviation: logits are stored once, after the experience, because each clip is offered to the buffer once; the paper
stores those of the step in which a sample is seen, so its logits come from anywhere along the experience.
"""

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

from harness.common.settings import loguniform, setting
from methods.contract import Batch, Log, evaluating
from methods.rules.rule import Rule, cross_entropy
from methods.shared.classifier import classification_loss
from methods.shared.replay import joined


@dataclass(frozen=True)
class DERppSettings:
    """Weights of the two replayed terms."""

    alpha: float = setting(
        0.1, "weight of the loss on stored logits", minimum=0, since="0.2", search=loguniform(0.03, 1.0)
    )
    beta: float = setting(
        0.5, "weight of the loss on stored labels", minimum=0, since="0.2", search=loguniform(0.2, 2.0)
    )


class DERpp(Rule):
    """Stored samples are learnt by their labels and by the logits that the classifier once gave them."""

    Settings = DERppSettings
    settings: DERppSettings

    def extra(self) -> dict[str, int]:
        return {"logits": self.learner.spec.n_classes}

    def extra_of(self, batch: Batch) -> dict[str, Tensor]:
        with evaluating(self.learner.classifier):
            return {"logits": self.learner.logits(batch).float()}

    def loss(self, current: Batch, replayed: Batch | None) -> tuple[Tensor, Log]:
        if replayed is None:
            return cross_entropy(self.learner, current, None)
        n, half = len(current), len(replayed) // 2
        logits = self.learner.logits(joined(current, replayed)).float()  # one pass for the three terms
        loss, log = classification_loss(logits[:n], current.target)
        labels = F.cross_entropy(logits[n + half :], replayed.target[half:])
        loss = loss + self.settings.beta * labels
        if half:
            dark = F.mse_loss(logits[n : n + half], replayed.extra["logits"][:half])
            loss, log = loss + self.settings.alpha * dark, {**log, "dark": dark.detach()}
        return loss, log
