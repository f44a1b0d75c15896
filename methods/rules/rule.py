"""What a rule must give, and what it may ask of the method that learns by it."""

from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor, nn

from methods.contract import Batch, Experience, Log, Phase, Remembers, Spec
from methods.networks.head import Headed
from methods.shared.classifier import classification_loss
from methods.shared.part import Part
from methods.shared.replay import joined


class Learner(Protocol):
    """The method that a rule belongs to: on clips or on codes, which a rule need not know."""

    spec: Spec
    generator: torch.Generator  # for draws of the rule's own
    classifier: Headed
    rule: "Rule"

    @property
    def buffer(self) -> Remembers | None:
        """What is stored; not there yet while the rule is made."""

    def inputs(self, batch: Batch) -> Tensor:
        """What the classifier sees of a batch of clips or codes."""

    def logits(self, batch: Batch) -> Tensor:
        """Logits [B, n_classes] of a batch, with gradients."""

    def classifier_phase(self, experience: Experience) -> Phase:
        """Train the classifier by `loss` on the current samples and, where there is a buffer, replayed ones."""

    def store_phases(self, experience: Experience, every: int = 1) -> list[Phase]:
        """Offer the current samples to the buffer, if there is one."""

    def fresh_classifier(self) -> Headed:
        """A classifier with new weights, as the method's first one was made."""

    def begin_optimizer(self, modules: list[str], rate: float) -> None:
        """Start an optimizer for the steps of a phase of the rule's own, over modules such as rule.projector."""

    def optimize(self, loss: Tensor) -> None:
        """One step of the optimizer, in a phase of the rule's own."""


class Rule(Part):
    """How the classifier learns from the current and the replayed part of a batch.

    Only `loss` must be given. What a rule sets on itself is saved, and counted beside the buffer. Its settings are a
    dataclass `Settings`, written NAME.setting=value on the command line. Nothing of a rule is used in pre-training.
    """

    NOT_STATE = Part.NOT_STATE | {"experience"}
    trains: ClassVar[tuple[str, ...]] = ()  # modules of the rule that the classifier's optimizer moves too
    learner: Learner

    def __init__(self, learner: Learner, settings: Any):
        super().__init__(learner, settings)
        self.experience: Experience | None = None  # the one of the current step, such as for previous_classes

    def loss(self, current: Batch, replayed: Batch | None) -> tuple[Tensor, Log]:
        """The loss of one step, and what to log of it. `replayed` is None where nothing is stored yet."""
        raise NotImplementedError(f"{type(self).__name__} gives no loss(current, replayed)")

    def begin(self) -> None:
        """Before the first step of an experience, such as to copy the classifier as a teacher; never on resume."""

    def phases(self, experience: Experience) -> list[Phase]:
        """The rows of the table from the classifier on; a rule may add rows, such as one that measures importance."""
        return [self.learner.classifier_phase(experience), *self.learner.store_phases(experience)]

    def extra(self) -> dict[str, int]:
        """Name -> length of float32 vectors to be stored beside each sample, such as {"logits": n_classes}."""
        return {}

    def extra_of(self, batch: Batch) -> dict[str, Tensor]:
        """These vectors, float32 [B, length], for samples that are offered to the buffer; without gradients."""
        return {}

    def answer(self, features: Tensor) -> Tensor:
        """Logits [B, n_classes] of head=linear at test time, from the classifier's features."""
        logits: Tensor = self.learner.classifier.head(features)
        return logits

    def live(self) -> dict[str, nn.Module]:
        """The rule's modules that belong to the running model."""
        held = {name: value for name, value in vars(self).items() if isinstance(value, nn.Module)}
        return {name: value for name, value in held.items() if not getattr(value, "carried", False)}

    def classes_before(self) -> list[int]:
        """Classes of the experiences before this one, in order."""
        return [] if self.experience is None else sorted(self.experience.previous_classes)


def cross_entropy(learner: Learner, current: Batch, replayed: Batch | None) -> tuple[Tensor, Log]:
    """Cross-entropy over all classes, the mean over current and replayed samples; one pass through the classifier."""
    batch = current if replayed is None else joined(current, replayed)
    return classification_loss(learner.logits(batch), batch.target)
