"""Strategies of avalanche.training by name: `methods=[avalanche:ER_ACE,avalanche:EWC]`.

They are opaque: Avalanche's own loop trains them, so a run that was cut off starts again, and what they carry is what
is found in the strategy and its plug-ins. Equal to the other methods are network, optimizer and its schedule, steps,
clips a step, and the bytes that size the buffer; of `classifier.views` they see the clip itself. Their clips
are copies: one that a strategy does not hold in a buffer after an experience cannot be had again.
"""

import contextlib
import io
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from methods.contract import Experience, Method, Spec, evaluating
from methods.shared.avalanche_strategies import STRATEGIES, Sizes
from methods.shared.buffers import LABEL_BYTES, clips_that_fit
from methods.shared.classifier import pixel_classifier
from methods.shared.optimizer import CLIP_NORM, share_of_peak
from methods.shared.settings import steps_of

Report = Callable[[dict[str, float]], None]


class Learner(nn.Module):
    """The classifier of our pixel methods, which counts the clips that it learns from."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network, self.learnt = network, 0

    def forward(self, clips: Tensor) -> Tensor:
        if torch.is_grad_enabled():
            self.learnt += len(clips)
        return self.network(clips)


class HeldClips:
    """Clips by sample id: those of the experience that goes on, and copies of the stored ones of earlier ones."""

    def __init__(self, name: str, row_bytes: int):
        self.name = name
        self.source: Any = None
        self.place: dict[int, int] = {}
        self.rows = SimpleNamespace(row_bytes=row_bytes)
        self.capacity = 0  # clips that the budget allows
        self.stored: dict[int, Tensor] = {}
        self.owned = 0  # clips that the strategy has copied for itself
        self.asked: set[int] | None = None  # while counting: which ids are asked for, without their pixels

    def __len__(self) -> int:
        return len(self.stored) + self.owned

    def open(self, source: Any) -> None:
        self.source, self.place = source, {int(row): k for k, row in enumerate(source.rows)}

    def clip(self, sample_id: int) -> Tensor:
        if self.asked is not None:
            self.asked.add(sample_id)
            return torch.zeros(0, dtype=torch.uint8)
        if sample_id in self.stored:
            return self.stored[sample_id]
        if self.source is None or sample_id not in self.place:
            raise RuntimeError(
                f"{self.name} asks for clip {sample_id} of an earlier experience, which it does not hold"
            )
        return self.source.take(np.array([self.place[sample_id]])).clips[0].cpu()

    def close(self, held: set[int]) -> None:
        """The experience is over: copies of `held` are kept, all else is gone."""
        self.stored = {sample_id: self.clip(sample_id) for sample_id in sorted(held)}
        self.source, self.place = None, {}

    @contextlib.contextmanager
    def counting(self) -> Iterator[set[int]]:
        self.asked = set()
        try:
            yield self.asked
        finally:
            self.asked = None


class Items(torch.utils.data.Dataset):
    """An experience as a dataset of Avalanche: (clip uint8 [T,H,W,3], target); `targets` decodes nothing."""

    def __init__(self, clips: HeldClips, source: Any):
        self.clips, self.ids, self.targets = clips, source.rows.tolist(), source.targets.tolist()

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.clips.clip(self.ids[index]), self.targets[index]


@dataclass
class Found:
    """What a strategy holds between two experiences: clips by sample id, copies, and other tensors by owner."""

    clips: set[int]
    copies: list[Tensor]  # uint8 [n,T,H,W,3]
    tensors: dict[str, list[Tensor]]


class AvalancheStrategy(Method):
    """A strategy of avalanche.training (0.6) on our stream; subclasses name it."""

    opaque = True
    strategy_name = ""

    def __init__(self, spec: Spec, settings: Any, generator: torch.Generator):
        super().__init__(spec, settings, generator)
        if spec.n_pretraining_classes:
            raise ValueError(f"method {self.name} runs with setting=scratch alone: its head is made for one stream")
        self.kind = STRATEGIES[self.strategy_name]
        network = pixel_classifier(spec.clip_shape, spec.compressor, spec.classifier, spec.n_classes)
        self.model: nn.Module = self.placed(Learner(network))
        self.strategy: Any = None  # built with the first experience: importing avalanche takes a while
        row_bytes = spec.raw_bytes + self.kind.row_bytes(spec.n_classes)
        self.clips = HeldClips(f"method {self.name}", row_bytes)
        if self.kind.buffer:
            live = sum(t.nbytes for t in self.model.state_dict().values())
            self.clips.capacity = clips_that_fit(spec, row_bytes, 0, live, f"method {self.name}")
        share = round(spec.classifier.batch * spec.replay.share)
        self.n_replayed = min(share, self.clips.capacity) if self.kind.replays else 0

    @property
    def buffer(self) -> HeldClips | None:  # type: ignore[override]
        """What the record and the plan ask for its size; None for strategies without one."""
        return self.clips if self.kind.buffer else None

    def live(self) -> dict[str, nn.Module]:
        return {"model": self.model if self.strategy is None else self.strategy.model}

    def learn(self, experience: Experience, report: Report) -> None:
        """Train on one experience for as many steps as the other methods; `report` is told of each."""
        if self.strategy is None:
            self._build(experience.n_experiences)
        number, source, settings = experience.current_experience, experience.clips, self.spec.classifier
        steps = steps_of(settings, len(source))
        self.matched.begin(steps, experience.classes_seen_so_far, report)
        self.strategy.train_mb_size = self._fresh(number)
        self.strategy.train_epochs = steps  # the plug-in stops it after as many steps
        self.clips.open(source)
        # Short last batches would make steps unequal; a buffer or an experience of less than a batch needs them.
        whole = len(source) >= settings.batch and self.strategy_name != "GDumb"
        with quietly():
            self.strategy.train(self._experience(experience), eval_streams=[], drop_last=whole)
        self.strategy._stop_training = False
        if self.matched.done != steps:
            raise RuntimeError(f"method {self.name} took {self.matched.done} steps of {steps}")
        self._compact()
        found = self._found()
        self.clips.close(found.clips)
        self.clips.owned = sum(len(copy) for copy in found.copies)
        if self.kind.buffer and len(self.clips) > self.clips.capacity:
            raise ValueError(f"method {self.name} holds {len(self.clips)} clips: {self.clips.capacity} fit its budget")

    def predict(self, clips: Tensor) -> Tensor:
        model = self.live()["model"]
        with evaluating(model):
            return model(clips)

    def state(self) -> dict[str, Any]:
        """What the strategy carries, for counting: buffer (copies of its clips, labels, ids) and tensors by owner."""
        if self.strategy is None:
            return {}
        found = self._found()
        labels = torch.zeros(len(self.clips) * LABEL_BYTES, dtype=torch.uint8)
        buffer = {"buffer": [*self.clips.stored.values(), *found.copies, labels]} if len(self.clips) else {}
        return {**buffer, **found.tensors}

    def _build(self, n_experiences: int) -> None:
        self.n_experiences = n_experiences
        with quietly():
            import avalanche.training.supervised as supervised
            from avalanche.evaluation.metrics import accuracy_metrics
            from avalanche.training.plugins import EvaluationPlugin

            cls = getattr(supervised, self.strategy_name)
            rate = self.spec.classifier.rate
            common = {
                "optimizer": torch.optim.AdamW(self.model.parameters(), lr=rate, weight_decay=0.0, fused=True),
                "train_mb_size": self.spec.classifier.batch,
                "eval_mb_size": 256,
                "device": self.spec.device,
                "evaluator": EvaluationPlugin(accuracy_metrics(experience=True, stream=True), loggers=[]),
            }
            sizes = Sizes(self.clips.capacity, self.n_replayed, n_experiences, self.spec.n_classes)
            if self.kind.buffer and sizes.clips_per_experience < 1 and self.strategy_name in ("AGEM", "GEM"):
                raise ValueError(f"method {self.name}: {sizes.clips} clips are less than one for each experience")
            self.matched = _matched(self)
            own = self.kind.arguments(sizes, self.settings)
            self.strategy = cls(**self._network(), **common, **own, plugins=[self.matched])
        for plugin in self.strategy.plugins:
            if type(plugin).__name__ == "ReplayPlugin":
                plugin.batch_size_mem = self.n_replayed

    def _compact(self) -> None:
        """ICaRL drops exemplars by slicing, which would keep them in memory."""
        for plugin in self.strategy.plugins:
            if hasattr(plugin, "x_memory"):
                plugin.x_memory = [x.clone() for x in plugin.x_memory]

    def _network(self) -> dict[str, Any]:
        path = "network.body.head" if hasattr(self.model.network, "body") else "network.head"
        if self.strategy_name == "ICaRL":
            head = self.model.get_submodule(path)
            self.model.set_submodule(path, nn.Identity())
            return {"feature_extractor": self.model, "classifier": head}
        network = {"model": self.model, "criterion": nn.CrossEntropyLoss()}
        return network | ({"cwr_layer_name": path} if self.strategy_name == "CWRStar" else {})

    def _fresh(self, number: int) -> int:
        """Current clips a step, so that those and the replayed ones are as many as every method's."""
        total = self.spec.classifier.batch
        if number == 0:
            return total
        if self.strategy_name == "GEM":
            return max(1, total - number * (self.clips.capacity // self.n_experiences))
        return max(1, total - self.n_replayed)

    def _experience(self, experience: Experience) -> Any:
        """The experience as Avalanche knows it, with one task label for all (class-incremental, one head)."""
        from avalanche.benchmarks.scenarios.dataset_scenario import DatasetExperience
        from avalanche.benchmarks.scenarios.generic_scenario import EagerCLStream
        from avalanche.benchmarks.utils.classification_dataset import _make_taskaware_classification_dataset

        data = _make_taskaware_classification_dataset(Items(self.clips, experience.clips), task_labels=0)
        own = DatasetExperience(dataset=data)
        own.origin_stream = EagerCLStream("train", [own])
        own.current_experience = experience.current_experience  # the stream of one numbered it 0
        own.task_label, own.task_labels = 0, [0]
        own.classes_in_this_experience = list(experience.classes_in_this_experience)
        own.classes_seen_so_far = list(experience.classes_seen_so_far)
        own.previous_classes = sorted(set(own.classes_seen_so_far) - set(own.classes_in_this_experience))
        # What ICaRL asks the whole benchmark for, as far as it may be known by now.
        self.sizes = [*getattr(self, "sizes", []), len(own.classes_in_this_experience)]
        rest = self.spec.n_classes - sum(self.sizes)
        own.benchmark = SimpleNamespace(n_classes_per_exp=[*self.sizes, rest], classes_order=own.classes_seen_so_far)
        return own

    def _found(self) -> Found:
        """Walk the strategy and its plug-ins; what every plain strategy has, such as the experience, is left out."""
        from avalanche.training.supervised import Naive

        model = self.strategy.model
        with self.clips.counting() as clips, quietly():
            walk = Walk(model, self.kind.scratch)
            plain = vars(Naive(model=model, optimizer=self.strategy.optimizer, evaluator=None))
            owned = {k: v for k, v in vars(self.strategy).items() if k not in plain}
            owned |= {k: v for k, v in vars(model).items() if not k.startswith("_")}  # CWR* keeps rows there
            tensors = {self.strategy_name: walk.tensors(owned)}
            for plugin in self.strategy.plugins:
                if plugin is not self.matched and plugin not in (self.strategy.evaluator, self.strategy.clock):
                    tensors[type(plugin).__name__] = walk.tensors(vars(plugin))
        shape = self.spec.clip_shape
        copies = [t for found in tensors.values() for t in found if t.dtype == torch.uint8 and t.shape[1:] == shape]
        others = {name: [t for t in found if not any(t is copy for copy in copies)] for name, found in tensors.items()}
        return Found(set(clips), copies, {name: found for name, found in others.items() if found})


class Walk:
    """Collects tensors in nested objects, each once; datasets are asked for all their items, which names the clips."""

    def __init__(self, live: nn.Module, scratch: tuple[str, ...]):
        self.scratch, self.seen = scratch, {id(live)}

    def tensors(self, thing: Any) -> list[Tensor]:
        if id(thing) in self.seen or thing is None or isinstance(thing, str | int | float | type):
            return []
        self.seen.add(id(thing))
        if isinstance(thing, Tensor):
            return [thing.detach()]
        if isinstance(thing, np.ndarray):
            return [torch.from_numpy(thing)]
        if isinstance(thing, nn.Module):
            return [*thing.state_dict().values()]
        if hasattr(thing, "targets") and hasattr(thing, "__getitem__"):  # a dataset
            return [t for k in range(len(thing)) for t in thing[k] if isinstance(t, Tensor) and t.is_floating_point()]
        if isinstance(thing, dict):
            return [t for key, value in thing.items() if key not in self.scratch for t in self.tensors(value)]
        if isinstance(thing, list | tuple | set):
            return [t for value in thing for t in self.tensors(value)]
        if type(thing).__module__.startswith("avalanche.training"):
            return self.tensors(vars(thing))
        return []


def _matched(method: AvalancheStrategy) -> Any:
    """The plug-in that makes a strategy's work equal to that of the other methods."""
    from avalanche.core import SupervisedPlugin

    class Matched(SupervisedPlugin):
        """Our optimizer's schedule and clipping, our number of steps, unseen classes masked, each step reported."""

        def begin(self, steps: int, seen: tuple[int, ...], report: Report) -> None:
            self.steps, self.seen, self.report, self.done = steps, list(seen), report, 0

        def before_training_exp(self, strategy: Any, **_: Any) -> None:
            strategy.optimizer.state.clear()  # a fresh optimizer each experience, as all methods have

        def before_training_iteration(self, strategy: Any, **_: Any) -> None:
            for module in strategy.model.modules():
                if isinstance(module, Learner):
                    module.learnt = 0
            share = share_of_peak(self.done, self.steps)
            for group in strategy.optimizer.param_groups:
                group["lr"] = method.spec.classifier.rate * share

        def before_update(self, strategy: Any, **_: Any) -> None:
            if not torch.isfinite(strategy.loss):
                raise FloatingPointError(f"the loss is {strategy.loss.item()}")
            nn.utils.clip_grad_norm_(strategy.model.parameters(), CLIP_NORM)

        def after_training_iteration(self, strategy: Any, **_: Any) -> None:
            self.done += 1
            samples = sum(m.learnt for m in strategy.model.modules() if isinstance(m, Learner))
            self.report({"loss": float(strategy.loss.detach()), "samples": samples})
            if self.done == self.steps:
                strategy.stop_training()

        def after_eval_forward(self, strategy: Any, **_: Any) -> None:
            unseen = torch.ones(strategy.mb_output.shape[1], dtype=torch.bool)
            unseen[self.seen] = False
            strategy.mb_output[:, unseen.to(strategy.mb_output.device)] = -torch.inf

    return Matched()


@contextlib.contextmanager
def quietly() -> Iterator[None]:
    """Without Avalanche's notices of what its next version will deprecate, and its progress on the screen."""
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.showwarning = lambda *_, **__: None  # filters would not do: Avalanche sets its own
        yield


for _name, _kind in STRATEGIES.items():
    globals()[_name] = type(
        f"Avalanche{_name}", (AvalancheStrategy,),
        {"__doc__": f"Avalanche: {_kind.does}", "strategy_name": _name, "Settings": _kind.Settings,
         "bound": _kind.bound, "name": f"avalanche:{_name}"},
    )  # fmt: skip
