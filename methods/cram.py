"""CRAM: continually refreshed amodal memory (Mall and Henriques, ICCV 2025).

phi encoder, psi decoder, C codebook; the snapshot is (psi, C) as they were before the experience. It has two uses:
the compressor rehearses old clips decoded by it, and once, after the compressor, every old code is refreshed,
e <- phi_new(clamp(psi_old(e))). The variants (no_refresh, no_snapshot, refresh_only, ...) change one thing each.
"""

from typing import Any, ClassVar

import torch
from torch import Tensor

from methods.answers import Answers
from methods.contract import Batch, Experience, Phase, Spec, evaluating
from methods.shared.code_method import CodeMethod
from methods.shared.snapshot import Snapshot


class CRAM(CodeMethod):
    """codes rehearsed and refreshed through the previous decoder, while the compressor goes on learning"""

    name = "cram"
    answers: ClassVar[Answers | None] = Answers(form="codes", upkeep="refresh")

    def __init__(self, spec: Spec, settings: Any, generator: torch.Generator):
        super().__init__(spec, settings, generator)
        self.snapshot: Snapshot | None = None

    def phases(self, experience: Experience) -> list[Phase]:
        return [
            self.compressor_phase(experience),  # the snapshot is taken in its start
            *self.refresh_phase(experience),
            self.encode_phase(experience),
            *self.learning_phases(experience),
        ]

    def refresh_phase(self, experience: Experience) -> list[Phase]:
        """Walk the whole buffer once, a chunk a step; nothing is stored before the second experience."""
        if experience.is_first:
            return []
        return [
            Phase(
                "refresh",
                lambda: self.buffer,
                self.refresh,
                kind="refresh",
                epochs=1,
                shuffle=False,
                batch=self.spec.chunk,
            )
        ]

    def begin_compressor(self) -> None:
        if len(self.buffer):
            self.snapshot = self.compressor.snapshot()
        super().begin_compressor()

    @property
    def before(self) -> Snapshot:
        """Decoder and codebook as they were before this experience. RuntimeError in the first one."""
        if self.snapshot is None:
            raise RuntimeError(f"{self.name} has no snapshot yet: nothing was stored before this experience")
        return self.snapshot

    def rehearses(self) -> bool:
        return True

    def rehearsed_clips(self, n: int) -> Tensor:
        return self.before.decode(self.buffer.sample(n).codes)

    def refresh(self, batch: Batch) -> None:
        with evaluating(self.compressor):
            self.buffer.write(batch.slots, self.compressor.encode(self.decode_old(batch)))

    def decode_old(self, batch: Batch) -> Tensor:
        """Stored codes -> float clips, by the decoder and the codebook that wrote them."""
        return self.before.decode(batch.codes)

    def reserved_bytes(self) -> int:
        return sum(t.nbytes for t in self.compressor.snapshot().state_dict().values())

    def load(self, state: dict[str, Any]) -> None:
        self.snapshot = None if state["snapshot"] is None else self.compressor.snapshot()
        super().load(state)
