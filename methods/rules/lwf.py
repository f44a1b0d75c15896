"""rule lwf: Learning without Forgetting (Li and Hoiem 2017, equations 2 to 4 and figure 2).

Loss: CE(all samples) + weight * T^2 * KL(teacher || classifier) over the classes of the experiences before, both
softened by the temperature T. The teacher is the classifier as it was before the experience; it is carried.
Defaults: weight 1 and T = 2 are the paper's.
Deviations: one head for all classes in place of one a task, because the streams here are class-incremental (as in
vCLIMB's row of LwF); no warm-up of the new head alone, so that all methods take equal steps. With a buffer, the
replayed samples are distilled as well.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.common.settings import loguniform, setting
from methods.contract import Batch, Log
from methods.networks.head import Headed
from methods.rules.rule import Rule
from methods.shared.classifier import classification_loss
from methods.shared.part import frozen_copy
from methods.shared.replay import joined


@dataclass(frozen=True)
class LwFSettings:
    """How much the teacher says."""

    weight: float = setting(1.0, "weight of the distillation", minimum=0, since="0.2", search=loguniform(0.1, 10.0))
    temperature: float = setting(2.0, "temperature of the distillation", above=0, since="0.2")


class LwF(Rule):
    """The classifier of before is a teacher of the classes of before."""

    Settings = LwFSettings
    copies: ClassVar[dict[str, str]] = {"teacher": "classifier"}
    settings: LwFSettings
    teacher: Headed | None

    def begin(self) -> None:
        if self.classes_before():
            self.teacher = frozen_copy(self.learner.classifier)

    def loss(self, current: Batch, replayed: Batch | None) -> tuple[Tensor, Log]:
        batch = current if replayed is None else joined(current, replayed)
        seen, old = self.learner.inputs(batch), self.classes_before()
        logits = self.learner.classifier(seen).float()
        loss, log = classification_loss(logits, batch.target)
        if self.teacher is None:
            return loss, log
        with torch.no_grad():
            wanted = self.teacher(seen).float()
        distilled = distillation(logits[:, old], wanted[:, old], self.settings.temperature)
        return loss + self.settings.weight * distilled, {**log, "distillation": distilled.detach()}


def distillation(logits: Tensor, wanted: Tensor, temperature: float) -> Tensor:
    """T^2 * KL(wanted || logits), the mean over samples, both [B, classes] and softened by the temperature T.

    Source: Hinton et al. 2015, Distilling the Knowledge in a Neural Network, section 2.
    """
    soft, target = F.log_softmax(logits / temperature, -1), F.log_softmax(wanted / temperature, -1)
    return temperature**2 * F.kl_div(soft, target, reduction="batchmean", log_target=True)
