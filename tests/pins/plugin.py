"""A plug-in whose run ids are pinned by its bytes: never edit, format or move it.

It knows both the old and the new place of what a method is made of, so that it loads before and after a move.
"""

from dataclasses import dataclass, field

import torch

try:
    from methods.base import Method, Phase, register
except ImportError:
    from methods.contract import Method, Phase, register


@dataclass(frozen=True)
class PinnedSettings:
    """Its only setting."""

    patience: int = field(default=2, metadata={"help": "clips a batch"})


@register("pinned")
class Pinned(Method):
    """nearest class mean of the clips' mean colours"""

    Settings = PinnedSettings

    def __init__(self, spec, settings, generator):
        super().__init__(spec, settings, generator)
        self.sums = torch.zeros(spec.n_classes, 3)
        self.counts = torch.zeros(spec.n_classes)

    def phases(self, experience):
        return [Phase("add", lambda: experience.clips, self.add, epochs=1, batch=self.settings.patience)]

    def add(self, batch):
        self.sums.index_add_(0, batch.target, self.colours(batch.clips))
        self.counts.index_add_(0, batch.target, torch.ones(len(batch.target)))

    def predict(self, clips):
        return -torch.cdist(self.colours(clips), self.sums / self.counts.clamp_min(1).unsqueeze(-1))

    def colours(self, clips):
        return clips.float().mean(dim=(-4, -3, -2)) / 255
