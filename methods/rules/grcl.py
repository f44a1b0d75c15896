"""rule grcl: gated regularization, one bit a parameter (GRCL; importance as in MAS, Aljundi et al. 2018, equation 2).

Loss: CE(all samples) + weight / 2 * sum over parameters of gate * (theta - theta_before)^2. After each experience the
importance of a parameter is the mean absolute gradient of the squared length of the logits on the current samples. Its
gate opens where that exceeds `threshold` times the mean importance, and stays open. Carried: the gates, packed to bits,
and the classifier of before.
Deviations: no released code gives weight and threshold, so the defaults are ours and untuned; gates of all experiences
are joined in one mask, where the paper keeps a few; gradients are those of a chunk, not of single samples.
"""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from harness.common.settings import loguniform, setting
from methods.contract import Batch, Experience, Log, Phase
from methods.networks.head import Headed
from methods.rules.rule import Rule, cross_entropy
from methods.shared.part import frozen_copy


@dataclass(frozen=True)
class GRCLSettings:
    """How many parameters are held, and how firmly."""

    weight: float = setting(100.0, "weight of the penalty", minimum=0, since="0.2", search=loguniform(1.0, 1e4))
    threshold: float = setting(1.0, "importance over the mean one from which a gate opens", above=0, since="0.2")


class GRCL(Rule):
    """Parameters that mattered before are held where they were, by one bit each."""

    Settings = GRCLSettings
    copies: ClassVar[dict[str, str]] = {"before": "classifier"}
    settings: GRCLSettings
    before: Headed | None

    def __init__(self, learner: object, settings: GRCLSettings):
        super().__init__(learner, settings)  # type: ignore[arg-type]
        self.gates: Tensor | None = None  # uint8, eight parameters a byte
        self.importance: Tensor | None = None  # float32, within the phase that measures it
        self.measured = 0  # samples

    def reserved_bytes(self) -> int:
        n = sum(p.numel() for p in self.learner.classifier.parameters())
        return super().reserved_bytes() + -(-n // 8) + 8

    def phases(self, experience: Experience) -> list[Phase]:
        learn, *store = super().phases(experience)
        measure = Phase("importance", learn.data, lambda batch: self.measure(batch, len(learn.data())),
                        epochs=1, shuffle=False, batch=self.learner.spec.chunk)  # fmt: skip
        return [learn, measure, *store]

    def begin(self) -> None:
        if self.gates is not None:
            self.before = frozen_copy(self.learner.classifier)

    def loss(self, current: Batch, replayed: Batch | None) -> tuple[Tensor, Log]:
        loss, log = cross_entropy(self.learner, current, replayed)
        if self.before is None or self.gates is None:
            return loss, log
        now, held = parameters(self.learner.classifier), parameters(self.before)
        bits = np.unpackbits(self.gates.cpu().numpy(), count=len(now))
        gates = torch.from_numpy(bits).to(now)
        penalty = self.settings.weight / 2 * (gates * (now - held).square()).sum()
        return loss + penalty, {**log, "penalty": penalty.detach()}

    def measure(self, batch: Batch, n: int) -> Log:
        """Add the importance on a chunk; after the last of the `n` samples open the gates."""
        weights = list(self.learner.classifier.parameters())
        lengths = self.learner.logits(batch).float().square().sum(1).mean()
        slopes = torch.autograd.grad(lengths, weights)
        found = torch.cat([slope.flatten().abs() for slope in slopes]) * len(batch)
        self.importance = found if self.importance is None else self.importance + found
        self.measured += len(batch)
        if self.measured == n:
            opened = (self.importance > self.settings.threshold * self.importance.mean()).cpu().numpy()
            gates = torch.from_numpy(np.packbits(opened))
            self.gates = gates if self.gates is None else self.gates | gates
            self.importance, self.measured = None, 0
        return {"samples": len(batch)}


def parameters(classifier: Headed) -> Tensor:
    """All parameters in one row."""
    return torch.cat([p.flatten() for p in classifier.parameters()])
