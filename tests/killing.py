"""Runs in processes of their own that are killed at random moments and carried out again, for tests and stress."""

import json
import multiprocessing
import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from harness.common.files import write_json
from harness.common.folders import RunFolder
from harness.config.compose import request
from harness.config.schema import PRELOAD
from harness.storage.record import comparable, differences
from tests.tiny import TINY

CONTEXT = multiprocessing.get_context("forkserver")
# Three experiences, and a checkpoint between any two steps.
SHORT = (*TINY, "benchmark.tasks=3", "classifier.steps=5", "compressor.steps=5", "checkpoint.minutes=1e-9")


def new_run(out: Path, method: str, *words: str) -> Path:
    """The folder of a run with its config.json, as a launcher gets it."""
    ((run_id, config),) = request([*SHORT, f"methods=[{method}]", f"out={out}", *words]).runs.items()
    folder = out / run_id
    folder.mkdir(parents=True)
    write_json(folder / "config.json", config.plain())
    return folder


def carry_out(folder: Path, dies_at: int | None = None) -> None:
    """What the process does; it kills itself when it is to put a file on the disk for the `dies_at`-th time."""
    from harness.launching.execution import execute
    from harness.launching.signals import Stop

    left, to_disk = [dies_at], os.fsync

    def count(file: Any) -> None:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        to_disk(file)

    if dies_at is not None:
        os.fsync = count
    with open(folder / "log.txt", "a") as log:
        os.dup2(log.fileno(), 2)
        execute(folder, lambda position: None, Stop().listen())


def started(folder: Path, dies_at: int | None = None) -> Any:
    """A process that carries the run out."""
    CONTEXT.set_forkserver_preload([*PRELOAD, "tests.killing"])
    process = CONTEXT.Process(target=carry_out, args=(folder, dies_at))  # it may have to decode: no daemon
    process.start()
    return process


def left_alone(folder: Path) -> dict[str, Any]:
    """Carry the run out to its end; its record."""
    process = started(folder)
    process.join()
    return record_of(folder)


def killed(folder: Path, kills: int, chance: random.Random, seconds: float) -> Counter:
    """Kill the run at random moments of a life of so many seconds, half of them while it saves; where they hit."""
    where: Counter = Counter()
    for _ in range(kills):
        saving = chance.random() < 0.5
        process = started(folder, chance.randint(1, 60) if saving else None)
        if saving:
            process.join()
        else:
            process.join(chance.uniform(0.0, seconds))
            if process.is_alive():
                os.kill(process.pid, signal.SIGKILL)
                process.join()
        where[place(folder, process, saving)] += 1
        if (folder / "record.json").exists():
            break
    return where


def place(folder: Path, process: Any, saving: bool) -> str:
    """In which part of the run a kill hit it, in words."""
    if process.exitcode != -signal.SIGKILL:
        return "done before the kill"
    if saving:
        return "while saving"
    position = RunFolder(folder).status().position
    return "before the first step" if position is None else f"in {position['phase']}"


def differ(folder: Path, reference: dict[str, Any]) -> list[str]:
    """How the run's record differs from that of the run left alone; its failure where it has none."""
    if not (folder / "record.json").exists():
        return [f"no record: {(folder / 'log.txt').read_text()[-2000:]}"]
    return differences(comparable(record_of(folder)), comparable(reference))


def record_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "record.json").read_text())


def seconds_of(folder: Path) -> tuple[dict[str, Any], float]:
    """The record of a run left alone, and how long it took."""
    begun = time.monotonic()
    return left_alone(folder), time.monotonic() - begun


@contextmanager
def small_disk(folder: Path, options: str) -> Iterator[None]:
    """A file system of its own; skips where none may be mounted."""
    folder.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, text=True)
    if made.returncode:
        pytest.skip(f"no small disk can be made here: {made.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", folder], check=True)
