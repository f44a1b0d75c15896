"""Work as the harness counts it, whatever a method says of itself: steps of optimizers, and clips through networks.

Steps are counted by a hook on all of torch's optimizers, clips by hooks on a few layers of each live module, wherever
they happen. A layer sees numbers, not clips: how many of them a clip is, evaluation tells, where the harness knows the
number of clips. What passes without gradients is not learnt from and does not count.
"""

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from methods.contract import Method, Phase

OUTSIDE = "outside of phases"
ENDS = 2  # layers watched at each end of a module
Counts = dict[str, dict[str, int]]


class Counted:
    """A meter of a run: by phase, the steps of the module that was moved most often, and the clips learnt from."""

    def __init__(self, method: Method):
        self.method = method
        self.place, self.n_views = OUTSIDE, {OUTSIDE: 1}
        self.moves: Counts = {}  # phase -> module -> steps
        self.numbers: Counts = {}  # phase -> layer -> numbers that passed since the last evaluation
        self.shown: dict[str, int] = {}  # layer -> numbers that passed in this evaluation
        self.clips = 0  # of this evaluation
        self.samples: dict[str, int] = {}
        self.cells: dict[str, list[int]] = {}
        self.watched: weakref.WeakSet[nn.Module] = weakref.WeakSet()
        self.owners: weakref.WeakKeyDictionary[torch.optim.Optimizer, tuple[str, ...]] = weakref.WeakKeyDictionary()
        self.predicting: set[str] = set()  # modules that predict runs
        self.enter(OUTSIDE)

    def phase(self, phase: Phase) -> None:
        """From now on work belongs to a phase."""
        self.enter(phase.name, phase.views)

    def enter(self, place: str, views: int = 1) -> None:
        """From now on work belongs to `place`, where batches hold `views` of each clip."""
        self._gather()
        self.place, self.n_views[place] = place, views
        _current.counted, _current.evaluating = weakref.ref(self), place == "evaluate"
        self.watch()

    def watch(self) -> None:
        """Hook the layers of modules that are new; compiled networks are left alone, for hooks would break them up."""
        if self.method.spec.training.compile:
            return
        for name, module in self.method.live().items():
            layers = [(path, part) for path, part in module.named_modules() if part._parameters]
            for path, layer in dict([*layers[:ENDS], *layers[-ENDS:]]).items():
                if layer not in self.watched:
                    self.watched.add(layer)
                    layer.register_forward_pre_hook(_counting(self.cells.setdefault(f"{name}.{path}", [0])))

    def moved(self, optimizer: torch.optim.Optimizer) -> None:
        """An optimizer has taken a step."""
        if optimizer not in self.owners:
            self.owners[optimizer] = self._owners(optimizer)
        moves = self.moves.setdefault(self.place, {})
        for name in self.owners[optimizer]:
            moves[name] = moves.get(name, 0) + 1

    def _owners(self, optimizer: torch.optim.Optimizer) -> tuple[str, ...]:
        held = {**{k: v for k, v in vars(self.method).items() if isinstance(v, nn.Module)}, **self.method.live()}
        names = {id(p): name for name, module in held.items() for p in module.parameters()}
        found = (names.get(id(p), "another network") for group in optimizer.param_groups for p in group["params"])
        return tuple(dict.fromkeys(found))

    def evaluated(self) -> None:
        """An evaluation of `clips` clips is over: what passed since the one before is told in clips."""
        self.enter(OUTSIDE)
        self.predicting |= {layer.partition(".")[0] for layer in self.shown}
        for place, numbers in self.numbers.items():
            learnt: dict[str, list[Fraction]] = {}
            for layer, n in numbers.items():
                if self.shown.get(layer):
                    learnt.setdefault(layer.partition(".")[0], []).append(Fraction(n * self.clips, self.shown[layer]))
            most = max((min(each) for each in learnt.values()), default=Fraction(0)) / self.n_views.get(place, 1)
            self.samples[place] = self.samples.get(place, 0) + round(most)
        self.numbers, self.shown, self.clips = {}, {}, 0

    @contextmanager
    def ignored(self) -> Iterator[None]:
        """What happens meanwhile is nobody's work."""
        self._gather()
        yield
        for cell in self.cells.values():
            cell[0] = 0

    def _gather(self) -> None:
        numbers = self.shown if self.place == "evaluate" else self.numbers.setdefault(self.place, {})
        for layer, cell in self.cells.items():
            if cell[0]:
                numbers[layer] = numbers.get(layer, 0) + cell[0]
                cell[0] = 0

    def fields(self) -> dict[str, dict[str, int]]:
        """steps and samples by phase, for the record; no samples where networks are compiled."""
        steps = {place: max(moves.values()) for place, moves in self.moves.items()}
        return {"steps": steps, "samples": {place: n for place, n in self.samples.items() if n}}

    def state(self) -> dict[str, Any]:
        self._gather()
        return {"moves": self.moves, "numbers": self.numbers, "shown": self.shown, "clips": self.clips,
                "samples": self.samples, "n_views": self.n_views, "predicting": sorted(self.predicting)}  # fmt: skip

    def load(self, state: dict[str, Any]) -> None:
        self.moves, self.numbers, self.shown = state["moves"], state["numbers"], state["shown"]
        self.clips, self.samples, self.n_views = state["clips"], state["samples"], state["n_views"]
        self.predicting = set(state["predicting"])


class _Current:
    """The meter of the run that is under way in this process."""

    counted: Callable[[], Counted | None] = staticmethod(lambda: None)
    evaluating = False


_current = _Current()


def _counting(cell: list[int]) -> Callable[[nn.Module, tuple[Any, ...]], None]:
    """A plain function: copies of a module share it, where they would copy an object with everything behind it."""

    def count(layer: nn.Module, inputs: tuple[Any, ...]) -> None:
        if (_current.evaluating or torch.is_grad_enabled()) and inputs and isinstance(inputs[0], Tensor):
            cell[0] += inputs[0].numel()

    return count


def _moved(optimizer: torch.optim.Optimizer, *_: Any) -> None:
    counted = _current.counted()
    if counted is not None:
        counted.moved(optimizer)


register_optimizer_step_post_hook(_moved)
