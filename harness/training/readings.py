"""What steps return, read from the device when it is needed: reading each number at once would wait for a GPU."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from harness.training.experiences import CurrentExperience
from methods.contract import Phase


@dataclass(frozen=True)
class Taken:
    """A step that was taken, with what it returned."""

    experience: CurrentExperience
    phase: Phase
    step: int
    steps: int  # of the phase
    n_batch: int
    log: Mapping[str, Any]

    @property
    def on_gpu(self) -> bool:
        """Whether a number of its log is still on a GPU."""
        return any(isinstance(value, torch.Tensor) and value.is_cuda for value in self.log.values())


def on_host(taken: list[Taken]) -> list[dict[str, Any]]:
    """Their logs with all that lies on a GPU copied in one transfer."""
    logs = [dict(each.log) for each in taken]
    places = [(log, name) for log in logs for name, value in log.items()
              if isinstance(value, torch.Tensor) and value.is_cuda and value.numel() == 1]  # fmt: skip
    if places:
        values = torch.stack([log[name].detach().double().reshape(()) for log, name in places]).tolist()
        for (log, name), value in zip(places, values, strict=True):
            log[name] = value
    return logs
