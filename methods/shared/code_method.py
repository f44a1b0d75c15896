"""What methods that learn from codes share: compressor, encode once, classifier on codes, prediction."""

import time
from typing import Any

import numpy as np
import torch
from torch import Tensor

from methods.contract import Batch, Experience, Method, Phase, Spec, evaluating
from methods.forms.codes import CodeRows
from methods.shared.buffers import Buffer, Store, clips_that_fit
from methods.shared.classifier import classification_loss, code_classifier
from methods.shared.code_size import code_shape, index_bits
from methods.shared.compressor import Compressor, to_float
from methods.shared.replay import fresh_part, replayed_part
from methods.shared.settings import steps_of


class CodeMethod(Method):
    """Compress, classify codes, keep codes in the buffer; subclasses say in `phases` how the compressor goes on."""

    task_local = ("codes",)
    NOT_STATE = Method.NOT_STATE | {"rows"}

    def __init__(self, spec: Spec, settings: Any, generator: torch.Generator):
        super().__init__(spec, settings, generator)
        self.compressor = self.placed(Compressor(spec.clip_shape, spec.compressor))
        if spec.weights is not None:
            self.compressor.load_state_dict(spec.weights)
        classes = spec.n_pretraining_classes or spec.n_classes
        self.classifier = self.placed(code_classifier(spec.clip_shape, spec.compressor, spec.classifier, classes))
        self.rows = CodeRows(code_shape(spec.clip_shape, spec.compressor), index_bits(spec.compressor))
        self.codes = Store(self.rows, 0, spec.device)
        self.buffer: Buffer = Buffer(self.rows, self.capacity(), generator, spec.device)

    def reserved_bytes(self) -> int:
        """Bytes carried beside codes, labels and ids."""
        return 0

    def capacity(self) -> int:
        """Clips the budget holds; a bound has no budget and its buffer grows."""
        if self.bound:
            return 0
        what = f"method {self.name}"
        return clips_that_fit(self.spec, self.rows.row_bytes, self.reserved_bytes(), self.live_bytes(), what)

    def compressor_phase(self, experience: Experience) -> Phase:
        """Train the compressor on current clips and, after the first experience, on rehearsed ones."""
        s, share = self.spec.compressor, self.spec.replay.compressor_share
        has_past = self.rehearses() and not experience.is_first
        steps = steps_of(s, len(experience.clips), experience.n_merged)
        if s.first_steps and experience.opens_run and experience.n_merged == 1:
            steps = s.first_steps
        return Phase("compressor", lambda: experience.clips, self.train_compressor, start=self.begin_compressor,
                     kind="compressor", steps=steps, batch=fresh_part(s.batch, share, has_past))  # fmt: skip

    def encode_phase(self, experience: Experience) -> Phase:
        """Encode each current clip once; from here on no video is decoded."""

        views = self.spec.classifier.views

        def begin() -> None:
            self.codes = Store(self.rows, len(experience.clips) * views, self.spec.device)

        return Phase("encode", lambda: experience.clips, self.encode, start=begin, kind="encode",
                     epochs=1, shuffle=False, batch=max(1, self.spec.chunk // views), views=views)  # fmt: skip

    def classifier_phase(self, experience: Experience) -> Phase:
        """Train the classifier on codebook vectors of current and stored codes."""
        s, replay = self.spec.classifier, self.spec.replay
        fresh = fresh_part(s.batch, replay.share, not experience.is_first, replay.iid)
        steps = steps_of(s, len(experience.clips), experience.n_merged)
        return Phase("classifier", lambda: self.codes, self.train_classifier, start=self.begin_classifier,
                     kind="classifier", steps=steps, batch=fresh)  # fmt: skip

    def store_phase(self, experience: Experience) -> list[Phase]:
        """Offer the current codes to the buffer; nothing of the pre-training part, whose classes are not streamed."""
        if experience.is_pretraining:
            return []
        views = self.spec.classifier.views

        def clips_themselves(epoch: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
            index = np.arange(0, len(self.codes), views)
            return index, np.zeros_like(index)

        return [Phase("store", lambda: self.codes, self.store, kind="store",
                      epochs=1, shuffle=False, batch=self.spec.chunk,
                      sampler=clips_themselves if views > 1 else None)]  # fmt: skip

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

    def train_compressor(self, batch: Batch) -> dict[str, float]:
        clips, n_old, seconds = to_float(batch.clips), self.spec.compressor.batch - len(batch), 0.0
        if n_old and self.rehearses():
            began = time.perf_counter()
            clips = torch.cat([clips, self.rehearsed_clips(n_old)])
            if clips.is_cuda:
                torch.cuda.synchronize()  # or the decoding would be counted to whatever waits for it first
            seconds = time.perf_counter() - began
        replace = self.spec.compressor.replace == "always" or len(self.buffer) == 0
        loss = self.compressor.loss(clips, self.generator, replace)
        self.optimize(loss)
        return {"loss": float(loss.detach()), "replayed": len(clips) - len(batch), "samples": len(clips),
                "rehearsal_seconds": seconds}  # fmt: skip

    def encode(self, batch: Batch) -> None:
        views, clips = self.spec.classifier.views, batch.clips
        if views > 1:  # [B,V,...]; the clip itself is the first of its views
            clips = clips.flatten(0, 1)
            batch = Batch(batch.target.repeat_interleave(views), batch.sample_id.repeat_interleave(views))
        with evaluating(self.compressor):
            self.codes.append(batch, self.compressor.encode(clips))

    def begin_classifier(self) -> None:
        self.begin_optimizer(["classifier"], self.spec.classifier.rate)

    def train_classifier(self, batch: Batch) -> dict[str, float]:
        s, n_current = self.spec.classifier, len(self.codes) // self.spec.classifier.views
        batch, n_old = replayed_part(batch, s.batch, self.spec.replay, self.buffer, n_current)
        loss, log = classification_loss(self.classifier(self.compressor.embed(batch.codes)), batch.target)
        self.optimize(loss)
        return {**log, "replayed": n_old, "samples": len(batch)}

    def store(self, batch: Batch) -> None:
        self.buffer.offer(batch, batch.codes)

    def predict(self, clips: Tensor) -> Tensor:
        with evaluating(self.compressor, self.classifier):
            return self.classifier(self.compressor.embed(self.compressor.encode(clips)))
