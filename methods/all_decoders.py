"""Upper bound of CRAM: every decoder is kept, so each refresh starts from the codes as first written."""

from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from methods.contract import Batch, Spec
from methods.cram import CRAM
from methods.shared.buffers import Store
from methods.shared.snapshot import Snapshot


class Decoders(torch.nn.ModuleList):
    """Snapshots of all experiences: memory, not a part of the running model."""

    carried = True


class AllDecoders(CRAM):
    """bound: cram that keeps the decoder of every experience and refreshes from the first codes"""

    name = "all_decoders"

    answers = None
    bound = True

    def __init__(self, spec: Spec, settings: Any, generator: torch.Generator):
        super().__init__(spec, settings, generator)
        self.decoders = Decoders()
        self.originals = Store(self.rows, 0, spec.device)  # the codes as first written, slot by slot
        self.written_by = torch.zeros(0, dtype=torch.int16)  # which decoder reads a slot

    def begin_compressor(self) -> None:
        super().begin_compressor()
        if self.snapshot is not None:
            self.decoders.append(self.snapshot)
            self.snapshot = None

    def rehearsed_clips(self, n: int) -> Tensor:
        return self.decode_old(self.buffer.sample(n))

    def decode_old(self, batch: Batch) -> Tensor:
        clips = torch.empty(len(batch), *self.spec.clip_shape, device=self.spec.device)
        written_by = self.written_by[batch.slots].numpy()
        for k in np.unique(written_by):
            codes = self.originals.take(batch.slots[written_by == k]).codes
            decoder = cast(Snapshot, self.decoders[int(k)])
            clips[torch.from_numpy(written_by == k)] = decoder.decode(codes)
        return clips

    def store(self, batch: Batch) -> None:
        for store in (self.buffer, self.originals):
            store.grow(len(batch))
            store.append(batch, batch.codes)
        new = torch.full((len(batch),), len(self.decoders), dtype=torch.int16)
        self.written_by = torch.cat([self.written_by, new])

    def load(self, state: dict[str, Any]) -> None:
        kept = {name.split(".")[0] for name in state["decoders"]}
        self.decoders = Decoders(self.compressor.snapshot() for _ in kept)
        super().load(state)
