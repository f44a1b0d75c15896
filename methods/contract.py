"""The contract of a method.

A method is a table of phases that one visible loop (harness/training/loop.py) walks. What it carries from one
experience to the next is what `state()` holds; by default that is everything the method has set on itself.
"""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from operator import attrgetter
from typing import Any, ClassVar, Protocol, SupportsFloat, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from harness.common.words import check_choice
from methods import METHODS
from methods.answers import Answers, settings_of
from methods.shared.file_part import FilePart
from methods.shared.optimizer import Optimizer
from methods.shared.settings import (
    SHARED,
    ClassifierSettings,
    CompressorSettings,
    NoSettings,
    ReplaySettings,
    TrainingSettings,
)  # fmt: skip
from methods.shared.state import saved, take_up

CHUNK, CHUNK_BYTES = 256, 64_000_000
KINDS = ("compressor", "refresh", "encode", "classifier", "store", "other")
M = TypeVar("M", bound=nn.Module)
Log = Mapping[str, SupportsFloat]  # what a step returns; a tensor of one number is read when the loop needs it


@dataclass
class Batch:
    """What a step gets: clips or codes, with their labels.

    clips: uint8 [B,T,H,W,3] (views: [B,V,T,H,W,3]); codes: int64 [B,...]; slots: places in a buffer, int64 [B].
    A batch has clips or codes, and slots only if it comes from a buffer; what it does not have is None.
    """

    target: Tensor  # int64 [B]
    sample_id: Tensor  # int32 [B]
    clips: Tensor = None  # type: ignore[assignment]
    codes: Tensor = None  # type: ignore[assignment]
    slots: np.ndarray[Any, Any] = None  # type: ignore[assignment]
    extra: dict[str, Tensor] = field(default_factory=dict)  # what a method stores beside its clips, float32 [B,n]
    labels: dict[str, Tensor] = field(default_factory=dict)  # every label of the clip table, int64 [B]

    def __len__(self) -> int:
        return len(self.target)

    def pin_memory(self) -> "Batch":
        """Its clips and labels where a GPU can fetch them while the program goes on; torch's loader calls this."""
        return replace(self, target=self.target.pin_memory(), clips=self.clips.pin_memory())


class Source(Protocol):
    """Data of a phase."""

    def __len__(self) -> int: ...

    def take(self, index: np.ndarray[Any, Any], view: np.ndarray[Any, Any] | None = None) -> Batch:
        """The items at `index` [B], each in the view that `view` [B] names."""


class Clips(Source, Protocol):
    """The clips of the current experience, a source that knows its labels without decoding anything."""

    targets: np.ndarray[Any, Any]  # int64 [N]
    rows: np.ndarray[Any, Any]  # sample ids, int64 [N]


class Experience(Protocol):
    """One experience of the stream, as a method sees it; attribute names are Avalanche's where it has one.

    current_experience is -1 for pre-training. `clips` raises RuntimeError once the experience is over.
    """

    current_experience: int
    n_experiences: int  # of the stream, without pre-training
    classes_in_this_experience: tuple[int, ...]
    classes_seen_so_far: tuple[int, ...]  # those of this experience included
    previous_classes: tuple[int, ...]  # those of the experiences before
    is_pretraining: bool
    opens_run: bool  # the very first data the method gets
    n_merged: int  # experiences that a joint method gets as this one
    own_ids: set[int]  # sample ids of its clips

    @property
    def is_first(self) -> bool:
        """Whether nothing of the stream came before."""

    @property
    def is_last(self) -> bool:
        """Whether nothing of the stream comes after."""

    @property
    def clips(self) -> Clips:
        """Its training clips."""


class Remembers(Protocol):
    """What the harness and the methods ask of every buffer; it is also a source of phases."""

    generator: torch.Generator

    @property
    def capacity(self) -> int | None:
        """Clips that fit; None where it depends on the clips."""

    def __len__(self) -> int: ...

    def take(self, index: np.ndarray[Any, Any], view: np.ndarray[Any, Any] | None = None) -> Batch:
        """Items by slot."""

    def sample(self, n: int) -> Batch:
        """`n` stored items, drawn uniformly with replacement."""

    def offer(self, batch: Batch, items: Tensor) -> None:
        """Show items, with labels and `batch.extra`; some are kept."""

    def keep(self, slots: np.ndarray[Any, Any]) -> None:
        """Drop all but these slots, which become 0, 1, ..."""

    def state(self) -> dict[str, Any]:
        """Everything it holds."""

    def load(self, state: dict[str, Any]) -> None:
        """Take up a saved state."""


@dataclass(frozen=True)
class Phase:
    """One row of a method's table: which data, in which order, for how long, and what one step does.

    `start` runs once before step 0 and never on resume. Give `steps` or `epochs`. `sampler(epoch, rng)` returns the
    order of one epoch as (index, view). `views=V` gives batches of V augmented views a clip. What `step` returns is
    logged; `loss` must be finite, and `samples` says how many it learnt from where that is not the batch it was given.

    The name is for people. `kind` tells the harness what the phase does: after a `compressor` phase the drift of stored
    codes is measured, and work and time are summed by kind.
    """

    name: str
    data: Callable[[], Source]
    step: Callable[[Batch], Log | None]
    start: Callable[[], None] | None = None
    steps: int | None = None
    epochs: int | None = None
    batch: int = 64
    shuffle: bool = True
    sampler: Callable[[int, np.random.Generator], tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]] | None = None
    views: int = 1
    kind: str = field(default="other", kw_only=True)

    def __post_init__(self) -> None:
        check_choice(f"phase {self.name}: kind", self.kind, KINDS)


@dataclass(frozen=True)
class Spec:
    """What a method is told: clip shape, classes of the whole stream, device, budget in bytes, the shared settings."""

    clip_shape: tuple[int, int, int, int]  # frames, height, width, 3
    n_classes: int
    n_pretraining_classes: int = 0
    n_experiences: int = 1  # of the stream, without pre-training
    device: str = "cpu"
    budget: int | None = None
    count: str = "carried"
    compressor: CompressorSettings = CompressorSettings()
    classifier: ClassifierSettings = ClassifierSettings()
    replay: ReplaySettings = ReplaySettings()
    training: TrainingSettings = TrainingSettings()
    weights: dict[str, Tensor] | None = None  # of the compressor that `compressor.load` names
    answers: dict[str, dict[str, Any]] = field(default_factory=dict)  # question -> answer -> its settings, as given

    def settings_of(self, question: str, answer: str) -> Any:
        """The settings of an answer, such as those of the rule derpp; NoSettings where it has none."""
        return settings_of(question, answer)(**self.answers.get(question, {}).get(answer, {}))

    @property
    def raw_bytes(self) -> int:
        """Bytes of an uncompressed clip."""
        return int(np.prod(self.clip_shape))

    @property
    def chunk(self) -> int:
        """Clips of one step that only encodes, refreshes, stores or predicts: 256, or fewer large ones."""
        return min(CHUNK, max(1, CHUNK_BYTES // self.raw_bytes))


class Method:
    """A continual learner: subclasses give `phases` and `predict`; `state` and `load` if they carry unusual things."""

    Settings: ClassVar[type] = NoSettings
    name: ClassVar[str] = ""
    uses: ClassVar[tuple[str, ...]] = tuple(SHARED)  # shared settings that change what it does, as groups or singly
    answers: ClassVar[Answers | None] = None  # to the questions of methods/answers.py; None: it does not ask them
    head: ClassVar[str | None] = "classifier.head"  # the one layer over features that may grow without being carried
    task_local: tuple[str, ...] = ()  # attributes dropped at the end of each experience; not carried, listed apart
    bound: ClassVar[bool] = False  # an upper bound: no budget, may read the clips of past experiences, never "best"
    joint: ClassVar[bool] = False  # gets all experiences as one, with the steps of all of them (bounds only)
    opaque: ClassVar[bool] = False  # has a training loop of its own: gives `learn` in place of `phases`
    # What the harness keeps for itself; everything else on `self` is state.
    NOT_STATE: ClassVar[frozenset[str]] = frozenset({"spec", "settings", "generator", "phase_steps", "task_local"})

    buffer: Remembers | None = None  # where past clips are, if the method remembers any

    def __init__(self, spec: Spec, settings: Any, generator: torch.Generator):
        self.spec, self.settings, self.generator = spec, settings, generator
        self.optimizer: Optimizer | None = None
        self.phase_steps = 0  # set by the loop when it enters a phase

    def phases(self, experience: Experience) -> list[Phase]:
        """The table of phases of one experience; pure, may be called at any time."""
        raise NotImplementedError(f"{type(self).__name__} gives no phases(experience)")

    def learn(self, experience: Experience, report: Callable[[dict[str, float]], None]) -> None:
        """Opaque methods alone: train on one experience, and report each step (`loss`, `samples`)."""
        raise NotImplementedError(f"{type(self).__name__} gives no learn(experience, report)")

    def predict(self, clips: Tensor) -> Tensor:
        """Clips uint8 [B,T,H,W,3] -> logits [B, n_classes]; the harness masks classes not yet seen."""
        raise NotImplementedError(f"{type(self).__name__} gives no predict(clips)")

    def report(self, experience: Experience) -> dict[str, float]:
        """Numbers about this experience for the record, by name; asked for once, after its last phase."""
        return {}

    def live(self) -> dict[str, nn.Module]:
        """The modules of the running model, by name; copies of them are not live."""
        held = {k: v.module if isinstance(v, FilePart) else v for k, v in vars(self).items()}
        return {k: v for k, v in held.items() if isinstance(v, nn.Module) and not getattr(v, "carried", False)}

    def live_bytes(self) -> int:
        """Bytes of the running model: what `memory.count=total` counts beside what is carried."""
        return sum(t.nbytes for module in self.live().values() for t in module.state_dict().values())

    def head_module(self) -> nn.Linear | None:
        """The layer that `head` names; None where there is no such layer."""
        try:
            found = attrgetter(self.head)(self) if self.head else None
        except AttributeError:
            return None
        return found if isinstance(found, nn.Linear) else None

    def end_experience(self) -> None:
        """Drop what is local to the task: stores and containers are cleared, all else becomes None."""
        for name in self.task_local:
            held = getattr(self, name)
            if hasattr(held, "clear"):
                held.clear()
            else:
                setattr(self, name, None)

    def state(self) -> dict[str, Any]:
        """Holder -> tensors and plain values: everything needed to go on in a new process."""
        return saved(self, self.NOT_STATE)

    def load(self, state: dict[str, Any]) -> None:
        """Take up a saved state; a method whose modules come and go builds them here, then calls this."""
        saved_optimizer = state.get("optimizer")
        for key, value in state.items():
            if key != "optimizer":
                take_up(self, key, value, self.name)
        self.optimizer = None
        if saved_optimizer is not None:
            self.optimizer = Optimizer.loaded(saved_optimizer, self._modules(saved_optimizer["modules"]))

    def end_pretraining(self) -> None:
        """Drop the head of the pre-training classes; the stream's classes get a fresh one."""
        classifier = getattr(self, "classifier", None)
        if classifier is None or not hasattr(classifier, "new_head"):
            raise ValueError(
                f"method {self.name} cannot run with setting=pretrained: it gives neither end_pretraining() "
                "nor a `classifier` with new_head(n_classes)"
            )
        classifier.new_head(self.spec.n_classes)

    def begin_optimizer(self, modules: list[str], rate: float) -> None:
        """Start AdamW over the named modules for the steps of this phase; dropped by the loop when the phase ends."""
        accumulate = self.spec.training.accumulate
        self.optimizer = Optimizer(modules, self._modules(modules), rate, self.phase_steps, accumulate)

    def placed(self, module: M) -> M:
        """A module on the run's device, in the memory layout and compiled as the training settings ask for."""
        module = module.to(self.spec.device)
        if self.spec.training.channels_last:
            for part in module.modules():
                if isinstance(part, nn.Conv2d | nn.ConvTranspose2d | nn.Conv3d):
                    layout = torch.channels_last_3d if isinstance(part, nn.Conv3d) else torch.channels_last
                    part.weight.data = part.weight.data.contiguous(memory_format=layout)
        if self.spec.training.compile:
            module.compile()
        return module

    def optimize(self, loss: Tensor) -> None:
        """One optimizer step on `loss`: backward, clipping, schedule. Override it to edit gradients."""
        if self.optimizer is None:
            raise RuntimeError(f"method {self.name}: optimize(loss) before begin_optimizer(modules, rate)")
        self.optimizer.step(loss)

    def _modules(self, names: list[str]) -> list[nn.Module]:
        return [attrgetter(name)(self) for name in names]


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
