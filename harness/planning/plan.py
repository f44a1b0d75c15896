"""What a command would do, worked out without videos: runs, tasks, classes, clips, steps, bytes of a stored clip."""

import json
from dataclasses import dataclass, replace

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from harness.common.units import bytes_text
from harness.config.compose import benchmark_of
from harness.config.run_config import RunConfig
from harness.planning import speed
from harness.training.context import Context
from harness.training.experiences import CurrentExperience, merged
from methods.contract import Method
from results.pooling import flatten, value_text

WIDTH = 100  # columns of a plan that goes to a file or a pipe


@dataclass(frozen=True)
class Group:
    """Runs that differ in nothing but their seeds, with what they are made of and one fresh method."""

    runs: dict[str, RunConfig]
    context: Context
    method: Method


def groups(runs: dict[str, RunConfig]) -> list[Group]:
    """All runs by group. Builds a method of each, so ValueError tells of settings or budgets that cannot work."""
    alike: dict[str, dict[str, RunConfig]] = {}
    for run_id, config in runs.items():
        key = json.dumps({k: v for k, v in config.plain().items() if k not in ("seed", "order_seed", "execution")})
        alike.setdefault(key, {})[run_id] = config
    return [_group(some) for some in alike.values()]


def _group(runs: dict[str, RunConfig]) -> Group:
    config = next(iter(runs.values()))
    context = Context(config, benchmark_of(config))
    context.spec = replace(context.spec, device="cpu")
    name = config.method.name
    try:
        with torch.random.fork_rng(devices=[]):
            return Group(runs, context, context.method())
    except ValueError:
        raise
    except Exception as error:
        if config.execution.debug:
            raise
        raise ValueError(
            f"method {name} cannot be made: {type(error).__name__}: {error} (debug=true: trace)"
        ) from error


def print_plan(runs: dict[str, RunConfig], console: Console | None = None) -> None:
    """A table a stream with a row for each group of runs, what is special about the streams, and the run ids."""
    console = console or Console(highlight=False)
    if not console.is_terminal:
        console = Console(file=console.file, highlight=False, width=WIDTH)
    found = groups(runs)
    differing = _differing(found)
    whole = any(group.context.config.execution.debug for group in found)
    console.print(f"{len(runs)} runs")
    streams: dict[str, list[Group]] = {}
    for group in found:
        streams.setdefault(_stream(group), []).append(group)
    for stream, members in streams.items():
        table = Table(title=stream, title_justify="left", title_style="")
        for name in ("runs", "method", "steps a run", "budget", "bytes a\nstored clip", "clips\nthat fit"):
            table.add_column(name)
        for group in members:
            table.add_row(*_row(group, differing))
        console.print(table)
        for line in dict.fromkeys(f"{group.method.name}: {_kept(group)}" for group in members):
            console.print(line, markup=False, soft_wrap=True)
        console.print(_tasks(members[0]))
        for line in dict.fromkeys([*_decoding(members[0]), *(_hours(group) for group in members)]):
            console.print(line, markup=False)
    notes = dict.fromkeys(note for g in found for note in (*g.context.benchmark.notes, *g.context.stream.notes))
    for text in (*(f"note: {note if whole else shortened(note)}" for note in notes), *_listed(list(runs), whole)):
        console.print(text, markup=False, soft_wrap=True)


def shortened(note: str, most: int = 5) -> str:
    """A note whose list of names, after its last colon, goes on beyond `most` of them: the first, and how many more."""
    head, colon, listed = note.rpartition(": ")
    names = listed.split(", ")
    if not colon or len(names) <= 2 * most:
        return note
    return f"{head}: {', '.join(names[:most])} and {len(names) - most} more (debug=true prints all)"


def _listed(names: list[str], whole: bool, most: int = 40) -> list[str]:
    """A line a run id; the first and how many more where there are many."""
    if whole or len(names) <= most:
        return [f"  {name}" for name in names]
    return [*(f"  {name}" for name in names[:5]), f"and {len(names) - 5} more runs (debug=true prints all)"]


def _stream(group: Group) -> str:
    """What is learnt: protocol, benchmark, label, setting, and how much of each part."""
    context, config = group.context, group.context.config
    clips = [sum(len(e.indices) for e in part) for part in (context.stream.train_stream, context.items())]
    return (
        f"{config.protocol} ({config.benchmark.name}, {config.label}, {config.setting}): "
        f"{context.stream.n_experiences} tasks, {context.stream.n_classes} classes, {clips[0]:,} training clips, "
        f"{clips[1]:,} {config.evaluate} clips"
    )


def _differing(found: list[Group]) -> list[str]:
    """Settings other than the method's own, the stream's and the budget in which the groups differ."""
    flats = [flatten(group.context.config.plain()) for group in found]
    told = ("method.", "benchmark.", "memory.", "protocol", "label", "setting", "evaluate", "plugins")
    keys = dict.fromkeys(key for flat in flats for key in flat if not key.startswith(told))
    return [key for key in keys if len({flat.get(key) for flat in flats}) > 1]


def _row(group: Group, differing: list[str]) -> list[str]:
    config, method = group.context.config, group.method
    budget = config.memory.budget
    steps = "\n".join(f"{name} {n:,}" for name, n in _steps(group).items()) or "-"
    counted = "none" if budget is None or method.bound else f"{budget:,} B\n{config.memory.count}"
    flat = flatten(config.plain())
    own = [f"{k}={v}" for k, v in config.method.settings.items() if v != getattr(type(method.settings)(), k)]
    own += [f"{key}={value_text(key, flat[key])}" for key in differing if key in flat]
    return [str(len(group.runs)), "\n".join([method.name, *own]), steps, counted,
            *_stored(method, group.context.spec.raw_bytes)]  # fmt: skip


def _steps(group: Group) -> dict[str, int]:
    """Steps of each phase that has a fixed number of them, over all experiences."""
    context, method = group.context, group.method
    stream, n = context.stream, context.stream.n_experiences
    parts = [(merged(stream), n)] if method.joint else [(e, 1) for e in stream.train_stream]
    parts = [*([] if stream.pretraining is None else [(stream.pretraining, 1)]), *parts]
    if method.opaque:
        return speed.steps_of_opaque(context)
    steps: dict[str, int] = {}
    for number, (part, count) in enumerate(parts):
        experience = CurrentExperience(part, n, context.clips(part), opens_run=number == 0, n_merged=count)
        for phase in method.phases(experience):
            if phase.steps is not None:
                steps[phase.name] = steps.get(phase.name, 0) + phase.steps * count
    return steps


def _tasks(group: Group) -> Table:
    """A row a task: classes, training segments, the videos they lie in, clips, hours; and the evaluated segments."""
    context, config = group.context, group.context.config
    table = Table(title=f"tasks with order_seed={config.order_seed}", title_justify="left", title_style="")
    for name in ("task", "classes", "segments", "videos", "clips", "hours", f"{config.evaluate} segments"):
        table.add_column(name, justify="right")
    of, files = context.table, context.table.frame["file"]
    for train, items in zip(context.stream.train_stream, context.items(), strict=True):
        rows, hours = train.indices, of.hours[train.indices].sum()
        counts = (len(np.unique(of.items[rows])), files.iloc[rows].nunique(), len(rows))
        table.add_row(str(train.current_experience + 1), str(len(train.classes_in_this_experience)),
                      *(f"{n:,}" for n in counts), f"{hours:.2f}" if np.isfinite(hours) else "-",
                      f"{len(np.unique(of.items[items.indices])):,}")  # fmt: skip
    return table


def _hours(group: Group) -> str:
    """What a run takes on this machine, as far as the steps of its networks were measured here."""
    context, method = group.context, group.method
    seconds = speed.known(context)
    profile = context.config.profile
    if seconds is None:
        return ("hours: not measured for these networks on this machine; python -m harness.bench only=models "
                f"profile={profile} (with the other settings of this command) does it")  # fmt: skip
    hours = speed.hours(context, method, _steps(group), seconds)
    return f"{method.name}: about {hours:,.2f} h a run on this machine (an estimate from harness.bench; videos apart)"


def _decoding(group: Group) -> list[str]:
    """The disk and the hours that `python -m benchmarks.prepare` needs, where frames are still to be decoded."""
    todo = group.context.benchmark.decoding
    if todo is None:
        return []
    hours = "hours unknown without the videos" if todo.hours is None else f"about {todo.hours:,.2f} core-hours"
    return [
        f"to decode once (benchmarks.prepare): {todo.clips:,} clips, about {bytes_text(todo.bytes)} of disk, {hours}"
    ]


def _kept(group: Group) -> str:
    """How many clips and hours of the stream the method holds at its end, as its buffer says beside all else."""
    context, buffer = group.context, getattr(group.method, "buffer", None)
    rows = np.concatenate([e.indices for e in context.stream.train_stream])
    hours = context.table.hours[rows]
    total = f"{len(rows):,} clips, {hours.sum():.2f} h of video" if np.isfinite(hours).all() else f"{len(rows):,} clips"
    if group.method.bound:
        return f"has all of {total}"
    if buffer is None:
        return f"keeps none of {total}"
    if not hasattr(buffer, "rows"):
        return f"keeps what its bytes allow of {total}"
    kept = min(buffer.capacity, len(rows))
    if kept == len(rows):
        return f"keeps all of {total}: its budget does not bind"
    share = kept / len(rows)
    spans = f", about {hours.sum() * share:.2f} h" if np.isfinite(hours).all() else ""
    return f"keeps {kept:,} clips{spans}, {share:.1%} of {total}"


def _stored(method: Method, raw_bytes: int) -> tuple[str, str]:
    """Bytes of one stored clip (beside 8 for label and id) and how many fit, as the method's buffer says."""
    buffer = getattr(method, "buffer", None)
    if buffer is None:
        return "-", "-"
    rows = getattr(buffer, "rows", None)
    if rows is None:
        return "varies", "as bytes allow"
    size = f"{rows.row_bytes:,} ({raw_bytes / rows.row_bytes:.3g}x)"
    return size, "all" if method.bound else f"{buffer.capacity:,}"
