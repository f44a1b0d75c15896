"""rule gdumb: GDumb (Prabhu et al. 2020, sections 3.1 and 3.2, algorithm 1).

The current samples are offered to the buffer first. Then a classifier with new weights is trained on the buffer alone,
after each experience, for as many steps as every method takes; nothing else is carried. CutMix (Yun et al. 2019) mixes
a batch with probability 0.5 and a Beta(1, 1) area, as in the released code; the box is cut out of all frames.
Deviations: AdamW with the harness's schedule in place of SGD with warm restarts, as for all methods; the buffer is
balanced by the selection `reservoir`, where GDumb drops the later samples of a class that has its share: both give
equal shares, the reservoir without a preference for early clips.
"""

import math
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor

from harness.common.settings import setting, uniform
from methods.contract import Batch, Experience, Log, Phase, Source
from methods.rules.rule import Rule
from methods.shared.replay import joined


@dataclass(frozen=True)
class GDumbSettings:
    """How the batches of stored samples are mixed."""

    cutmix: float = setting(
        0.5, "probability that a batch is mixed by CutMix", minimum=0, maximum=1, since="0.2", search=uniform(0.0, 0.5)
    )


class GDumb(Rule):
    """Store first; then train a fresh classifier on what is stored, and on nothing else."""

    Settings = GDumbSettings
    settings: GDumbSettings

    def phases(self, experience: Experience) -> list[Phase]:
        learner = self.learner

        def stored() -> Source:
            assert learner.buffer is not None
            return learner.buffer

        learn = replace(
            learner.classifier_phase(experience),
            data=stored,
            step=self.train,
            batch=learner.spec.classifier.batch,
            sampler=None,
        )
        return [*learner.store_phases(experience), learn]

    def begin(self) -> None:
        self.learner.classifier = self.learner.fresh_classifier()

    def train(self, batch: Batch) -> Log:
        """One step on a batch of the buffer."""
        loss, log = self.loss(batch, None)
        self.learner.optimize(loss)
        return {"loss": loss.detach(), **log, "replayed": len(batch), "samples": len(batch)}

    def loss(self, current: Batch, replayed: Batch | None) -> tuple[Tensor, Log]:
        batch = current if replayed is None else joined(current, replayed)
        seen, other, share = self.learner.inputs(batch), batch.target, 1.0
        if self._draw() < self.settings.cutmix:
            order = torch.randperm(len(batch), generator=self.learner.generator)
            seen, share = mixed(seen, order, self._draw(), self._draw(), self._draw())
            other = batch.target[order.to(batch.target.device)]
        logits = self.learner.classifier(seen).float()
        loss = share * F.cross_entropy(logits, batch.target) + (1 - share) * F.cross_entropy(logits, other)
        return loss, {"accuracy": (logits.argmax(-1) == batch.target).float().mean()}

    def _draw(self) -> float:
        return float(torch.rand(1, generator=self.learner.generator))


def mixed(seen: Tensor, order: Tensor, area: float, down: float, across: float) -> tuple[Tensor, float]:
    """CutMix: a box of each sample of `seen` [B,T,H,W,C] replaced by that of the sample that `order` [B] names.

    `area` in 0..1 is the share of the box, `down` and `across` the place of its center. Returns the mixed samples and
    the share of each that is still its own.
    """
    height, width = seen.shape[2:4]
    half = [side * math.sqrt(area) / 2 for side in (height, width)]
    top, bottom = (min(height, max(0, round(down * height + by))) for by in (-half[0], half[0]))
    left, right = (min(width, max(0, round(across * width + by))) for by in (-half[1], half[1]))
    result = seen.clone()
    result[:, :, top:bottom, left:right] = seen[order.to(seen.device), :, top:bottom, left:right]
    return result, 1 - (bottom - top) * (right - left) / (height * width)
