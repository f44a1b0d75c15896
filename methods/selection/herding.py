"""selection herding: exemplars by priority (iCaRL, Rebuffi et al. 2017, algorithms 4 and 5)."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from methods.selection.policy import Ordered


class Herding(Ordered):
    """Clips offered in the order of `herded`; where room is needed, the last one of the largest class goes."""

    by_features = True

    def order(self, features: Tensor, targets: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
        """Those whose mean comes nearest to the mean of their class first."""
        return herded(nn.functional.normalize(features, dim=-1), targets, len(targets))

    def victim(self, stored: np.ndarray[Any, Any], target: int) -> int:
        """The last clip of the largest class, as long as the own class is smaller by two; else the new clip goes."""
        sizes = np.bincount(stored, minlength=target + 1)
        largest = int(sizes.argmax())
        return self.last(stored, largest) if sizes[target] + 1 < sizes[largest] or sizes[target] == 0 else -1

    def another(self, stored: np.ndarray[Any, Any]) -> int:
        """The last clip of the largest class."""
        return self.last(stored, int(np.bincount(stored).argmax()))

    def last(self, stored: np.ndarray[Any, Any], target: int) -> int:
        """The place of the clip of a class that came last."""
        own = np.flatnonzero(stored == target)
        return int(own[self.arrived[own].argmax()])


def herded(features: Tensor, targets: np.ndarray[Any, Any], quota: int) -> np.ndarray[Any, Any]:
    """The first `quota` clips of each class whose running mean of features [N,D] stays nearest to the class mean.

    Returns their indices, class after class, in the order in which iCaRL's algorithm 4 picks them.
    """
    picks: list[int] = []
    for target in dict.fromkeys(targets.tolist()):
        rows = np.flatnonzero(targets == target)
        own = features[rows]
        mean, total, left = own.mean(0), torch.zeros_like(own[0]), list(range(len(rows)))
        for k in range(min(quota, len(rows))):
            gap = (mean - (total + own[left]) / (k + 1)).norm(dim=-1)
            best = left.pop(int(gap.argmin()))
            total = total + own[best]
            picks.append(int(rows[best]))
    return np.array(picks, np.int64)
