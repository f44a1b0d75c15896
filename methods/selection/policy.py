"""What a selection must give."""

from typing import Any, ClassVar

import numpy as np
import torch


class Selection:
    """Says which stored clip makes room for a new one. It knows labels and places, never contents."""

    by_features: ClassVar[bool] = False  # whether clips are to be offered in the order that `order` gives
    slot_bytes: ClassVar[int] = 0  # bytes that it remembers of each stored clip

    def __init__(self, generator: torch.Generator):
        self.generator = generator
        self.seen: dict[int, int] = {}  # clips offered so far, by class

    def show(self, target: int) -> None:
        """A clip of this class is offered."""
        self.seen[target] = self.seen.get(target, 0) + 1

    def victim(self, stored: np.ndarray[Any, Any], target: int) -> int:
        """The place that a new clip takes in a full buffer, or -1 to drop the new one; `stored` are the labels."""
        raise NotImplementedError

    def another(self, stored: np.ndarray[Any, Any]) -> int:
        """One more place to empty where the new clip still does not fit: a random one of the largest class."""
        same = np.flatnonzero(stored == np.bincount(stored).argmax())
        return int(same[self.draw(len(same))])

    def order(self, features: torch.Tensor, targets: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """In which order clips with these features [N,D] and labels [N] are offered."""
        return np.arange(len(targets))

    def put(self, slot: int) -> None:
        """A clip was put at `slot`: the next free place, or one that it takes over."""

    def keep(self, slots: np.ndarray[Any, Any]) -> None:
        """Only these places stay, in this order."""

    def draw(self, n: int) -> int:
        """A random number below n."""
        return int(torch.randint(n, (1,), generator=self.generator))

    def state(self) -> dict[str, Any]:
        """What it knows, beside the clips."""
        return {"seen": dict(self.seen)}

    def load(self, state: dict[str, Any]) -> None:
        """Take up a saved state."""
        self.seen = dict(state["seen"])


class Ordered(Selection):
    """A selection that knows in which order the stored clips came."""

    slot_bytes = 4

    def __init__(self, generator: torch.Generator):
        super().__init__(generator)
        self.arrived = np.zeros(0, np.int32)  # a number for each place; later clips have higher ones

    def put(self, slot: int) -> None:
        """A clip came to `slot`."""
        if slot == len(self.arrived):
            self.arrived = np.append(self.arrived, np.int32(0))
        self.arrived[slot] = sum(self.seen.values())

    def keep(self, slots: np.ndarray[Any, Any]) -> None:
        """Only these places stay."""
        self.arrived = self.arrived[slots]

    def state(self) -> dict[str, Any]:
        """Counts and the order."""
        return {**super().state(), "arrived": torch.from_numpy(self.arrived)}

    def load(self, state: dict[str, Any]) -> None:
        """Take up a saved state."""
        super().load(state)
        self.arrived = state["arrived"].numpy().copy()
