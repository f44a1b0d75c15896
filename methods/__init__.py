"""Methods: one file a method; what they share is in `shared/` and `networks/`, the contract in `contract.py`.

The algorithm of a method is its `phases()`: a table that the one loop (harness/training/loop.py) walks. This file
lists the built-in methods and imports none of them, for they import torch; a plug-in adds its own with
`register` of methods.contract. This room imports nothing of the others but harness.common.
"""

from typing import TYPE_CHECKING

from harness.common.registry import Registry
from methods.shared import avalanche_strategies

if TYPE_CHECKING:
    from methods.contract import Method

METHODS: "Registry[type[Method]]" = Registry(
    "method",
    base="methods.contract:Method",
    hint="; plugins=[FILE.py] names the file of one of your own",
    settable=True,
)
METHODS.add(
    "all_decoders", "methods.all_decoders:AllDecoders",
    "bound: cram that keeps the decoder of every experience and refreshes from the first codes",
)  # fmt: skip
METHODS.add(
    "aqm", "methods.aqm:AQM",
    "codes of stacked quantizers, each frozen once it is good enough; the rate is chosen clip by clip",
)  # fmt: skip
METHODS.add(
    "cram", "methods.cram:CRAM",
    "codes rehearsed and refreshed through the previous decoder, while the compressor goes on learning",
)  # fmt: skip
METHODS.add(
    "current_decoder",
    "methods.current_decoder:CurrentDecoder",
    "control: cram that refreshes through the current decoder instead of the previous one",
)
METHODS.add("derpp", "methods.derpp:DERpp", "replay by label and by the logits that were stored with each clip")
METHODS.add(
    "er", "methods.er:ER", "replay of stored clips, raw or as JPEG or H.264",
    also=("replay", "experience_replay", "rehearsal"),
)  # fmt: skip
METHODS.add("er_ace", "methods.er_ace:ERACE", "replay whose current clips do not push older classes away")
METHODS.add(
    "frozen", "methods.frozen:Frozen",
    "codes of a compressor that is frozen after the first experience or pre-training, or as loaded",
)  # fmt: skip
METHODS.add(
    "gdumb", "methods.gdumb:GDumb", "a fresh classifier after each experience, trained on a balanced buffer alone"
)  # fmt: skip
METHODS.add(
    "joint",
    "methods.joint:Joint",
    "bound: a pixel classifier trained on all experiences at once, with as many steps in all",
    also=("offline", "multitask", "cumulative", "upper_bound"),
)
METHODS.add(
    "joint_codes",
    "methods.joint_codes:JointCodes",
    "bound: compressor and classifier trained on all experiences at once, with as many steps in all",
)
METHODS.add(
    "naive", "methods.naive:Naive", "fine-tuning on pixels, no memory",
    also=("finetune", "finetuning", "fine_tuning", "sgd", "lower_bound"),
)  # fmt: skip
METHODS.add(
    "no_refresh",
    "methods.no_refresh:NoRefresh",
    "cram without the refresh; the compressor still rehearses through the previous decoder",
)
METHODS.add(
    "no_snapshot",
    "methods.no_snapshot:NoSnapshot",
    "codes neither refreshed nor rehearsed by the compressor; pays for no snapshot",
)
METHODS.add(
    "refresh_only",
    "methods.refresh_only:RefreshOnly",
    "cram whose compressor does not rehearse: the snapshot serves the refresh alone",
)
for _name, _strategy in avalanche_strategies.STRATEGIES.items():
    METHODS.add(f"avalanche:{_name}", f"methods.avalanche:{_name}", f"Avalanche: {_strategy.does}", own_loop=True)


def find(name: str) -> "type[Method]":
    """The class of a method; imports torch.

    Raises:
        ValueError: the name is unknown; the line gives the nearest one, or says why a strategy of Avalanche does not
            run here.
    """
    family, colon, member = name.partition(":")
    if colon and family == "avalanche" and name not in METHODS:
        avalanche_strategies.find(member)
    if name not in METHODS:
        known = ", ".join([*native(), "avalanche:NAME"])
        raise ValueError(f"unknown method '{name}'{METHODS.nearest(name)}{METHODS.hint} (known: {known})")
    cls = METHODS.get(name)
    cls.name = name
    return cls


def native() -> list[str]:
    """Names of the methods that our own loop trains, which is what methods=[all] means."""
    return sorted(name for name, entry in METHODS.entries.items() if not _has_own_loop(name))


def _has_own_loop(name: str) -> bool:
    entry = METHODS.entries[name]
    return bool(entry.facts.get("own_loop", getattr(entry.target, "opaque", False)))
