"""What methods that learn from codes share: compressor, encode once, classifier on codes, prediction."""

from typing import ClassVar

import torch
from torch import Tensor

from methods.answers import Answers
from methods.contract import Batch, Experience, Log, Phase, evaluating
from methods.forms.codes import CodeRows
from methods.forms.devices import Stopwatch
from methods.networks.head import Headed
from methods.shared.augmented import changed
from methods.shared.buffers import Buffer, Store
from methods.shared.classifier import code_classifier
from methods.shared.code_size import code_shape, index_bits
from methods.shared.compressor import Compressor, to_float
from methods.shared.replay import fresh_part
from methods.shared.replay_method import ReplayMethod
from methods.shared.settings import steps_of


class CodeMethod(ReplayMethod):
    """Compress, classify codes, keep codes in the buffer; subclasses say in `phases` how the compressor goes on."""

    task_local = ("codes", "looked")
    NOT_STATE = ReplayMethod.NOT_STATE | {"rows"}
    answers: ClassVar[Answers | None] = Answers(form="codes")
    buffer: Buffer

    def make_networks(self) -> None:
        spec = self.spec
        self.compressor = self.placed(Compressor(spec.clip_shape, spec.compressor))
        if spec.weights is not None:
            self.compressor.load_state_dict(spec.weights)
        self.classifier = self.classifier_for(spec.n_pretraining_classes or spec.n_classes)
        self.rows = CodeRows(code_shape(spec.clip_shape, spec.compressor), index_bits(spec.compressor))
        self.codes = Store(self.rows, 0, spec.device)

    def fresh_classifier(self) -> Headed:
        return self.classifier_for(self.spec.n_classes)

    def classifier_for(self, n_classes: int) -> Headed:
        """A classifier with new weights."""
        spec = self.spec
        return self.placed(code_classifier(spec.clip_shape, spec.compressor, spec.classifier, n_classes))

    def new_buffer(self) -> Buffer:
        """A buffer as large as the budget allows; a bound has no budget and its buffer grows."""
        if self.bound:
            return Buffer(self.rows, 0, self.generator, self.spec.device)
        buffer = self.buffer_in(self.rows)
        assert isinstance(buffer, Buffer)
        return buffer

    def compressor_phase(self, experience: Experience) -> Phase:
        """Train the compressor on current clips and, after the first experience, on rehearsed ones."""
        s, share = self.spec.compressor, self.spec.replay.compressor_share
        has_past = self.rehearses() and not experience.is_first
        steps = steps_of(s, len(experience.clips), experience.n_merged)
        if s.first_steps and experience.n_merged == 1:
            n_later = self.spec.n_experiences - (0 if self.spec.n_pretraining_classes else 1)
            later = max(1, steps - round((s.first_steps - steps) / max(1, n_later))) if s.same_total else steps
            steps = s.first_steps if experience.opens_run else later
        return Phase("compressor", lambda: experience.clips, self.train_compressor, start=self.begin_compressor,
                     kind="compressor", steps=steps, batch=fresh_part(s.batch, share, has_past))  # fmt: skip

    def encode_phase(self, experience: Experience) -> Phase:
        """Encode each current clip once; from here on no video is decoded."""

        views = self.spec.classifier.views

        def begin() -> None:
            self.codes = Store(self.rows, len(experience.clips) * views, self.spec.device)

        return Phase("encode", lambda: experience.clips, self.encode, start=begin, kind="encode",
                     epochs=1, shuffle=False, batch=max(1, self.spec.chunk // views), views=views)  # fmt: skip

    def inputs(self, batch: Batch) -> Tensor:
        return self.compressor.embed(batch.codes)

    def current(self, experience: Experience) -> Store:
        return self.codes

    def store_phases(self, experience: Experience, every: int = 1) -> list[Phase]:
        return super().store_phases(experience, every * self.spec.classifier.views)

    def rehearses(self) -> bool:
        """Whether a part of the compressor's batch is decoded from the buffer."""
        return False

    def rehearsed_clips(self, n: int) -> Tensor:
        """`n` float clips [n,T,H,W,3] decoded from the buffer."""
        raise NotImplementedError(f"{self.name} does not rehearse its compressor")

    def begin_compressor(self) -> None:
        if self.spec.compressor.reinit == "each_task":
            self.compressor.quantizer.forget()
        self.begin_optimizer(["compressor"], self.spec.compressor.rate)

    def train_compressor(self, batch: Batch) -> Log:
        clips, n_old = to_float(batch.clips), self.spec.compressor.batch - len(batch)
        if self.spec.compressor.augment:
            clips = changed(clips, self.spec.compressor.augment, self.generator)
        rehearsal: Log = {}
        if n_old and self.rehearses():
            watch = Stopwatch(self.spec.device)
            clips = torch.cat([clips, self.rehearsed_clips(n_old)])
            watch.stop()
            rehearsal = {"rehearsal_seconds": watch}
        replace = self.spec.compressor.replace == "always" or len(self.buffer) == 0
        loss = self.compressor.loss(clips, self.generator, replace)
        self.optimize(loss)
        return {"loss": loss.detach(), "replayed": len(clips) - len(batch), "samples": len(clips), **rehearsal}

    def encode(self, batch: Batch) -> None:
        views, clips = self.spec.classifier.views, batch.clips
        if views > 1:  # [B,V,...]; the clip itself is the first of its views
            clips = clips.flatten(0, 1)
            batch = Batch(batch.target.repeat_interleave(views), batch.sample_id.repeat_interleave(views))
        with evaluating(self.compressor):
            self.codes.append(batch, self.compressor.encode(clips))

    def predict(self, clips: Tensor) -> Tensor:
        with evaluating(self.compressor):
            return self.answer(self.compressor.embed(self.compressor.encode(clips)))
