"""What a command would do, worked out without videos: runs, tasks, classes, clips, steps, bytes of a stored clip."""

import json
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from harness.context import Context
from harness.data import CurrentExperience
from harness.train import merged
from methods.base import Method


@dataclass(frozen=True)
class Group:
    """Runs that differ in nothing but their seeds, with what they are made of and one fresh method."""

    runs: dict[str, dict[str, Any]]
    context: Context
    method: Method


def groups(runs: dict[str, dict[str, Any]]) -> list[Group]:
    """All runs by group. Builds a method of each, so ValueError tells of settings or budgets that cannot work."""
    alike: dict[str, dict[str, Any]] = {}
    for run_id, config in runs.items():
        key = json.dumps({k: v for k, v in config.items() if k not in ("seed", "order_seed", "execution")})
        alike.setdefault(key, {})[run_id] = config
    return [_group(some) for some in alike.values()]


def _group(runs: dict[str, dict[str, Any]]) -> Group:
    config = next(iter(runs.values()))
    context = Context(config, frames=False)
    context.spec = replace(context.spec, device="cpu")
    name = config["method"]["name"]
    try:
        with torch.random.fork_rng(devices=[]):
            return Group(runs, context, context.method())
    except ValueError:
        raise
    except Exception as error:
        if config["execution"]["debug"]:
            raise
        raise ValueError(
            f"method {name} cannot be made: {type(error).__name__}: {error} (debug=true: trace)"
        ) from error


def print_plan(runs: dict[str, dict[str, Any]], console: Console | None = None) -> None:
    """A row for each group of runs, then what is special about their streams."""
    console = console or Console(highlight=False)
    if not console.is_terminal:
        console = Console(file=console.file, highlight=False, width=220)
    table = Table(title=f"{len(runs)} runs", title_justify="left")
    for name in ("runs", "method", "protocol", "label", "tasks", "classes", "train clips", "evaluated clips",
                 "steps a run", "budget", "bytes a stored clip", "clips that fit"):  # fmt: skip
        table.add_column(name, no_wrap=name == "method")
    notes: dict[str, None] = {}
    grouped = groups(runs)
    for group in grouped:
        table.add_row(*_row(group))
        notes |= dict.fromkeys((*group.context.benchmark.notes, *group.context.stream.notes))
    console.print(table)
    for group in grouped:
        console.print(f"{group.method.name}: {_kept(group)}", markup=False)
    for note in notes:
        console.print(f"note: {note}", markup=False)
    for run_id in runs:
        console.print(f"  {run_id}", markup=False)


def _row(group: Group) -> list[str]:
    context, config = group.context, group.context.config
    stream, budget = context.stream, config["memory"]["budget"]
    clips = [sum(len(e.indices) for e in part) for part in (stream.train_stream, context.items())]
    steps = ", ".join(f"{name} {n:,}" for name, n in _steps(group).items()) or "-"
    counted = "none" if budget is None or group.method.bound else f"{budget:,} B {config['memory']['count']}"
    settings = group.method.settings
    own = ",".join(f"{k}={v}" for k, v in config["method"]["settings"].items() if v != getattr(type(settings)(), k))
    return [str(len(group.runs)), group.method.name + (f" {own}" if own else ""), config["protocol"], config["label"],
            str(stream.n_experiences), str(stream.n_classes), f"{clips[0]:,}", f"{clips[1]:,}", steps, counted,
            *_stored(group.method, context.spec.raw_bytes)]  # fmt: skip


def _steps(group: Group) -> dict[str, int]:
    """Steps of each phase that has a fixed number of them, over all experiences."""
    context, method = group.context, group.method
    stream, n = context.stream, context.stream.n_experiences
    parts = [(merged(stream), n)] if method.joint else [(e, 1) for e in stream.train_stream]
    parts = [*([] if stream.pretraining is None else [(stream.pretraining, 1)]), *parts]
    steps: dict[str, int] = {}
    for number, (part, count) in enumerate(parts):
        experience = CurrentExperience(part, n, context.clips(part), opens_run=number == 0, n_merged=count)
        for phase in method.phases(experience):
            if phase.steps is not None:
                steps[phase.name] = steps.get(phase.name, 0) + phase.steps * count
    return steps


def _kept(group: Group) -> str:
    """How many clips and hours of the stream the method holds at its end, as its buffer says beside all else."""
    context, buffer = group.context, getattr(group.method, "buffer", None)
    rows = np.concatenate([e.indices for e in context.stream.train_stream])
    hours = context.table.hours[rows]
    total = f"{len(rows):,} clips, {hours.sum():.2f} h of video" if np.isfinite(hours).all() else f"{len(rows):,} clips"
    if buffer is None:
        return f"keeps none of {total}"
    if group.method.bound or not hasattr(buffer, "rows"):
        return f"keeps all of {total}" if group.method.bound else f"keeps what its bytes allow of {total}"
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
