"""Ways in which a method can hold, see or do more than it says, each as a toy; tests/test_cheats.py says what it gets.

The tests copy this file to a folder outside the project, beside toys.py.
"""

import copy
import sys
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from toys import Linear, pooled

from methods.contract import Batch, Phase, register


class Rereads(Linear):
    """What the readers share: trains on clips that it asks for by their ids."""

    def __init__(self, spec, settings, generator):
        super().__init__(spec, settings, generator)
        self.ids = torch.zeros(0, dtype=torch.int32)

    def phases(self, experience):
        self.source = experience.clips
        return super().phases(experience)

    def state(self):
        return {name: value for name, value in super().state().items() if name != "source"}


Rereads.NOT_STATE = Linear.NOT_STATE | {"source"}


@register("reads_again")
class ReadsAgain(Rereads):
    """keeps the ids of past clips alone, and reads their pixels through the source of today"""

    def train(self, batch):
        if len(self.ids):
            self.source.gate.read(self.ids[:4].numpy())
        if batch.sample_id[0] not in self.source.rows[:0]:
            self.ids = torch.cat([self.ids, batch.sample_id])
        return super().train(batch)


@register("reads_test_rows")
class ReadsTestRows(Rereads):
    """asks its source for rows that nobody gave it, among them those of the test part"""

    def train(self, batch):
        self.source.rows = np.arange(10_000)
        self.source.targets = np.zeros(10_000, np.int64)
        return super().train(self.source.take(np.arange(8)))


@register("keeps_a_copy")
class KeepsACopy(Linear):
    """keeps a copy of the source of each experience"""

    KEPT: ClassVar[list] = []

    def phases(self, experience):
        self.KEPT.append(copy.deepcopy(experience.clips))
        return super().phases(experience)

    def train(self, batch):
        return super().train(self.KEPT[0].take(np.arange(8)))


@register("guesses_the_task")
class GuessesTheTask(Linear):
    """takes a batch for one of a single task, and the task for that of its mean"""

    def predict(self, clips):
        logits = super().predict(clips)
        return logits + 10 * logits.mean(0, keepdim=True)


@register("adapts_in_secret")
class AdaptsInSecret(Linear):
    """moves its bias by the clips it is tested on, in a place that is no state"""

    SEEN: ClassVar[list] = [0.0]

    def predict(self, clips):
        self.SEEN[0] += float(pooled(clips).mean())
        return super().predict(clips) + self.SEEN[0] * torch.arange(self.spec.n_classes)


@register("trains_in_predict")
class TrainsInPredict(Linear):
    """takes an optimizer's step on its own guesses"""

    def predict(self, clips):
        with torch.enable_grad():
            logits = self.classifier(pooled(clips))
            self.classifier.zero_grad()
            F.cross_entropy(logits, logits.argmax(-1)).backward()
            torch.optim.SGD(self.classifier.parameters(), 0.1).step()
        return super().predict(clips)


class KeepsText(Linear):
    """What the writers share: each clip becomes a text of its bytes."""

    def __init__(self, spec, settings, generator):
        super().__init__(spec, settings, generator)
        self.notes = {}

    def train(self, batch):
        for clip in batch.clips:
            self.note(clip.numpy().tobytes().decode("latin-1"))
        return super().train(batch)


@register("keeps_keys")
class KeepsKeys(KeepsText):
    """keeps clips as the keys of a dict of nothing"""

    def note(self, text):
        self.notes[text] = None


@register("keeps_wide_text")
class KeepsWideText(KeepsText):
    """keeps clips as text of letters of four bytes each"""

    def __init__(self, spec, settings, generator):
        super().__init__(spec, settings, generator)
        self.notes = ""

    def note(self, text):
        self.notes += "".join(chr(0x10000 + ord(a) * 256 + ord(b)) for a, b in zip(text[::2], text[1::2], strict=True))


@register("keeps_attributes")
class KeepsAttributes(KeepsText):
    """keeps clips as names of its attributes"""

    def note(self, text):
        setattr(self, "x" + text, None)


@register("keeps_shapes")
class KeepsShapes(KeepsText):
    """keeps clips as the shapes of tensors without numbers"""

    def __init__(self, spec, settings, generator):
        super().__init__(spec, settings, generator)
        self.notes = []

    def note(self, text):
        data = text.encode("latin-1")
        self.notes += [torch.empty(0, *data[k : k + 6]) for k in range(0, len(data), 6)]


@register("writes_on_settings")
class WritesOnSettings(KeepsText):
    """keeps clips in its settings"""

    def note(self, text):
        object.__setattr__(self.settings, "notes", text)


@dataclass
class Open:
    weight: float = 0.5


@register("open_settings")
class OpenSettings(Linear):
    """has settings that it could write on"""

    Settings = Open


@register("other_generator")
class OtherGenerator(Linear):
    """replaces its generator by an object whose state holds what it likes"""

    class Generator:
        def get_state(self):
            return torch.zeros(100_000, dtype=torch.uint8)

        def set_state(self, state):
            pass

    def train(self, batch):
        self.generator = self.Generator()
        return super().train(batch)


class Hides(Linear):
    """What the hiders share: trains on all clips that it has hidden somewhere, and says so."""

    def train(self, batch):
        hidden = self.hidden()
        hidden.append((batch.clips, batch.target))
        clips, target = (torch.cat(parts) for parts in zip(*hidden, strict=True))
        loss = F.cross_entropy(self.classifier(pooled(clips)), target)
        self.optimize(loss)
        return {"loss": float(loss.detach()), "samples": len(target)}


EVERYTHING: list = []


@register("hides_in_a_global")
class HidesInAGlobal(Hides):
    """a global of its module"""

    def hidden(self):
        return EVERYTHING


@register("hides_on_its_class")
class HidesOnItsClass(Hides):
    """an attribute of its class"""

    KEPT: ClassVar[list] = []

    def hidden(self):
        return self.KEPT


def closing_over(kept):
    return lambda: kept


@register("hides_in_a_closure")
class HidesInAClosure(Hides):
    """a cell of a function"""

    open = staticmethod(closing_over([]))

    def hidden(self):
        return self.open()


@register("hides_on_a_module")
class HidesOnAModule(Hides):
    """an attribute of its network that no state_dict holds"""

    def hidden(self):
        if not hasattr(self.classifier, "kept"):
            self.classifier.kept = []
        return self.classifier.kept


@register("hides_in_a_passing_buffer")
class HidesInAPassingBuffer(Linear):
    """a buffer of its network that is not saved"""

    def __init__(self, spec, settings, generator):
        super().__init__(spec, settings, generator)
        self.classifier.register_buffer("kept", torch.zeros(0, *spec.clip_shape, dtype=torch.uint8), persistent=False)
        self.targets = torch.zeros(0, dtype=torch.int64)

    def train(self, batch):
        self.classifier.kept = torch.cat([self.classifier.kept, batch.clips])
        self.targets = torch.cat([self.targets, batch.target])
        n = len(self.classifier.kept)
        log = super().train(Batch(self.targets[-n:], batch.sample_id, self.classifier.kept))
        return log | {"samples": n}


@register("large_from_the_start")
class LargeFromTheStart(Linear):
    """keeps its clips in a buffer of the live model, as large as can be from the start"""

    def __init__(self, spec, settings, generator):
        super().__init__(spec, settings, generator)
        self.classifier.register_buffer("kept", torch.zeros(100, *spec.clip_shape, dtype=torch.uint8))


@register("two_faces")
class TwoFaces(KeepsText):
    """shows a checkpoint everything and the meter nothing"""

    def note(self, text):
        self.notes[text] = None

    def state(self):
        saving = sys._getframe(1).f_code.co_name == "save"
        return super().state() | ({} if saving else {"notes": {}})


@register("more_clips")
class MoreClips(Linear):
    """learns from more clips a step than it says"""

    def phases(self, experience):
        self.source = experience.clips
        return super().phases(experience)

    NOT_STATE = Linear.NOT_STATE | {"source"}

    def train(self, batch):
        log = super().train(self.source.take(np.arange(32)))
        return log


@register("more_steps")
class MoreSteps(Linear):
    """takes three steps of its optimizer in each of its own"""

    def train(self, batch):
        for _ in range(3):
            super().train(batch)
        return super().train(batch)


@register("trains_in_start")
class TrainsInStart(Linear):
    """learns before its first step"""

    def phases(self, experience):
        (phase,) = super().phases(experience)

        def start():
            self.begin()
            for k in range(4):
                self.train(experience.clips.take(np.arange(8 * k, 8 * k + 8)))
            self.begin()

        return [Phase("classifier", phase.data, self.train, start, steps=4, batch=8, kind="classifier")]


@register("trains_while_storing")
class TrainsWhileStoring(Linear):
    """learns in a phase that is said to store"""

    def phases(self, experience):
        return [Phase("keep", lambda: experience.clips, self.train, self.begin, steps=4, batch=8, kind="store")]


@register("trains_unseen")
class TrainsUnseen(Linear):
    """learns in a phase of no kind, whose steps no column shows"""

    def phases(self, experience):
        return [Phase("more", lambda: experience.clips, self.train, self.begin, steps=4, batch=8)]


@register("changes_the_harness")
class ChangesTheHarness(Linear):
    """replaces the check of the budget"""

    def __init__(self, spec, settings, generator):
        sys.modules["harness.training.memory"].MemoryMeter._check = lambda *_: None
        super().__init__(spec, settings, generator)


@register("never_moves")
class NeverMoves(Linear):
    """forgets the step of its optimizer"""

    def train(self, batch):
        loss = F.cross_entropy(self.classifier(pooled(batch.clips)), batch.target)
        loss.backward()
        return {"loss": float(loss.detach())}


@register("first_batch_alone")
class FirstBatchAlone(Linear):
    """learns from its first batch, for ever"""

    FIRST: ClassVar[dict] = {}

    def train(self, batch):
        return super().train(self.FIRST.setdefault(id(self), batch))


@register("frozen_answers")
class FrozenAnswers(Linear):
    """predicts by a network that nothing trains"""

    def __init__(self, spec, settings, generator):
        super().__init__(spec, settings, generator)
        self.other = nn.Linear(self.n_features, spec.n_classes)

    def predict(self, clips):
        with torch.no_grad():
            return self.other(pooled(clips))
