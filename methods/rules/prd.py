"""rule prd: prototype-sample relation distillation (Asadi et al., ICML 2023, equations 2 to 6), without exemplars.

Loss: SupCon(current; T .1) + 2 * prototype loss + 4 * relation distillation. A class's prototype is its row of the
head; scores are cosines to the prototypes. The prototype loss pulls each class's prototype to its features, which are
stopped. The relation distillation keeps, for each old prototype, the softmax over the batch of its cosines as the model
of before gives it: KL(before || now). Carried: that model, with the old prototypes.
Defaults: temperature and weights of the paper. Deviation: one view a clip, so that a step costs as much as any other.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.common.settings import loguniform, setting
from methods.contract import Batch, Log
from methods.networks.head import Headed
from methods.rules.rule import Rule
from methods.shared.part import frozen_copy
from methods.shared.replay import joined

PROJECTED = 128  # dimensions of what SupCon compares, as in its paper (Khosla et al. 2020)


@dataclass(frozen=True)
class PRDSettings:
    """Weights of the terms beside SupCon."""

    prototypes: float = setting(2.0, "weight of the prototype loss", minimum=0, since="0.2")
    distillation: float = setting(
        4.0, "weight of the relation distillation", minimum=0, since="0.2", search=loguniform(1.0, 16.0)
    )
    temperature: float = setting(0.1, "temperature of SupCon and of the relations", above=0, since="0.2")


class PRD(Rule):
    """Features by contrast, classes by prototypes, and old prototypes kept in relation to new samples."""

    Settings = PRDSettings
    copies: ClassVar[dict[str, str]] = {"teacher": "classifier"}
    trains: ClassVar[tuple[str, ...]] = ("projector",)
    settings: PRDSettings
    teacher: Headed | None

    def __init__(self, learner: object, settings: PRDSettings):
        super().__init__(learner, settings)  # type: ignore[arg-type]
        n = self.learner.classifier.n_features
        self.projector = nn.Sequential(nn.Linear(n, PROJECTED), nn.ReLU(), nn.Linear(PROJECTED, PROJECTED)).to(
            self.learner.spec.device
        )

    def begin(self) -> None:
        if self.classes_before():
            self.teacher = frozen_copy(self.learner.classifier)

    def loss(self, current: Batch, replayed: Batch | None) -> tuple[Tensor, Log]:
        batch = current if replayed is None else joined(current, replayed)
        s, seen, old = self.settings, self.learner.inputs(batch), self.classes_before()
        features = self.learner.classifier.features(seen).float()
        directions, prototypes = F.normalize(features, dim=1), F.normalize(self.learner.classifier.head.weight, dim=1)
        loss = supervised_contrast(F.normalize(self.projector(features), dim=1), batch.target, s.temperature)
        pulled = directions.detach() @ prototypes.T
        loss = loss - s.prototypes * pulled.gather(1, batch.target[:, None]).mean()
        log = {"accuracy": (pulled.argmax(1) == batch.target).float().mean()}
        if self.teacher is None or not s.distillation:
            return loss, log
        with torch.no_grad():
            before = cosines(self.teacher, self.teacher.features(seen).float())[:, old].T / s.temperature
        now = (directions @ prototypes[old].T).T / s.temperature  # [old classes, samples]: relations to the batch
        kept = F.kl_div(now.log_softmax(1), before.log_softmax(1), reduction="batchmean", log_target=True)
        return loss + s.distillation * kept, {**log, "distillation": kept.detach()}

    def answer(self, features: Tensor) -> Tensor:
        return cosines(self.learner.classifier, features)


def cosines(classifier: Headed, features: Tensor) -> Tensor:
    """Cosines [B, n_classes] of features to the prototypes."""
    return F.normalize(features, dim=1) @ F.normalize(classifier.head.weight, dim=1).T


def supervised_contrast(directions: Tensor, target: Tensor, temperature: float) -> Tensor:
    """SupCon (Khosla et al. 2020, equation 2) of unit vectors [B, D]; samples alone of their class count nothing."""
    others = ~torch.eye(len(target), dtype=torch.bool, device=target.device)
    alike = (target[:, None] == target) & others
    scores = (directions @ directions.T / temperature).masked_fill(~others, -1e9)
    chance = scores.log_softmax(1)
    n = alike.sum(1)
    each = -(chance * alike).sum(1) / n.clamp_min(1)
    return each.sum() / (n > 0).sum().clamp_min(1)
