"""One optimizer for all methods: AdamW with warm-up and cosine decay, saved and loaded with the state."""

import math
from typing import Any

import torch
from torch import Tensor, nn

WARM_UP = 10  # steps
FLOOR = 0.1  # of the peak rate, reached at the last step
CLIP_NORM = 5.0


def share_of_peak(step: int, steps: int) -> float:
    """Share of the peak rate at one of `steps` steps of the weights: linear warm-up, then cosine to FLOOR."""
    warm = min(1.0, (step + 1) / WARM_UP)
    return warm * (FLOOR + (1 - FLOOR) * 0.5 * (1 + math.cos(math.pi * step / max(1, steps))))


class Optimizer:
    """AdamW (no weight decay) over some of a method's modules for a known number of steps."""

    def __init__(self, names: list[str], modules: list[nn.Module], rate: float, steps: int, accumulate: int = 1):
        """`accumulate`: batches whose mean gradient makes one step of the weights; `steps` counts batches."""
        self.names, self.rate, self.steps, self.taken = list(names), rate, steps, 0
        self.accumulate, self.moves = accumulate, -(-steps // accumulate)
        self.parameters = [p for m in modules for p in m.parameters() if p.requires_grad]
        self.torch = torch.optim.AdamW(self.parameters, lr=rate, weight_decay=0.0, fused=True)

    def step(self, loss: Tensor) -> None:
        """Backward; clip and step once enough batches are summed up. FloatingPointError for a loss not finite.

        A loss on a GPU is not looked at here, because that would wait for the GPU. The loop looks at it a little later.
        """
        if not loss.is_cuda and not torch.isfinite(loss):
            raise FloatingPointError(f"the loss is {loss.item()}")
        for group in self.torch.param_groups:
            group["lr"] = self.rate * share_of_peak(self.taken // self.accumulate, self.moves)
        if self.taken % self.accumulate == 0:
            self.torch.zero_grad(set_to_none=True)
        (loss / self.accumulate if self.accumulate > 1 else loss).backward()
        self.taken += 1
        if self.taken % self.accumulate == 0 or self.taken == self.steps:
            nn.utils.clip_grad_norm_(self.parameters, CLIP_NORM)
            self.torch.step()

    def state(self) -> dict[str, Any]:
        """All that the next step depends on, but for the weights."""
        summed = self.taken % self.accumulate and [p.grad for p in self.parameters]
        return {
            **({"accumulate": self.accumulate, "gradients": summed or None} if self.accumulate > 1 else {}),
            "modules": self.names,
            "rate": self.rate,
            "steps": self.steps,
            "taken": self.taken,
            "torch": self.torch.state_dict(),
        }

    @classmethod
    def loaded(cls, state: dict[str, Any], modules: list[nn.Module]) -> "Optimizer":
        """The optimizer of a saved state, over the modules as they are now."""
        optimizer = cls(state["modules"], modules, state["rate"], state["steps"], state.get("accumulate", 1))
        optimizer.torch.load_state_dict(state["torch"])
        optimizer.taken = state["taken"]
        for parameter, gradient in zip(optimizer.parameters, state.get("gradients") or [], strict=False):
            parameter.grad = None if gradient is None else gradient.to(parameter)
        return optimizer
