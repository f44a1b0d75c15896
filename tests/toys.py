"""Methods of a user, in one file given by plugins=[...]: unusual ones that keep the contract, and some that do not.

The tests copy this file to a folder outside the project.
"""

import copy
from dataclasses import replace
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from methods.contract import Method, Phase, register
from methods.forms.raw import RawRows
from methods.shared.buffers import Buffer, clips_that_fit


def pooled(clips: torch.Tensor) -> torch.Tensor:
    """Clips uint8 [...,T,H,W,3] -> features [...,T*4*4*3] in -1..1."""
    x = clips.float().flatten(0, -5) / 127.5 - 1
    x = F.avg_pool2d(x.flatten(0, 1).permute(0, 3, 1, 2), clips.shape[-2] // 4)
    return x.reshape(*clips.shape[:-4], -1)


class Linear(Method):
    """A linear classifier on pooled pixels; what the toys share."""

    views = 1

    def __init__(self, spec, settings, generator):
        super().__init__(spec, settings, generator)
        self.n_features = spec.clip_shape[0] * 48
        self.classifier = nn.Linear(self.n_features, spec.n_classes)

    def phases(self, experience):
        return [
            Phase("classifier", lambda: experience.clips, self.train, self.begin, steps=4, batch=8, kind="classifier")
        ]

    def begin(self):
        self.begin_optimizer(["classifier"], 1e-2)

    def train(self, batch):
        loss = F.cross_entropy(self.classifier(pooled(batch.clips)), batch.target)
        self.optimize(loss)
        return {"loss": float(loss.detach())}

    def predict(self, clips):
        with torch.no_grad():
            return self.classifier(pooled(clips))


# ---- they keep the contract


class Branches(nn.Module):
    """Feature extractors, one an experience, and a head over all of them."""

    def __init__(self, n_features, n_classes, n_branches):
        super().__init__()
        self.parts = nn.ModuleList(nn.Linear(n_features, 8) for _ in range(n_branches))
        self.head = nn.Linear(8 * n_branches, n_classes)

    def forward(self, x):
        return self.head(torch.cat([part(x).relu() for part in self.parts], -1))


@register("grows")
class Grows(Linear):
    """a new branch an experience, the older ones frozen (MEMO, Zhou et al. 2023)"""

    def __init__(self, spec, settings, generator):
        super().__init__(spec, settings, generator)
        self.classifier = Branches(self.n_features, spec.n_classes, 1)
        self.experiences = 0

    def begin(self):
        if self.experiences:
            self.grow(self.classifier.parts)
        self.experiences += 1
        super().begin()

    def grow(self, older):
        self.classifier = Branches(self.n_features, self.spec.n_classes, len(older) + 1)
        for k, part in enumerate(older):
            self.classifier.parts[k] = part.requires_grad_(False)

    def load(self, state):
        for _ in range(1, state["experiences"]):
            self.grow(self.classifier.parts)
        super().load(state)


@register("branch_a_name")
class BranchAName(Linear):
    """a module of its own name for each later experience, added to the logits"""

    def __init__(self, spec, settings, generator):
        super().__init__(spec, settings, generator)
        self.names = []

    def phases(self, experience):
        name = f"branch{experience.current_experience}"

        def begin():
            if not experience.is_first:
                self.add(name)
            self.begin_optimizer(["classifier", *self.names], 1e-2)

        return [Phase("classifier", lambda: experience.clips, self.train, begin, steps=4, batch=8, kind="classifier")]

    def add(self, name):
        setattr(self, name, nn.Linear(self.n_features, self.spec.n_classes))
        self.names = [*self.names, name]

    def logits(self, clips):
        x = pooled(clips)
        return sum((getattr(self, name)(x) for name in self.names), self.classifier(x))

    def train(self, batch):
        loss = F.cross_entropy(self.logits(batch.clips), batch.target)
        self.optimize(loss)
        return {"loss": float(loss.detach())}

    def predict(self, clips):
        with torch.no_grad():
            return self.logits(clips)

    def load(self, state):
        for name in state["names"]:
            self.add(name)
        super().load(state)


@register("one_sample")
class OneSample(Method):
    """nearest class mean, each sample seen once and alone, no gradient (as in streaming LDA)"""

    def __init__(self, spec, settings, generator):
        super().__init__(spec, settings, generator)
        self.sums = torch.zeros(spec.n_classes, spec.clip_shape[0] * 48)
        self.counts = torch.zeros(spec.n_classes)

    def phases(self, experience):
        return [Phase("stream", lambda: experience.clips, self.add, epochs=1, batch=1)]

    def add(self, batch):
        assert batch.clips.shape == (1, *self.spec.clip_shape)
        self.sums[batch.target] += pooled(batch.clips)
        self.counts[batch.target] += 1

    def predict(self, clips):
        return -torch.cdist(pooled(clips), self.sums / self.counts.clamp_min(1).unsqueeze(-1))


@register("two_views")
class TwoViews(Linear):
    """batches of two views a clip, the first as it is, pulled together"""

    def phases(self, experience):
        return [
            Phase(
                "classifier",
                lambda: experience.clips,
                self.train,
                self.begin,
                steps=4,
                batch=8,
                kind="classifier",
                views=2,
            )
        ]

    def train(self, batch):
        assert batch.clips.shape == (8, 2, *self.spec.clip_shape)
        plain, moved = self.classifier(pooled(batch.clips)).unbind(1)
        loss = F.cross_entropy(plain, batch.target) + F.mse_loss(moved, plain)
        self.optimize(loss)
        return {"loss": float(loss.detach())}


@register("from_buffer")
class FromBuffer(Linear):
    """stores, then trains anew from its buffer alone (GDumb, Prabhu et al. 2020)"""

    def __init__(self, spec, settings, generator):
        super().__init__(spec, settings, generator)
        fits = clips_that_fit(spec, spec.raw_bytes, 0, 0, "method from_buffer")
        self.buffer = Buffer(RawRows(spec.clip_shape), fits, generator)

    def phases(self, experience):
        return [
            Phase("store", lambda: experience.clips, self.store, epochs=1, shuffle=False, batch=16),
            Phase("classifier", lambda: self.buffer, self.train, self.begin, epochs=2, batch=8, kind="classifier"),
        ]

    def store(self, batch):
        self.buffer.offer(batch, batch.clips)

    def begin(self):
        with torch.no_grad():
            self.classifier.weight.normal_(std=0.01, generator=self.generator)
            self.classifier.bias.zero_()
        super().begin()


@register("dark")
class Dark(Linear):
    """replays clips with the logits they had when they were stored (DER, Buzzega et al. 2020)"""

    def __init__(self, spec, settings, generator):
        super().__init__(spec, settings, generator)
        fits = clips_that_fit(spec, spec.raw_bytes + 4 * spec.n_classes, 0, 0, "method dark")
        self.buffer = Buffer(RawRows(spec.clip_shape), fits, generator, extra={"logits": spec.n_classes})

    def phases(self, experience):
        store = Phase("store", lambda: experience.clips, self.store, epochs=1, shuffle=False, batch=16)
        return [*super().phases(experience), store]

    def train(self, batch):
        loss = F.cross_entropy(self.classifier(pooled(batch.clips)), batch.target)
        samples = len(batch)
        if len(self.buffer):
            samples += 4
            old = self.buffer.sample(4)
            loss = loss + F.mse_loss(self.classifier(pooled(old.clips)), old.extra["logits"])
        self.optimize(loss)
        return {"loss": float(loss.detach()), "samples": samples}

    def store(self, batch):
        self.buffer.offer(replace(batch, extra={"logits": self.predict(batch.clips)}), batch.clips)


@register("tells")
class Tells(Linear):
    """logs a number of its own each step, and reports one of each experience"""

    uses = ("classifier",)
    task_local = ("kept",)

    def __init__(self, spec, settings, generator):
        super().__init__(spec, settings, generator)
        self.kept = None

    def train(self, batch):
        self.kept = batch.clips[:1].clone()
        return super().train(batch) | {"my.size": torch.tensor(len(batch)), "skewed": float("inf")}

    def report(self, experience):
        return {"classes": len(experience.classes_seen_so_far), "held": self.kept.nbytes}


# ---- they cheat or are wrong


@register("hides_state")
class HidesState(Linear):
    """rehearses clips that its state does not hold"""

    NOT_STATE = Linear.NOT_STATE | {"hidden"}

    def __init__(self, spec, settings, generator):
        super().__init__(spec, settings, generator)
        self.hidden = []

    def train(self, batch):
        self.hidden.append(batch)
        for old in self.hidden[:-1]:
            super().train(old)
        return super().train(batch)


@register("hides_in_a_view")
class HidesInAView(Linear):
    """says one row, keeps the storage of many behind it"""

    def __init__(self, spec, settings, generator):
        super().__init__(spec, settings, generator)
        self.row = torch.zeros(2000, 1000, dtype=torch.uint8)[:1]


@register("over_budget")
class OverBudget(Linear):
    """keeps all the clips it sees"""

    def __init__(self, spec, settings, generator):
        super().__init__(spec, settings, generator)
        self.everything = torch.zeros(0, *spec.clip_shape, dtype=torch.uint8)

    def train(self, batch):
        self.everything = torch.cat([self.everything, batch.clips])
        return super().train(batch)


@register("stale_copy")
class StaleCopy(Linear):
    """calls a copy, made at the start and only read to distil from, a part of the running model"""

    def __init__(self, spec, settings, generator):
        super().__init__(spec, settings, generator)
        self.teacher = copy.deepcopy(self.classifier)

    def train(self, batch):
        features = pooled(batch.clips)
        logits = self.classifier(features)
        with torch.no_grad():
            wanted = self.teacher(features)
        loss = F.cross_entropy(logits, batch.target) + F.mse_loss(logits, wanted)
        self.optimize(loss)
        return {"loss": float(loss.detach())}


@register("renewed_copy")
class RenewedCopy(StaleCopy):
    """the same with a copy that is taken anew before each experience"""

    def begin(self):
        self.teacher.load_state_dict(self.classifier.state_dict())
        super().begin()


@register("wrong_shape")
class WrongShape(Linear):
    """gives one logit too many"""

    def predict(self, clips):
        return F.pad(super().predict(clips), (0, 1))


@register("changing_phases")
class ChangingPhases(Linear):
    """its table of phases is another one at each call"""

    calls: ClassVar[list] = []

    def phases(self, experience):
        self.calls.append(None)
        return super().phases(experience) * (1 + len(self.calls) % 2)


@register("writing_phases")
class WritingPhases(Linear):
    """making its table of phases changes its weights"""

    def phases(self, experience):
        with torch.no_grad():
            self.classifier.bias += 1
        return super().phases(experience)


@register("late")
class Late(Linear):
    """draws from the clips of an experience that is over"""

    KEPT: ClassVar[list] = []

    def phases(self, experience):
        self.KEPT.append(experience.clips)
        return super().phases(experience)

    def train(self, batch):
        return super().train(self.KEPT[0].take(np.arange(8)))


@register("late_experience")
class LateExperience(Late):
    """asks an experience that is over for its clips"""

    KEPT: ClassVar[list] = []

    def phases(self, experience):
        self.KEPT.append(experience)
        return Linear.phases(self, experience)

    def train(self, batch):
        return Linear.train(self, self.KEPT[0].clips.take(np.arange(8)))


@register("diverges")
class Diverges(Linear):
    """its loss is nan from the third step on"""

    def __init__(self, spec, settings, generator):
        super().__init__(spec, settings, generator)
        self.steps = 0

    def train(self, batch):
        self.steps += 1
        loss = F.cross_entropy(self.classifier(pooled(batch.clips)), batch.target)
        self.optimize(loss * (float("nan") if self.steps == 3 else 1))


@register("diverges_alone")
class DivergesAlone(Diverges):
    """the same, with a step of its own instead of self.optimize"""

    def begin(self):
        pass

    def train(self, batch):
        self.steps += 1
        return {"loss": float("nan") if self.steps == 3 else 1.0}


@register("learns_in_predict")
class LearnsInPredict(Linear):
    """adapts to what it is tested on"""

    def predict(self, clips):
        with torch.no_grad():
            self.classifier.bias += 0.01
        return super().predict(clips)


@register("logs_text")
class LogsText(Linear):
    """returns a word from a step"""

    def train(self, batch):
        return super().train(batch) | {"mood": "good"}


@register("reports_nan")
class ReportsNan(Linear):
    """reports what no record can hold"""

    def report(self, experience):
        return {"beta": float("nan")}


@register("uses_what_is_not")
class UsesWhatIsNot(Linear):
    """names a shared setting that there is none of"""

    uses = ("classifier", "replay.shar")
