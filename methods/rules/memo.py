"""rule memo: expandable blocks (Zhou et al., ICLR 2023, A Model or 603 Exemplars, section 4.2).

The lower blocks of the classifier are shared; each experience adds a new copy of the last block, and the older copies
are frozen. The head sees the features of all of them. Loss: CE(all samples) + alpha * CE of an auxiliary head on the
newest block, which tells the new classes from one class of all others. At test time the rows of the new classes are as
long as those of the old ones (weight alignment, Zhao et al. 2020). Blocks after the first are memory: they are
reserved beside the buffer, and the harness counts them as growth of the live model.
Defaults: alpha 1 is the released code's. Deviations: a new block starts from the one before; the auxiliary head always
has room for all classes.
"""

import copy
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from harness.common.settings import setting
from methods.contract import Batch, Log
from methods.networks.small import Classifier
from methods.rules.rule import Rule
from methods.shared.classifier import classification_loss
from methods.shared.replay import joined


@dataclass(frozen=True)
class MEMOSettings:
    """Of the auxiliary head."""

    alpha: float = setting(1.0, "weight of the auxiliary loss", minimum=0, since="0.2")


class Branches(nn.Module):
    """Shared blocks, then the features of each copy of the last block, [B, copies * n_features]."""

    def __init__(self, blocks: nn.Sequential):
        super().__init__()
        *lower, last, flatten = blocks
        self.lower, self.lasts, self.flatten = nn.Sequential(*lower), nn.ModuleList([last]), flatten

    def forward(self, x: Tensor) -> Tensor:
        shared = self.lower(x)
        return torch.cat([self.flatten(last(shared)) for last in self.lasts], 1)


class MEMO(Rule):
    """A new last block an experience; the older ones are frozen and counted."""

    Settings = MEMOSettings
    trains: ClassVar[tuple[str, ...]] = ("auxiliary",)
    settings: MEMOSettings

    def __init__(self, learner: object, settings: MEMOSettings):
        super().__init__(learner, settings)  # type: ignore[arg-type]
        body = self.body
        if not isinstance(body, Classifier):
            raise ValueError("rule memo needs classifier.network=small: it copies that network's last block")
        self.n_branch, spec = body.n_features, self.learner.spec  # features of one block
        body.blocks = Branches(body.blocks)  # type: ignore[assignment]
        self.auxiliary = nn.Linear(self.n_branch, spec.n_classes + 1).to(spec.device)
        self.newest: list[int] = []  # classes of the latest experience
        self.older: list[int] = []  # of those before
        self.n_blocks = 1

    @property
    def body(self) -> Any:
        """The part of the classifier that has the blocks and the head."""
        return getattr(self.learner.classifier, "body", self.learner.classifier)

    def reserved_bytes(self) -> int:
        block = sum(t.nbytes for t in self.body.blocks.lasts[0].state_dict().values())
        return int(block) * (self.learner.spec.n_experiences - 1) + 8 * (self.learner.spec.n_classes + 2)

    def begin(self) -> None:
        assert self.experience is not None
        self.newest = sorted(self.experience.classes_in_this_experience)
        self.older = self.classes_before()
        if self.older:
            self.grow()
            self.auxiliary.reset_parameters()

    def grow(self) -> None:
        """One more copy of the last block; the head keeps what it has learnt of the others."""
        body = self.body
        body.blocks.lasts.append(copy.deepcopy(body.blocks.lasts[-1]))
        body.blocks.lasts[-2].requires_grad_(False)
        old = body.head
        self.n_blocks += 1
        body.n_features = self.n_blocks * self.n_branch
        body.new_head(old.out_features)
        with torch.no_grad():
            body.head.weight[:, : old.in_features] = old.weight
            body.head.weight[:, old.in_features :] = 0
            body.head.bias.copy_(old.bias)

    def loss(self, current: Batch, replayed: Batch | None) -> tuple[Tensor, Log]:
        batch = current if replayed is None else joined(current, replayed)
        classifier = self.learner.classifier
        features = classifier.features(self.learner.inputs(batch))
        loss, log = classification_loss(classifier.head(features), batch.target)
        if self.n_blocks == 1:
            return loss, log
        other = self.auxiliary.out_features - 1
        new = torch.tensor(self.newest, device=batch.target.device)
        known = torch.full((other + 1,), len(new), device=new.device)  # class -> place among the new ones, or the last
        known[new] = torch.arange(len(new), device=new.device)
        logits = self.auxiliary(features[:, -self.n_branch :])[:, [*self.newest, other]].float()
        aside = F.cross_entropy(logits, known[batch.target])
        return loss + self.settings.alpha * aside, {**log, "auxiliary": aside.detach()}

    def answer(self, features: Tensor) -> Tensor:
        head = self.learner.classifier.head
        logits: Tensor = head(features)
        if self.n_blocks == 1:
            return logits
        length, new = head.weight.norm(dim=1), torch.zeros(head.out_features, dtype=torch.bool, device=logits.device)
        new[self.newest] = True
        old = torch.zeros_like(new)
        old[self.older] = True
        ratio = length[old].mean() / length[new].mean()
        return torch.where(new, (logits - head.bias) * ratio + head.bias, logits)

    def load(self, state: dict[str, Any]) -> None:
        while self.n_blocks < state["n_blocks"]:
            self.grow()
        super().load(state)
