"""A stream of experiences: which classes come when, as rows of the clip table; no pixels."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.clips import ClipTable
from benchmarks.randomness import generator
from harness.common.words import unknown

SETTINGS = ("scratch", "pretrained")


@dataclass(frozen=True)
class Experience:
    """One task of one split; attribute names are Avalanche's.

    indices: int64 rows of the clip table, ascending; targets: int64 class ids of the same rows.
    current_experience is -1 for pre-training, whose targets index `Stream.pretraining_classes`.
    """

    current_experience: int
    classes_in_this_experience: tuple[int, ...]
    classes_seen_so_far: tuple[int, ...]
    indices: np.ndarray
    targets: np.ndarray
    is_pretraining: bool = False


@dataclass(frozen=True)
class Stream:
    """Experiences of one label in one class order; a class id is the position of its name in `classes` (sorted).

    Of a domain-incremental stream the experiences are made of domains (`domain_order`): all classes come with the first
    one and count as seen from then on.
    """

    label: str
    classes: tuple[str, ...]
    class_order: tuple[tuple[int, ...], ...]
    train_stream: tuple[Experience, ...]
    valid_stream: tuple[Experience, ...]
    test_stream: tuple[Experience, ...]
    pretraining: Experience | None
    pretraining_classes: tuple[str, ...]
    notes: tuple[str, ...]
    domain_order: tuple[tuple[str, ...], ...] = ()

    @property
    def n_experiences(self) -> int:
        """How many tasks there are."""
        return len(self.class_order)

    @property
    def n_classes(self) -> int:
        """How many classes the stream has."""
        return len(self.classes)


def build_stream(
    table: ClipTable, label: str, n_tasks: int, order_seed: int, setting: str = "scratch", given: bool = False
) -> Stream:
    """Cut the classes of `label` into `n_tasks` disjoint experiences in the order of `order_seed`.

    Where every class of the label lies in one block of the table, blocks are permuted and kept whole as long as there
    are no more tasks than blocks; else classes are permuted. Sizes that do not divide are spread: the first tasks are
    one larger. Every class that can be trained is in exactly one experience; what is odd is said in `notes`.
    Where the table has domains, they take the place of the classes: those with training and test clips.
    `given`: a compressor is brought along, so that a table without pre-training clips can do with setting pretrained.
    Raises ValueError for an unknown label or setting, and for a number of tasks that the classes cannot fill.
    """
    _check(table, label, n_tasks, order_seed, setting)
    streamed = _streamed(table, label)
    trained = streamed.loc[streamed["split"] == "train", label]
    classes = tuple(sorted(set(trained)))
    if n_tasks > len(classes) and "domain" not in streamed:
        raise ValueError(
            f"{n_tasks} tasks asked for, but label {label!r} has {len(classes)} classes: at most {len(classes)} tasks"
        )
    if "domain" in streamed:
        return _domain_stream(table, streamed, label, classes, n_tasks, order_seed, setting, given)
    fixed = _given_order(table, classes, n_tasks, order_seed)
    order = fixed or _order(streamed, label, classes, n_tasks, order_seed)
    pretraining, pretraining_classes = _pretraining(table, label, setting, given)
    notes = [*_given_notes(table, n_tasks), *_notes(streamed, label, classes, order, fixed is not None)]
    return Stream(
        label,
        classes,
        order,
        _experiences(table, label, classes, order, "train"),
        _experiences(table, label, classes, order, "valid"),
        _experiences(table, label, classes, order, "test"),
        pretraining,
        pretraining_classes,
        (*_left_out(table, label), *notes),
    )


def _domain_stream(
    table: ClipTable,
    streamed: pd.DataFrame,
    label: str,
    classes: tuple[str, ...],
    n_tasks: int,
    order_seed: int,
    setting: str,
    given: bool,
) -> Stream:
    have = [set(streamed.loc[streamed["split"] == split, "domain"]) for split in ("train", "test")]
    domains = sorted(have[0] & have[1])
    if n_tasks > len(domains):
        raise ValueError(f"{n_tasks} tasks asked for, but there are {len(domains)} domains with train and test clips")
    ordered = [domains[i] for i in generator("domain order", int(order_seed)).permutation(len(domains))]
    order = tuple(tuple(part) for part in _parts(ordered, n_tasks))
    everything = tuple(range(len(classes)))
    members = [np.isin(table.frame["domain"], part) for part in order]

    def experiences(split: str) -> tuple[Experience, ...]:
        (whole,) = _experiences(table, label, classes, (everything,), split)
        parts = [each[whole.indices] for each in members]
        return tuple(
            Experience(task, everything, everything, whole.indices[mine], whole.targets[mine])
            for task, mine in enumerate(parts)
        )

    pretraining, pretraining_classes = _pretraining(table, label, setting, given)
    train, valid, test = (experiences(split) for split in ("train", "valid", "test"))
    return Stream(
        label,
        classes,
        (everything, *[()] * (n_tasks - 1)),
        train,
        valid,
        test,
        pretraining,
        pretraining_classes,
        (*_left_out(table, label), *_domain_notes(streamed, domains, order, test), *_absent(streamed, label, classes)),
        order,
    )


def _domain_notes(
    streamed: pd.DataFrame, domains: Sequence[str], order: Sequence[Sequence[str]], test: Sequence[Experience]
) -> list[str]:
    lost = streamed[~streamed["domain"].isin(domains)]
    counts = ", ".join(f"{'+'.join(part)} {len(e.indices):,}" for part, e in zip(order, test, strict=True))
    notes = ["domain-incremental: all classes count as seen from the first task on", f"test clips a task: {counts}"]
    if len(lost):
        parts = [f"{name} ({len(part):,} clips)" for name, part in lost.groupby("domain")]
        notes.append(f"left out, since they lack train or test clips: {', '.join(parts)}")
    return notes


def _parts(units: Sequence[Any], n: int) -> list[Sequence[Any]]:
    """Consecutive parts of nearly equal size: the first ones are one larger."""
    sizes = [len(units) // n + (part < len(units) % n) for part in range(n)]
    return [units[low:high] for low, high in pairwise(np.cumsum([0, *sizes]))]


def _usable(table: ClipTable) -> np.ndarray:
    usable = np.ones(len(table), bool)
    usable[list(table.unusable)] = False
    return usable


def _streamed(table: ClipTable, label: str) -> pd.DataFrame:
    """The rows of the stream: no pre-training clips, no unusable ones, no classes that the table leaves out."""
    keep = _usable(table) & (table.frame["split"] != "pretrain").to_numpy()
    if label in table.streamed:
        keep = keep & table.frame[label].isin(table.streamed[label]).to_numpy()
    return table.frame[keep]


def _given_order(
    table: ClipTable, classes: Sequence[str], n_tasks: int, order_seed: int
) -> tuple[tuple[int, ...], ...] | None:
    """The tasks that the benchmark's authors fixed, where they fixed any for this number of tasks."""
    ids = {name: number for number, name in enumerate(classes)}
    if table.class_orders and n_tasks > 1:
        names = table.class_orders[order_seed % len(table.class_orders)]
        tasks = [names[: table.first_classes], *_parts(names[table.first_classes :], n_tasks - 1)]
    elif len(table.order) == n_tasks:
        tasks = list(table.order)
    else:
        return None
    order = tuple(tuple(ids[name] for name in task if name in ids) for task in tasks)
    if not all(order):
        raise ValueError(f"{n_tasks} tasks: the published class order leaves task {order.index(())} without a class "
                         "(benchmark.order=even divides those that are there)")  # fmt: skip
    return order


def _given_notes(table: ClipTable, n_tasks: int) -> tuple[str, ...]:
    if table.class_orders and n_tasks > 1:
        return (
            f"the first task has {table.first_classes} classes, and the class order is one of "
            f"{len(table.class_orders)} published ones: order_seed takes them in turn",
        )
    if not table.order:
        return ()
    if len(table.order) == n_tasks:
        return ("tasks and their classes are the published ones: order_seed changes nothing",)
    return (f"{n_tasks} tasks are not the published {len(table.order)}: classes are ordered by order_seed",)


def _left_out(table: ClipTable, label: str) -> tuple[str, ...]:
    if label not in table.streamed:
        return ()
    frame = table.frame[~table.frame[label].isin(table.streamed[label])]
    if not len(frame):
        return ()
    counts = {split: int((frame["split"] == split).sum()) for split in ("train", "valid", "test")}
    trained = sorted(set(frame.loc[frame["split"].isin(("train", "valid")), label]))
    clips = f"{counts['train'] + counts['valid']:,} clips of {len(trained)} classes with training clips"
    return (
        f"left out of the stream of {label}s: {clips} ({counts['train']:,} of them for pre-training, "
        f"{counts['valid']:,} in held-out groups), and {counts['test']:,} test clips; "
        f"classes: {', '.join(sorted(set(frame[label])))}",
    )


def _check(table: ClipTable, label: str, n_tasks: int, order_seed: int, setting: str) -> None:
    for what, given, allowed in (("label", label, table.labels), ("setting", setting, SETTINGS)):
        if given not in allowed:
            raise ValueError(unknown(what, given, allowed))
    for what, number, least in (("tasks", n_tasks, 1), ("order_seed", order_seed, 0)):
        if isinstance(number, bool) or not isinstance(number, int | np.integer) or number < least:
            raise ValueError(f"{what} must be a whole number of at least {least}, not {number!r}")


def _order(
    streamed: pd.DataFrame, label: str, classes: Sequence[str], n_tasks: int, order_seed: int
) -> tuple[tuple[int, ...], ...]:
    rng = generator("class order", int(order_seed))
    blocks = _blocks(streamed, label, classes)
    if blocks is None:
        blocks = [[each] for each in range(len(classes))]
    ordered = [blocks[i] for i in rng.permutation(len(blocks))]
    units = [[block[i] for i in rng.permutation(len(block))] for block in ordered]
    if n_tasks > len(units):
        units = [[each] for block in units for each in block]
    return tuple(tuple(each for unit in part for each in unit) for part in _parts(units, n_tasks))


def _blocks(streamed: pd.DataFrame, label: str, classes: Sequence[str]) -> list[list[int]] | None:
    """Class ids by block, or None where there are no blocks or a class lies in more than one."""
    if "block" not in streamed:
        return None
    pairs = streamed[[label, "block"]].drop_duplicates()
    pairs = pairs[pairs[label].isin(classes)]
    if pairs[label].duplicated().any():
        return None
    ids = {name: number for number, name in enumerate(classes)}
    return [sorted(ids[name] for name in part[label]) for _, part in pairs.groupby("block", sort=True)]


def _experiences(
    table: ClipTable, label: str, classes: Sequence[str], order: Sequence[tuple[int, ...]], split: str
) -> tuple[Experience, ...]:
    rows = np.flatnonzero((table.frame["split"] == split).to_numpy() & _usable(table))
    ids = {name: number for number, name in enumerate(classes)}
    target = np.array([ids.get(name, -1) for name in table.frame[label].to_numpy()[rows]], dtype=np.int64)
    experiences: list[Experience] = []
    seen: tuple[int, ...] = ()
    for task, members in enumerate(order):
        seen += members
        mine = np.isin(target, members)
        experiences.append(Experience(task, members, seen, rows[mine].astype(np.int64), target[mine]))
    return tuple(experiences)


def _pretraining(table: ClipTable, label: str, setting: str, given: bool) -> tuple[Experience | None, tuple[str, ...]]:
    if setting != "pretrained":
        return None, ()
    chosen = (table.frame["split"] == "pretrain").to_numpy()
    if label in table.streamed:
        left_out = ~table.frame[label].isin(table.streamed[label]).to_numpy()
        chosen = chosen | left_out & (table.frame["split"] == "train").to_numpy()
    rows = np.flatnonzero(chosen & _usable(table)).astype(np.int64)
    if not len(rows) and given:
        return None, ()
    if not len(rows):
        raise ValueError(
            "setting 'pretrained' needs clips of the split 'pretrain' or of classes left out of the stream, and this "
            "benchmark has none with these options (python -m harness.list protocols tells which have; "
            "compressor.load=FILE brings a compressor along)"
        )
    names = table.frame[label].to_numpy()[rows]
    classes = tuple(sorted(set(names)))
    targets = np.searchsorted(np.array(classes), names.astype(str)).astype(np.int64)
    every = tuple(range(len(classes)))
    return Experience(-1, every, every, rows, targets, is_pretraining=True), classes


def _notes(
    streamed: pd.DataFrame, label: str, classes: Sequence[str], order: Sequence[Sequence[int]], fixed: bool
) -> tuple[str, ...]:
    notes = []
    sizes = [len(members) for members in order]
    if len(set(sizes)) > 1 and not fixed:
        listed = ", ".join(map(str, sizes))
        notes.append(f"{len(classes)} classes do not divide evenly by {len(order)} tasks: {listed} classes a task")
    if "block" in streamed:
        blocks = [streamed.loc[streamed[label].isin([classes[i] for i in m]), "block"].nunique() for m in order]
        if max(blocks) > 1:
            notes.append(
                f"a task holds up to {max(blocks)} of the {streamed['block'].nunique()} blocks, so it mixes what is "
                "otherwise peculiar to a block (on moving digits: background family, hue and polarity)"
            )
    notes += _shared_videos(streamed, label, classes, order)
    return (*notes, *_absent(streamed, label, classes))


def _absent(streamed: pd.DataFrame, label: str, classes: Sequence[str]) -> list[str]:
    notes = []
    for split in ("valid", "test"):
        have = set(streamed.loc[streamed["split"] == split, label])
        notes += _names(f"have {split} but no train clips and are not streamed", sorted(have - set(classes)))
        notes += _names(f"have train but no {split} clips", sorted(set(classes) - have))
    return notes


def _shared_videos(
    streamed: pd.DataFrame, label: str, classes: Sequence[str], order: Sequence[Sequence[int]]
) -> list[str]:
    """How many tasks a training video has clips of: where it is more than one, old videos come back in later tasks."""
    task = {classes[i]: number for number, members in enumerate(order) for i in members}
    trained = streamed.loc[streamed["split"] == "train", ["file", label]].drop_duplicates()
    tasks = trained[label].map(task).groupby(trained["file"]).nunique()
    if not tasks.mean() > 1.05:
        return []
    return [
        f"a training video holds clips of {tasks.mean():.1f} of the {len(order)} tasks on average "
        f"({int((tasks == 1).sum())} of {len(tasks)} videos of one task only): earlier data are gone in their labels, "
        "not in their pictures"
    ]


def _names(what: str, names: Sequence[str]) -> list[str]:
    shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
    return [f"{len(names)} classes {what}: {shown}"] if names else []
