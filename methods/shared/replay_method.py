"""What methods share that learn from clips or codes and may replay stored ones: the classifier's step, and storing."""

from dataclasses import asdict, replace
from functools import partial
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from methods.answers import NOTHING, Answers
from methods.contract import Batch, Experience, Log, Method, Phase, Source, Spec, evaluating
from methods.forms.kinds import Form
from methods.heads import HEADS
from methods.networks.head import Headed
from methods.rules import RULES
from methods.rules.rule import cross_entropy
from methods.shared.buffers import Buffer, PayloadBuffer, buffer_of
from methods.shared.replay import fresh_part, replayed_part
from methods.shared.settings import steps_of


class ReplayMethod(Method):
    """Train the classifier on current and, where there is a `buffer`, stored samples; offer the current ones to it.

    What is kept, which clips stay, how is learnt and who answers are the method's `answers`; subclasses bring the
    networks.
    """

    task_local: tuple[str, ...] = ("looked",)
    NOT_STATE = Method.NOT_STATE | {"chosen"}
    answers: ClassVar[Answers | None] = Answers(form=NOTHING)
    classifier: Headed
    buffer: Buffer | PayloadBuffer | None = None

    def __init__(self, spec: Spec, settings: Any, generator: torch.Generator):
        super().__init__(spec, settings, generator)
        self.looked: list[Tensor] = []  # features of the current samples, for a selection that asks for them
        self.chosen = (self.answers or Answers(form=NOTHING)).but(asdict(spec.replay))
        self.make_networks()
        self.rule = RULES.get(self.chosen.rule)(self, spec.settings_of("rule", self.chosen.rule))
        self.answerer = HEADS.get(self.chosen.head)(self, spec.settings_of("head", self.chosen.head))
        self.buffer = self.new_buffer()

    def make_networks(self) -> None:
        """Set the classifier, and what it needs."""
        raise NotImplementedError

    def fresh_classifier(self) -> Headed:
        """A classifier with new weights."""
        raise NotImplementedError

    def new_buffer(self) -> Buffer | PayloadBuffer | None:
        """A buffer as large as the budget allows; None for a method that keeps nothing."""
        raise NotImplementedError

    def buffer_in(self, form: Form) -> Buffer | PayloadBuffer:
        """A buffer in a form, beside what the method, its rule and its head carry."""
        reserved = self.reserved_bytes() + self.rule.reserved_bytes() + self.answerer.reserved_bytes()
        what, selection = f"method {self.name}", self.chosen.selection
        return buffer_of(
            form, self.spec, self.generator, what, self.live_bytes(), reserved, self.rule.extra(), selection
        )

    def reserved_bytes(self) -> int:
        """Bytes that the method itself carries beside stored samples, labels and ids."""
        return 0

    def live(self) -> dict[str, nn.Module]:
        return super().live() | {f"rule.{name}": module for name, module in self.rule.live().items()}

    def load(self, state: dict[str, Any]) -> None:
        self.rule.load(state["rule"])  # first: a rule may have changed the classifier's parts
        super().load({name: value for name, value in state.items() if name != "rule"})

    def end_experience(self) -> None:
        super().end_experience()
        self.answerer.forget()

    def inputs(self, batch: Batch) -> Tensor:
        """What the classifier sees of a batch."""
        raise NotImplementedError

    def logits(self, batch: Batch) -> Tensor:
        """Logits [B, n_classes] of a batch."""
        logits: Tensor = self.classifier(self.inputs(batch))
        return logits

    def current(self, experience: Experience) -> Source:
        """The current samples, as the classifier learns from them and the buffer is offered them."""
        raise NotImplementedError

    def learning_phases(self, experience: Experience) -> list[Phase]:
        """The rows of the table from the classifier on, by the rule; in pre-training the classifier alone."""
        return [self.classifier_phase(experience)] if experience.is_pretraining else self.rule.phases(experience)

    def classifier_phase(self, experience: Experience) -> Phase:
        """Train the classifier; the loop hands over the current part of each batch, the step replays the rest."""
        s, spec, n_clips = self.spec.classifier, self.spec.replay, len(experience.clips)
        fresh = fresh_part(s.batch, spec.share, self.buffer is not None and not experience.is_first, spec.iid)
        steps = steps_of(s, n_clips, experience.n_merged)

        def start() -> None:
            self.rule.experience = experience
            self.begin_classifier()

        def step(batch: Batch) -> Log:
            self.rule.experience = experience
            return self.train_classifier(batch, n_clips)

        return Phase("classifier", lambda: self.current(experience), step, start=start,
                     kind="classifier", steps=steps, batch=fresh)  # fmt: skip

    def begin_classifier(self) -> None:
        """Let the rule begin; start the optimizer of the classifier and of what the rule trains beside it."""
        self.answerer.forget()
        if not self.in_pretraining():
            self.rule.begin()
        self.begin_optimizer(["classifier", *(f"rule.{name}" for name in self.rule.trains)], self.spec.classifier.rate)

    def in_pretraining(self) -> bool:
        """Whether the experience of this step is the pre-training part, in which no rule is used but er."""
        return self.rule.experience is not None and self.rule.experience.is_pretraining

    def train_classifier(self, batch: Batch, n_current: int) -> Log:
        """One step of the rule on a batch filled up from the buffer; `n_current`: clips of the experience."""
        total, replay = self.spec.classifier.batch, self.spec.replay
        current, replayed = replayed_part(batch, total, replay, self.buffer, n_current)
        learn = partial(cross_entropy, self) if self.in_pretraining() else self.rule.loss
        loss, log = learn(current, replayed)
        self.optimize(loss)
        n_old = 0 if replayed is None else len(replayed)
        return {"loss": loss.detach(), **log, "replayed": n_old, "samples": len(current) + n_old}

    def answer(self, seen: Tensor) -> Tensor:
        """What the classifier sees -> scores [B, n_classes] of the head."""
        with evaluating(self.classifier):
            return self.answerer.logits(self.classifier.features(seen))

    def store_phases(self, experience: Experience, every: int = 1) -> list[Phase]:
        """Offer the current samples to the buffer; nothing of the pre-training part, whose classes are not streamed.

        Each `every`-th sample is a clip itself, the others are views of it. A selection that chooses by features first
        looks at all of them.
        """
        buffer = self.buffer
        if experience.is_pretraining or buffer is None:
            return []
        chosen = np.arange(0, len(experience.clips) * every, every)

        def as_they_come(epoch: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
            return chosen, np.zeros_like(chosen)

        def by_features(epoch: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
            order = chosen[buffer.selection.order(torch.cat(self.looked), experience.clips.targets)]
            return order, np.zeros_like(order)

        store = Phase("store", lambda: self.current(experience), self.store, kind="store",
                      epochs=1, shuffle=False, batch=self.spec.chunk,
                      sampler=as_they_come if every > 1 else None)  # fmt: skip
        if not buffer.selection.by_features:
            return [store]
        return [replace(store, name="select", step=self.look), replace(store, sampler=by_features)]

    def look(self, batch: Batch) -> None:
        """Note the features of current samples, by which the selection chooses."""
        with evaluating(self.classifier):
            self.looked = [*self.looked, self.classifier.features(self.inputs(batch)).cpu()]

    def store(self, batch: Batch) -> None:
        """Offer samples to the buffer."""
        assert self.buffer is not None
        batch = replace(batch, extra=self.rule.extra_of(batch))
        self.buffer.offer(batch, batch.clips if batch.codes is None else batch.codes)
