"""Named protocols: fixed, versioned rules of a comparison, each with its one primary metric."""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.registry import parse
from harness.common.registry import Registry

DENSE_BUDGET = "2GB"


@dataclass(frozen=True)
class Protocol:
    """A rule of comparison; `options` are the benchmark's options that it fixes. str() gives `name/vN`.

    pretrains: whether its stream has clips for setting=pretrained; `pretraining` says in words which.
    """

    name: str
    version: int
    benchmark: str
    label: str
    tasks: int
    budget: str
    primary: str
    rule: str
    pretraining: str
    options: Mapping[str, Any]
    pretrains: bool = False

    def budget_for(self, options: Mapping[str, Any]) -> str:
        """The default budget with these options of the benchmark; dense clips of long videos need their own."""
        return DENSE_BUDGET if options.get("clips") == "dense" else self.budget

    def __str__(self) -> str:
        return f"{self.name}/v{self.version}"

    def hash(self, table_hash: str) -> str:
        """12 hex digits over the rule and the clip table; the budget may be varied and is not part of it."""
        rule = {key: value for key, value in asdict(self).items() if key not in ("budget", "pretrains")}
        text = json.dumps({"rule": rule, "clips": table_hash}, sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]


_DIGITS_RULE = (
    "class-incremental, one head, no task id; blocks of four actions in the order of order_seed; validation and test "
    "hold digit images that training never shows"
)
_DIGITS_PRETRAINING = "20 other digit-motion pairs on three spare background families, 20 clips each, training images"


def _moving_digits(tasks: int, actions: int, budget: str) -> Protocol:
    return Protocol(
        name=f"moving-digits-{tasks}",
        version=1,
        benchmark="moving_digits",
        label="action",
        tasks=tasks,
        budget=budget,
        primary="final_accuracy",
        rule=_DIGITS_RULE,
        pretraining=_DIGITS_PRETRAINING,
        pretrains=True,
        options={"actions": actions, "clips_per_class": 100, "leak": 0.0, "data_seed": 0},
    )


_FULL_SIZE = {"frames": 14, "size": 224, "resize": "crop"}
_EPIC_OPTIONS = {"min_train": 100, "min_test": 10, "valid": 0.1, **_FULL_SIZE}
_EPIC_PARTICIPANTS = Protocol(
    name="ek100-participant-30",
    version=1,
    benchmark="epic_kitchens",
    label="noun",
    tasks=30,
    budget="128MB",
    primary="final_accuracy_class_mean",
    rule="domain-incremental, one head, no task id, all 92 nouns of ek100-noun-10 count as seen; a task is one of the "
    "30 participants with segments in the official train file and in the validation file, which is the test part (P35, "
    "P37, P18 and P32 are left out); validation is held out of train by whole videos",
    pretraining="train segments of the nouns left out of the stream (197 nouns, 8,054 segments), without the held-out "
    "videos; they are of the same kitchens",
    pretrains=True,
    options={**_EPIC_OPTIONS, "tasks_by": "participants", "clips": "one"},
)


def _epic_kitchens(label: str, left_out: str, clips: str) -> Protocol:
    dense = "; a test item is a segment, its score the mean over its clips" if clips == "dense" else ""
    return Protocol(
        name=f"ek100-{label}-10" + ("-dense" if dense else ""),
        version=1,
        benchmark="epic_kitchens",
        label=label,
        tasks=10,
        budget=DENSE_BUDGET if dense else "128MB",
        primary="final_accuracy_class_mean",
        rule="class-incremental, one head, no task id; classes with at least 100 segments in the official train file "
        "and 10 in the validation file, which is the test part; validation is held out of train by whole videos"
        + dense,
        pretraining=f"train segments of the classes left out of the stream ({left_out}), without the held-out videos",
        pretrains=True,
        options={**_EPIC_OPTIONS, "tasks_by": "classes", "clips": clips, **({"rate": 30.0} if dense else {})},
    )


def _kinetics(name: str, pretrain: str, rule: str, pretraining: str, pretrains: bool) -> Protocol:
    return Protocol(
        name=name,
        version=1,
        benchmark="kinetics",
        label="action",
        tasks=10,
        budget="128MB",
        primary="final_accuracy",
        rule=f"class-incremental, one head, no task id; {rule}; the official validation file is the test part, and no "
        "youtube id of it is trained on; validation is held out of train by youtube id",
        pretraining=pretraining,
        pretrains=pretrains,
        options={
            "version": "700",
            "source": "official",
            "pretrain": pretrain,
            "valid": 0.1,
            "clips": "one",
            **_FULL_SIZE,
        },
    )


def _vclimb(dataset: str, tasks: int, budget: str, untrimmed: bool = False) -> Protocol:
    return Protocol(
        name=f"vclimb-{dataset}-{'untrimmed-' if untrimmed else ''}{tasks}",
        version=1,
        benchmark="vclimb",
        label="action",
        tasks=tasks,
        budget=budget,
        primary="final_accuracy",
        rule="class-incremental, one head, no task id; vCLIMB's published tasks in their published order"
        + ("; whole videos" if untrimmed else ""),
        pretraining="none in the benchmark: give a compressor",
        options={"dataset": dataset, "valid": 0.1, "clips": "one", **_FULL_SIZE}
        | ({"untrimmed": True} if untrimmed else {}),
    )


# Dataset -> classes of the first task, all classes. Five exemplars a class, as raw clips, give the budget.
_TCD = {"ucf101": (51, 101), "hmdb51": (26, 51), "ssv2": (84, 174)}


def _tcd(dataset: str, per_task: int, increments: int) -> Protocol:
    first, classes = _TCD[dataset]
    return Protocol(
        name=f"tcd-{dataset}-{per_task}x{increments}",
        version=1,
        benchmark=dataset,
        label="action",
        tasks=1 + increments,
        budget=f"{math.ceil(5 * classes * 8 * 3 * 224 * 224 / 1e6)}MB",
        primary="average_incremental_accuracy",
        rule=f"class-incremental, one head, no task id; {first} classes first, then {increments} tasks of {per_task}; "
        "order_seed 0, 1 and 2 are the class orders of TCD's seeds 1000, 1993 and 2021; validation is held out of "
        "train by whole films",
        pretraining="none in the benchmark: give a classifier or a compressor",
        options={"order": "tcd", "valid": 0.1, "clips": "one", "frames": 8, "size": 224, "resize": "crop"}
        | ({} if dataset == "ssv2" else {"split": 1}),
    )


PROTOCOLS: Registry[Protocol] = Registry("protocol", "benchmarks.protocols:Protocol")


def register(protocol: Protocol, builtin: bool = False) -> Protocol:
    """Add a protocol under its name and version; a plug-in calls this for a rule of its own."""
    PROTOCOLS.add(str(protocol), protocol, f"{protocol.benchmark}, {protocol.label}, {protocol.tasks} tasks", builtin)
    return protocol


for _protocol in (
    _moving_digits(tasks=10, actions=40, budget="700kB"),
    _moving_digits(tasks=5, actions=20, budget="400kB"),
    *(
        _epic_kitchens(label, left_out, clips)
        for clips in ("one", "dense")
        for label, left_out in (("noun", "197 nouns, 8,054 segments"), ("verb", "60 verbs, 2,943 segments"))
    ),
    _EPIC_PARTICIPANTS,
    _kinetics("k700-10", "none", "all 700 classes", "none in the benchmark: see k700-k400pre-10", False),
    _kinetics(
        "k700-k400pre-10",
        "k400_merged",
        "the 308 classes that Kinetics-400 has not",
        "training clips of the 392 classes of Kinetics-400, renamed ones too",
        True,
    ),
    *(_vclimb(dataset, tasks, "64MB") for dataset in ("ucf101", "activitynet") for tasks in (10, 20)),
    *(_vclimb("kinetics400", tasks, "64MB") for tasks in (10, 20)),
    *(_vclimb("activitynet", tasks, "64MB", untrimmed=True) for tasks in (10, 20)),
    *(_tcd("ucf101", *steps) for steps in ((10, 5), (5, 10), (2, 25), (1, 50))),
    *(_tcd("hmdb51", *steps) for steps in ((5, 5), (1, 25))),
    *(_tcd("ssv2", *steps) for steps in ((10, 9), (5, 18), (3, 30), (1, 90))),
):
    register(_protocol, builtin=True)
DEFAULT = "moving-digits-10/v1"


def find(name: str) -> Protocol:
    """The protocol called `name`, with or without its version (then the newest); ValueError names the nearest."""
    versions = [protocol for _, protocol in PROTOCOLS.items() if protocol.name == name]
    return max(versions, key=lambda protocol: protocol.version) if versions else PROTOCOLS.get(name)


def identify(benchmark: str, label: str, tasks: int, options: Mapping[str, Any]) -> str:
    """The id of the protocol that these choices are, or 'custom'; options left out have their defaults."""
    checked = parse(benchmark, {**options, "tasks": tasks})
    if checked.is_part:
        return "custom"
    settings = asdict(checked)
    found = [
        (len(protocol.options), name)
        for name, protocol in PROTOCOLS.items()
        if (protocol.benchmark, protocol.label, protocol.tasks) == (benchmark, label, tasks)
        and all(settings.get(key) == value for key, value in protocol.options.items())
    ]
    return max(found, key=lambda each: each[0])[1] if found else "custom"
