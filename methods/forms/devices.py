"""Moving data to a GPU, and timing work there, without waiting for the GPU."""

import time

import torch
from torch import Tensor


def to_device(tensor: Tensor, device: torch.device | str) -> Tensor:
    """A tensor of the host on the device. The copy to a GPU goes on while the program does, from pinned memory."""
    if torch.device(device).type != "cuda" or tensor.is_cuda:
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


class Stopwatch:
    """Seconds from its making to `stop()`, on a GPU by its own clock; `float(watch)` may wait for the GPU."""

    def __init__(self, device: torch.device | str):
        self.seconds = time.perf_counter()
        self.events: list[torch.cuda.Event] = []
        if torch.device(device).type == "cuda":
            self._mark()

    def stop(self) -> None:
        """Let the time be that up to now."""
        self.seconds = time.perf_counter() - self.seconds
        if self.events:
            self._mark()

    def __float__(self) -> float:
        if not self.events:
            return self.seconds
        self.events[-1].synchronize()
        return float(self.events[0].elapsed_time(self.events[-1])) / 1000

    def _mark(self) -> None:
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        self.events.append(event)
