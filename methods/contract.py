"""The contract of a method.

A method is a table of phases that one visible loop (harness/training/loop.py) walks. What it carries from one
experience to the next is what `state()` holds; by default that is everything the method has set on itself.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from methods import METHODS
from methods.shared.optimizer import Optimiser
from methods.shared.settings import ClassifierSettings, CompressorSettings, NoSettings, ReplaySettings, TrainingSettings

CHUNK, CHUNK_BYTES = 256, 64_000_000


@dataclass
class Batch:
    """What a step gets: clips uint8 [B,T,H,W,3] (views: [B,V,T,H,W,3]) or codes int64 [B,...]; slots of a buffer."""

    target: Tensor  # int64 [B]
    sample_id: Tensor  # int32 [B]
    clips: Tensor | None = None
    codes: Tensor | None = None
    slots: np.ndarray | None = None
    extra: dict[str, Tensor] = field(default_factory=dict)  # what a method stores beside its clips, float32 [B,n]
    labels: dict[str, Tensor] = field(default_factory=dict)  # every label of the clip table, int64 [B]

    def __len__(self) -> int:
        return len(self.target)


class Source(Protocol):
    """Data of a phase: `len()` and `take(index [B], view [B] or None) -> Batch`."""

    def __len__(self) -> int: ...
    def take(self, index: np.ndarray, view: np.ndarray | None = None) -> Batch: ...


@dataclass(frozen=True)
class Phase:
    """One row of a method's table: which data, in which order, for how long, and what one step does.

    `start` runs once before step 0 and never on resume. Give `steps` or `epochs`. `sampler(epoch, rng)` returns the
    order of one epoch as (index, view). `views=V` gives batches of V augmented views a clip. What `step` returns is
    logged; `loss` must be finite, and `samples` says how many it learnt from where that is not the batch it was given.
    """

    name: str
    data: Callable[[], Source]
    step: Callable[[Batch], dict[str, float] | None]
    start: Callable[[], None] | None = None
    steps: int | None = None
    epochs: int | None = None
    batch: int = 64
    shuffle: bool = True
    sampler: Callable[[int, np.random.Generator], tuple[np.ndarray, np.ndarray]] | None = None
    views: int = 1


@dataclass(frozen=True)
class Spec:
    """What a method is told: clip shape, classes of the whole stream, device, budget in bytes, the shared settings."""

    clip_shape: tuple[int, int, int, int]  # frames, height, width, 3
    n_classes: int
    n_pretraining_classes: int = 0
    device: str = "cpu"
    budget: int | None = None
    count: str = "carried"
    compressor: CompressorSettings = CompressorSettings()
    classifier: ClassifierSettings = ClassifierSettings()
    replay: ReplaySettings = ReplaySettings()
    training: TrainingSettings = TrainingSettings()
    weights: dict[str, Tensor] | None = None  # of the compressor that `compressor.load` names

    @property
    def raw_bytes(self) -> int:
        return int(np.prod(self.clip_shape))

    @property
    def chunk(self) -> int:
        """Clips of one step that only encodes, refreshes, stores or predicts: 256, or fewer large ones."""
        return min(CHUNK, max(1, CHUNK_BYTES // self.raw_bytes))


class Method:
    """A continual learner: subclasses give `phases` and `predict`; `state` and `load` if they carry unusual things."""

    Settings: ClassVar[type] = NoSettings
    name: ClassVar[str] = ""
    bound: ClassVar[bool] = False  # an upper bound: no budget, may read the clips of past experiences, never "best"
    joint: ClassVar[bool] = False  # gets all experiences as one, with the steps of all of them (bounds only)
    opaque: ClassVar[bool] = False  # has a training loop of its own: gives `learn` in place of `phases`
    # What the harness keeps for itself; everything else on `self` is state.
    NOT_STATE: ClassVar[frozenset[str]] = frozenset({"spec", "settings", "generator", "phase_steps", "scratch"})

    def __init__(self, spec: Spec, settings: Any, generator: torch.Generator):
        self.spec, self.settings, self.generator = spec, settings, generator
        self.optimiser: Optimiser | None = None
        self.phase_steps = 0  # set by the loop when it enters a phase
        self.scratch: tuple[str, ...] = ()  # names of stores that hold the current experience's own codes

    def phases(self, experience: Any) -> list[Phase]:
        """The table of phases of one experience; pure, may be called at any time."""
        raise NotImplementedError(f"{type(self).__name__} gives no phases(experience)")

    def learn(self, experience: Any, report: Callable[[dict[str, float]], None]) -> None:
        """Opaque methods alone: train on one experience, and report each step (`loss`, `samples`)."""
        raise NotImplementedError(f"{type(self).__name__} gives no learn(experience, report)")

    def predict(self, clips: Tensor) -> Tensor:
        """Clips uint8 [B,T,H,W,3] -> logits [B, n_classes]; the harness masks classes not yet seen."""
        raise NotImplementedError(f"{type(self).__name__} gives no predict(clips)")

    def live(self) -> dict[str, nn.Module]:
        """The modules of the running model, by name; copies of them are not live."""
        return {k: v for k, v in vars(self).items() if isinstance(v, nn.Module) and not getattr(v, "carried", False)}

    def live_bytes(self) -> int:
        """Bytes of the running model: what `memory.count=total` counts beside what is carried."""
        return sum(t.nbytes for module in self.live().values() for t in module.state_dict().values())

    def state(self) -> dict[str, Any]:
        """Holder -> tensors and plain values: everything needed to go on in a new process."""
        return {k: _saved(k, v) for k, v in vars(self).items() if k not in self.NOT_STATE}

    def load(self, state: dict[str, Any]) -> None:
        """Take up a saved state; a method whose modules come and go builds them here, then calls this."""
        saved_optimiser = state.get("optimiser")
        for key, value in state.items():
            if key != "optimiser":
                self._load_one(key, value)
        self.optimiser = None
        if saved_optimiser is not None:
            self.optimiser = Optimiser.loaded(saved_optimiser, self._modules(saved_optimiser["modules"]))

    def _load_one(self, key: str, value: Any) -> None:
        held = getattr(self, key, None)
        if isinstance(held, nn.Module):
            held.load_state_dict(value)
        elif hasattr(held, "load"):
            held.load(value)
        elif isinstance(value, dict) and held is None:
            raise ValueError(f"{self.name}: the saved state holds '{key}', which load(state) does not build")
        else:
            setattr(self, key, value)

    def end_pretraining(self) -> None:
        """Drop the head of the pre-training classes; the stream's classes get a fresh one."""
        if not hasattr(getattr(self, "classifier", None), "new_head"):
            raise ValueError(
                f"method {self.name} cannot run with setting=pretrained: it gives neither end_pretraining() "
                "nor a `classifier` with new_head(n_classes)"
            )
        self.classifier.new_head(self.spec.n_classes)

    def begin_optimiser(self, modules: list[str], rate: float) -> None:
        """Start AdamW over the named modules for the steps of this phase; dropped by the loop when the phase ends."""
        accumulate = self.spec.training.accumulate
        self.optimiser = Optimiser(modules, self._modules(modules), rate, self.phase_steps, accumulate)

    def placed(self, module: nn.Module) -> nn.Module:
        """A module on the run's device, in the memory layout and compiled as the training settings ask for."""
        module = module.to(self.spec.device)
        if self.spec.training.channels_last:
            formats = {nn.Conv2d: torch.channels_last, nn.ConvTranspose2d: torch.channels_last,
                       nn.Conv3d: torch.channels_last_3d}  # fmt: skip
            for part in module.modules():
                if type(part) in formats:
                    part.weight.data = part.weight.data.contiguous(memory_format=formats[type(part)])
        if self.spec.training.compile:
            module.compile()
        return module

    def optimise(self, loss: Tensor) -> None:
        """One optimiser step on `loss`: backward, clipping, schedule. Override it to edit gradients."""
        self.optimiser.step(loss)

    def _modules(self, names: list[str]) -> list[nn.Module]:
        return [getattr(self, name) for name in names]


def _saved(name: str, value: Any) -> Any:
    if isinstance(value, nn.Module):
        return value.state_dict()
    if hasattr(value, "state") and callable(value.state):
        return value.state()
    if isinstance(value, Tensor | int | float | str | bytes | type(None)):
        return value
    if isinstance(value, list | tuple):
        return [_saved(name, v) for v in value]
    if isinstance(value, dict):
        return {k: _saved(name, v) for k, v in value.items()}
    raise TypeError(
        f"attribute '{name}' is a {type(value).__name__}, which a state cannot hold: "
        "use modules, tensors, plain values, or objects with state() and load()"
    )


def register(name: str) -> Callable[[type[Method]], type[Method]]:
    """Class decorator for plug-ins: makes a method known by `name`."""

    def add(cls: type[Method]) -> type[Method]:
        METHODS.add(name, cls)
        cls.name = name
        return cls

    return add


@contextlib.contextmanager
def evaluating(*modules: nn.Module) -> Iterator[None]:
    """The modules in evaluation mode and without gradients; their modes are put back after."""
    modes = [m.training for m in modules]
    for m in modules:
        m.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for m, mode in zip(modules, modes, strict=True):
            m.train(mode)
