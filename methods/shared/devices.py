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
    """Seconds from its making to `stop()`, on a GPU by its own clock. `float(watch)` may wait for the GPU: ask late."""

    def __init__(self, device: torch.device | str):
        self.on_gpu = torch.device(device).type == "cuda"
        self.began = self._now()

    def stop(self) -> "Stopwatch":
        """The watch itself, stopped."""
        self.ended = self._now()
        return self

    def __float__(self) -> float:
        if isinstance(self.began, float) and isinstance(self.ended, float):
            return self.ended - self.began
        self.ended.synchronize()
        return float(self.began.elapsed_time(self.ended)) / 1000

    def _now(self) -> "float | torch.cuda.Event":
        if not self.on_gpu:
            return time.perf_counter()
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event
