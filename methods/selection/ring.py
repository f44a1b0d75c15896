"""selection ring: a first-in, first-out buffer a class (Chaudhry et al. 2019, section 3.2)."""

from typing import Any

import numpy as np

from methods.selection.policy import Ordered


class Ring(Ordered):
    """The latest clips of each class; classes have equal shares."""

    def victim(self, stored: np.ndarray[Any, Any], target: int) -> int:
        """The oldest clip of the class itself, or of the largest class while the own one is smaller."""
        sizes = np.bincount(stored, minlength=target + 1)
        largest = int(sizes.argmax())
        return self.oldest(stored, largest if sizes[target] < sizes[largest] else target)

    def another(self, stored: np.ndarray[Any, Any]) -> int:
        """The oldest clip of the largest class."""
        return self.oldest(stored, int(np.bincount(stored).argmax()))

    def oldest(self, stored: np.ndarray[Any, Any], target: int) -> int:
        """The place of the clip of a class that came first."""
        own = np.flatnonzero(stored == target)
        return int(own[self.arrived[own].argmin()])
