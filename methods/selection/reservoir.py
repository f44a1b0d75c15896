"""selection reservoir: class-balanced reservoir sampling (Vitter 1985; Chrysakis and Moens 2020)."""

from collections.abc import Callable
from typing import Any

import numpy as np

from methods.selection.policy import Selection


class Reservoir(Selection):
    """A class-balanced random sample of all clips seen."""

    def victim(self, stored: np.ndarray[Any, Any], target: int) -> int:
        """See `reservoir_slot`."""
        return reservoir_slot(stored, self.seen, target, self.draw)


def reservoir_slot(stored: np.ndarray[Any, Any], seen: dict[int, int], target: int, draw: Callable[[int], int]) -> int:
    """Slot of a full buffer that a new clip of class `target` takes, or -1: class-balanced reservoir.

    A clip of a class that is not the largest and has lost no clip yet replaces a random clip of the largest class; any
    other replaces a clip of its own with probability stored/seen (Chrysakis and Moens 2020). With fewer slots than
    classes seen, balanced quotas would be zero, so every clip seen has the same chance (Vitter 1985).
    """
    if len(stored) < len(seen):
        pick = draw(sum(seen.values()))
        return pick if pick < len(stored) else -1
    sizes = np.bincount(stored, minlength=target + 1)
    largest = int(sizes.argmax())
    # A class that did lose clips is as large as it should be: to let all its new ones in would favour the latest.
    whole = sizes[target] in (0, seen[target] - 1)
    if whole and sizes[target] < sizes[largest]:
        return int(np.flatnonzero(stored == largest)[draw(int(sizes[largest]))])
    pick = draw(seen[target])
    return int(np.flatnonzero(stored == target)[pick]) if pick < sizes[target] else -1
