"""Which strategies of avalanche.training run here, with what settings, and why the others do not (imports neither)."""

import difflib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from harness.common.settings import setting
from methods.shared.settings import NoSettings


@dataclass(frozen=True)
class Sizes:
    """What a strategy is built with: clips its buffer may hold, replayed clips a step, experiences, classes."""

    clips: int
    replayed: int
    n_experiences: int
    n_classes: int

    @property
    def clips_per_experience(self) -> int:
        return self.clips // self.n_experiences


@dataclass(frozen=True)
class Strategy:
    """One strategy: `arguments(sizes, settings)` are those of its class beside the ones all of them share.

    `replays`: a share of each batch comes from its buffer. `buffer`: the byte budget sizes one. `row_bytes(n_classes)`:
    what a stored clip takes beside pixels, label and id. `scratch`: attributes that hold nothing between two steps.
    """

    does: str
    arguments: Callable[[Sizes, Any], dict[str, Any]] = lambda sizes, own: {}
    Settings: type = NoSettings
    buffer: bool = False
    replays: bool = False
    bound: bool = False
    row_bytes: Callable[[int], int] = lambda n_classes: 0
    scratch: tuple[str, ...] = ()


@dataclass(frozen=True)
class EWCSettings:
    """Settings of avalanche:EWC."""

    ewc_lambda: float = setting(0.4, "weight of the penalty")
    mode: str = setting("separate", "a penalty for each experience, or one that decays", choices=("separate", "online"))
    decay_factor: float = setting(0.9, "decay of the penalty; of mode online alone")


@dataclass(frozen=True)
class SISettings:
    """Settings of avalanche:SynapticIntelligence."""

    si_lambda: float = setting(0.1, "weight of the penalty")


@dataclass(frozen=True)
class MASSettings:
    """Settings of avalanche:MAS."""

    lambda_reg: float = setting(1.0, "weight of the penalty")
    alpha: float = setting(0.5, "share of the older importances in the new ones")


@dataclass(frozen=True)
class LwFSettings:
    """Settings of avalanche:LwF."""

    alpha: float = setting(1.0, "weight of the distillation")
    temperature: float = setting(2.0, "temperature of the distillation")


@dataclass(frozen=True)
class DERSettings:
    """Settings of avalanche:DER."""

    alpha: float = setting(0.1, "weight of the loss on stored logits")
    beta: float = setting(0.5, "weight of the loss on stored labels (above 0: DER++)")


@dataclass(frozen=True)
class GEMSettings:
    """Settings of avalanche:GEM."""

    memory_strength: float = setting(0.5, "margin of the gradient's projection")


def _ewc(sizes: Sizes, own: EWCSettings) -> dict[str, Any]:
    decay = own.decay_factor if own.mode == "online" else None
    return {"ewc_lambda": own.ewc_lambda, "mode": own.mode, "decay_factor": decay}


def _icarl(sizes: Sizes, own: Any) -> dict[str, Any]:
    # It gives each class so far an equal number of clips, rounded up.
    if sizes.clips <= sizes.n_classes:
        raise ValueError(
            f"method avalanche:ICaRL keeps clips of each of the {sizes.n_classes} classes, and {sizes.clips} clips fit "
            "the budget: give a larger memory.budget"
        )
    return {"memory_size": sizes.clips - sizes.n_classes, "buffer_transform": None, "fixed_memory": True}


def _rehearsal(sizes: Sizes, own: Any) -> dict[str, Any]:
    return {"mem_size": sizes.clips, "batch_size_mem": sizes.replayed}


STRATEGIES: dict[str, Strategy] = {
    "Naive": Strategy("fine-tuning, no memory"),
    "FromScratchTraining": Strategy("a fresh network each experience"),
    "Cumulative": Strategy("bound: training on all clips so far", bound=True),
    "Replay": Strategy(
        "experience replay, buffer balanced over experiences",
        buffer=True,
        replays=True,
        arguments=lambda sizes, own: {"mem_size": sizes.clips},
    ),
    "ER_ACE": Strategy(
        "replay with asymmetric cross-entropy",
        _rehearsal,
        buffer=True,
        replays=True,
        scratch=("mb_buffer_x", "mb_buffer_y", "mb_buffer_tid", "mb_buffer_out"),
    ),
    "DER": Strategy(
        "dark experience replay: clips with their logits",
        lambda sizes, own: {**_rehearsal(sizes, own), "alpha": own.alpha, "beta": own.beta},
        DERSettings,
        buffer=True,
        replays=True,
        row_bytes=lambda n_classes: 4 * n_classes,
        scratch=("batch_logits",),
    ),
    "GDumb": Strategy(
        "a fresh network trained on a balanced buffer alone",
        buffer=True,
        arguments=lambda sizes, own: {"mem_size": sizes.clips},
    ),
    "AGEM": Strategy(
        "gradients projected by the mean gradient of stored clips",
        buffer=True,
        replays=True,
        arguments=lambda sizes, own: {"patterns_per_exp": sizes.clips_per_experience, "sample_size": sizes.replayed},
        scratch=("reference_gradients",),
    ),
    "GEM": Strategy(
        "gradients projected by those of each experience's stored clips",
        lambda sizes, own: {"patterns_per_exp": sizes.clips_per_experience, "memory_strength": own.memory_strength},
        GEMSettings,
        buffer=True,
        scratch=("G",),
    ),
    "ICaRL": Strategy("herded exemplars, distillation, nearest class mean", _icarl, buffer=True),
    "EWC": Strategy("elastic weight consolidation", _ewc, EWCSettings),
    "SynapticIntelligence": Strategy(
        "synaptic intelligence", Settings=SISettings, arguments=lambda sizes, own: {"si_lambda": own.si_lambda}
    ),
    "MAS": Strategy(
        "memory-aware synapses",
        Settings=MASSettings,
        arguments=lambda sizes, own: {"lambda_reg": own.lambda_reg, "alpha": own.alpha},
    ),
    "LwF": Strategy(
        "distillation from the network before",
        Settings=LwFSettings,
        arguments=lambda sizes, own: {"alpha": own.alpha, "temperature": own.temperature},
    ),
    "CWRStar": Strategy("frozen features, rows of the head consolidated by class"),
}
ONLINE = "it is written for streams of single batches"
MODEL = "it wants a network of its own kind, not the classifier that all methods here share"
REFUSED: dict[str, str] = {
    "BiC": "it calls MultiStepLR(verbose=...), which torch 2.15 no longer has",
    "GSS_greedy": "it takes the maximum of an empty list on class-incremental streams",
    "ER_AML": "it loops for ever where a class group of the buffer is smaller than a batch",
    "MIR": f"{ONLINE}: classes of an experience's last batch, here all of its classes, are not replayed",
    "MER": f"{ONLINE}, and takes ten inner steps a clip, which our number of steps cannot match",
    "StreamingLDA": f"{ONLINE}: one pass over fixed features, no steps to match",
    "SCR": MODEL,
    "AR1": MODEL,
    "PNNStrategy": MODEL,
    "PackNet": "it needs the task id at test time",
    "ExpertGateStrategy": MODEL,
    "LFL": MODEL,
    "CoPE": MODEL,
    "FeatureReplay": MODEL,
    "LearningToPrompt": MODEL,
    "GenerativeReplay": "its generator is made for small images, not clips",
    "AETraining": "it trains an autoencoder and classifies nothing",
    "VAETraining": "it trains a generator and classifies nothing",
    "JointTraining": "method joint is the same here: all experiences at once, on pixels",
}


def find(name: str) -> Strategy:
    """The strategy of this name; ValueError with its reason where it does not run here, or with the nearest name."""
    if name in STRATEGIES:
        return STRATEGIES[name]
    if name in REFUSED:
        raise ValueError(f"avalanche:{name} does not run here: {REFUSED[name]} (known: {', '.join(STRATEGIES)})")
    near = difflib.get_close_matches(name, STRATEGIES, n=1)
    hint = f"; did you mean 'avalanche:{near[0]}'?" if near else ""
    raise ValueError(f"unknown strategy 'avalanche:{name}'{hint} (known: {', '.join(STRATEGIES)})")
