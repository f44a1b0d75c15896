"""upkeep aqm (Caccia et al., ICML 2020, Online Learned Continual Compression with Adaptive Quantization, algorithm 1).

Stacked VQ auto-encoders learn on current clips and on decoded stored ones. Once enough clips are reconstructed under
the error bound, a module's codebook is frozen. From then on its encoder and decoder go on learning, while codes are
read by a slowly moving decoder. A clip is stored by the deepest frozen module that keeps the bound, else as it is.

Deviations from the released code: averages are quicker (.9 and not .99), because an experience has 100 steps here; the
stored clips are looked through once an experience, and not whenever one is drawn; unused entries of a frozen codebook
are kept; the live modules count only with aqm.charge or memory.count=total, as for other methods, the slow decoders
always. The classifier learns from decoded clips, as in the paper.
"""

from dataclasses import dataclass
from typing import Any, ClassVar, cast

import numpy as np
import torch
from torch import Tensor

from harness.common.settings import setting
from methods.answers import Answers
from methods.contract import Batch, Experience, Log, Phase, evaluating
from methods.forms.kinds import PayloadForm
from methods.shared.buffers import PayloadBuffer
from methods.shared.code_method import compressor_steps
from methods.shared.compressor import to_float
from methods.shared.pixel_method import PixelMethod
from methods.shared.quantization_modules import Stack
from methods.shared.replay import fresh_part

RAW = 255  # the level of a clip that is stored as it is


@dataclass(frozen=True)
class AQMSettings:
    """Of AQM."""

    bound: float = setting(0.01, "mean squared error (pixels in 0..1) up to which a clip may be coded", above=0)
    enough: float = setting(0.9, "share of clips under the bound at which a codebook is frozen", minimum=0, maximum=1)
    average: float = setting(0.9, "decay of that share's moving average", minimum=0, maximum=1)
    slow: float = setting(0.99, "decay a step of the decoder that reads stored codes", minimum=0, maximum=1)
    depth: int = setting(2, "modules; each one below the first takes a quarter of the bytes", minimum=1, maximum=2)
    freeze: bool = setting(True, "freeze codebooks; false is a control: codes are stored at once, and drift")
    charge: bool = setting(False, "count the live modules against the budget, as the paper does")


class AdaptiveQuantization(PixelMethod):
    """Keep clips as codes of the deepest module that is good enough for them."""

    Settings: ClassVar[type] = AQMSettings
    uses: ClassVar[tuple[str, ...]] = ("compressor", "classifier", "replay", "training")
    answers: ClassVar[Answers | None] = Answers(form="codes", upkeep="aqm")
    buffer: PayloadBuffer

    def make_networks(self) -> None:
        super().make_networks()
        self.levels = self.placed(Stack(self.spec.clip_shape, self.spec.compressor, self.own.depth))
        self.decoders = self.levels.slow_decoders()
        self.share = [0.0] * len(self.levels)  # moving share of clips under the bound, by module
        self.frozen = [int(not self.own.freeze)] * len(self.levels)  # whether clips may be stored by a module

    @property
    def own(self) -> AQMSettings:
        """The settings of the upkeep, whatever method it belongs to."""
        return cast(AQMSettings, self.spec.settings_of("upkeep", "aqm"))

    def reserved_bytes(self) -> int:
        modules = [self.decoders, *([self.levels] if self.own.charge else [])]
        return sum(t.nbytes for module in modules for t in module.state_dict().values()) + 16 * len(self.levels)

    def new_buffer(self) -> PayloadBuffer:
        buffer = self.buffer_in(Coded(self))
        assert isinstance(buffer, PayloadBuffer)
        return buffer

    def phases(self, experience: Experience) -> list[Phase]:
        s, share, own = self.spec.compressor, self.spec.replay.compressor_share, self.own
        return [
            Phase("compressor", lambda: experience.clips, self.train_compressor, kind="compressor",
                  start=lambda: self.begin_optimizer(["levels"], s.rate), steps=compressor_steps(self.spec, experience),
                  batch=fresh_part(s.batch, share, not experience.is_first)),
            *([] if experience.is_first or not own.freeze else [
                Phase("deepen", lambda: self.buffer, self.deepen, kind="refresh", epochs=1, shuffle=False,
                      batch=self.spec.chunk)]),
            *self.learning_phases(experience),
        ]  # fmt: skip

    def train_compressor(self, batch: Batch) -> Log:
        own, clips, n_old = self.own, to_float(batch.clips), self.spec.compressor.batch - len(batch)
        if n_old and len(self.buffer):
            clips = torch.cat([clips, to_float(self.buffer.sample(n_old).clips)])
        loss, x = torch.zeros((), device=clips.device), clips
        for level in range(len(self.levels)):
            one, x = self.levels.loss(x, level, bool(own.freeze and self.frozen[level]), self.generator)
            loss = loss + one
        self.optimize(loss)
        self.follow(own.slow)
        if own.freeze:
            self.look_whether_to_freeze(clips, own)
        return {"loss": loss.detach(), "replayed": len(clips) - len(batch), "samples": len(clips)}

    def follow(self, decay: float) -> None:
        """Move the decoder of each frozen module a little; that of another is the live one."""
        with torch.no_grad():
            for k, (module, slow) in enumerate(zip(self.levels.modules_in_order(), self.decoders, strict=True)):
                for kept, new in zip(slow.parameters(), module.decoder.parameters(), strict=True):
                    kept.lerp_(new, 1 - decay if self.frozen[k] and self.own.freeze else 1.0)

    def look_whether_to_freeze(self, clips: Tensor, own: AQMSettings) -> None:
        """Freeze the codebook of the first module that isn't, once enough clips stay under the bound."""
        level = sum(self.frozen)
        if level == len(self.levels):
            return
        with evaluating(self.levels):
            good = (self.error(clips, self.levels.encode(clips, level), level) < own.bound).float().mean()
        self.share[level] = own.average * self.share[level] + (1 - own.average) * float(good)
        self.frozen[level] = int(self.share[level] > own.enough)

    def error(self, clips: Tensor, codes: Tensor, level: int) -> Tensor:
        """Mean squared error of each clip, as it would be read."""
        return (self.levels.decode(codes, level, self.decoders) - clips).square().flatten(1).mean(1)

    def payloads(self, clips: Tensor, shallowest: list[int]) -> list[bytes | None]:
        """Of each clip [B,T,H,W,3] its payload by the deepest module under the bound; None where none is that deep."""
        found: list[bytes | None] = [None] * len(clips)
        with evaluating(self.levels):
            for level in range(sum(self.frozen)):
                x = to_float(clips)
                codes = self.levels.encode(x, level)
                under = (self.error(x, codes, level) < self.own.bound).tolist()
                for k, good in enumerate(under):
                    if good and level >= shallowest[k]:
                        found[k] = bytes([level]) + self.levels.pack(codes[k])
        return found

    def deepen(self, batch: Batch) -> None:
        """Write stored clips anew by a deeper module than theirs where one keeps the bound."""
        held = [self.buffer.payloads[slot][0] for slot in batch.slots]
        shallowest = [0 if level == RAW else level + 1 for level in held]
        for slot, payload in zip(batch.slots, self.payloads(batch.clips, shallowest), strict=True):
            if payload is not None:
                self.buffer.rewrite(int(slot), payload)

    def report(self, experience: Experience) -> dict[str, float]:
        levels = [payload[0] for payload in self.buffer.payloads]
        return {"stored_clips": len(levels), "frozen_modules": sum(self.frozen), "stored_raw": levels.count(RAW)}


class Coded(PayloadForm):
    """A payload is the number of a module and its code, or RAW and the pixels."""

    def __init__(self, method: AdaptiveQuantization):
        super().__init__(method.spec.clip_shape)
        self.method = method

    def encode(self, clip: np.ndarray[Any, Any]) -> bytes:
        (payload,) = self.method.payloads(torch.from_numpy(clip)[None].to(self.method.spec.device), [0])
        return bytes([RAW]) + clip.tobytes() if payload is None else payload

    def decode(self, payloads: list[bytes]) -> np.ndarray[Any, Any]:
        clips = np.empty((len(payloads), *self.shape), np.uint8)
        for level in {payload[0] for payload in payloads}:
            places = [k for k, payload in enumerate(payloads) if payload[0] == level]
            bodies = [payloads[k][1:] for k in places]
            if level == RAW:
                clips[places] = np.stack([np.frombuffer(body, np.uint8).reshape(self.shape) for body in bodies])
            else:
                levels = self.method.levels
                codes = levels.unpack(bodies, level).to(self.method.spec.device)
                decoded = levels.decode(codes, level, self.method.decoders)
                clips[places] = (decoded * 255).round().byte().cpu().numpy()
        return clips
