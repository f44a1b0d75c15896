"""One run, carried out in this process: its lease, its status.json, and one line that says why it failed."""

import bdb
import contextlib
import json
import os
import socket
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.common.files import read_json, text_of
from harness.common.folders import RunFolder
from harness.config.run_config import RunConfig
from harness.launching.signals import Interrupted, Stop
from harness.storage.lease import Lost, described, taken

SEND_SECONDS, STATUS_SECONDS = 0.2, 2.0


def execute(
    folder: Path, show: Callable[[dict[str, Any]], None], stop: Stop | None = None
) -> Exception | Interrupted | None:
    """Carry out one run in this process and keep its status.json. Returns the error if it fails, and logs the trace.

    When `stop` says so, the run is saved between two steps, and its state is then preempted.
    """
    try:
        config = read_config(folder)
        minutes = config.execution.lock.stale_minutes
    except ValueError as error:
        note(folder, state="failed", reason=str(error))
        return error
    with contextlib.ExitStack() as stack:
        try:
            lock = stack.enter_context(taken(folder, minutes))
        except OSError as error:  # a full disk
            note(folder, state="failed", reason=reason_of(error))
            return error
        if lock is None:
            print(f"{folder.name} is left to {described(read_json(folder / 'lock'))}", file=sys.stderr)
            return None
        stack.enter_context(lock.beating())
        return _carry_out(config, folder, Reporter(folder, show, lock.check), stop)


def _carry_out(
    config: RunConfig, folder: Path, reporter: "Reporter", stop: Stop | None
) -> Exception | Interrupted | None:
    from harness.training.execute import run

    before = RunFolder(folder).status()
    restarts = before.restarts + (before.started is not None)
    note(folder, state="running", reason=None, pid=os.getpid(), host=socket.gethostname(), started=time.time(),
         restarts=restarts)  # fmt: skip
    try:
        run(config, folder, reporter, stop)
    except Interrupted as error:
        note(folder, state="preempted", reason=str(error))
        return error
    except KeyboardInterrupt:
        note(folder, state="preempted", reason="stopped by Ctrl-C; the same command continues it")
        raise
    except Lost as error:
        print(f"{folder.name}: {error}", file=sys.stderr)
        return error
    except Exception as error:
        with contextlib.suppress(OSError), open(folder / "log.txt", "a") as log:
            traceback.print_exception(error, file=log)
        note(folder, state="failed", reason=reason_of(error))
        return error
    note(folder, state="done", reason=None)
    return None


class Reporter:
    """The progress callback of one run: status.json now and then, and the display more often."""

    def __init__(self, folder: Path, show: Callable[[dict[str, Any]], None], check: Callable[[], None]):
        """`check` raises if another process has taken the run over."""
        self.folder, self.show, self.check = folder, show, check
        self.shown = self.written = 0.0
        self.place: tuple[int, str] | None = None
        self.first: int | None = None  # the experience that this process began with

    def __call__(self, position: dict[str, Any]) -> None:
        self.check()
        now, place = time.monotonic(), (position["experience"], position["phase"])
        if place != self.place or now - self.shown >= SEND_SECONDS:
            self.shown = now
            self.show(position)
        if place != self.place or now - self.written >= STATUS_SECONDS:
            self.written = now
            self.first = position["experience"] if self.first is None else self.first
            kept = {key: position[key] for key in ("experience", "n_experiences", "phase", "step", "steps")}
            note(self.folder, position={**kept, "first": self.first})
        self.place = place


def reason_of(error: Exception) -> str:
    """One line that says why a run failed."""
    if isinstance(error, bdb.BdbQuit):
        return "it stopped at a breakpoint and nobody answered: use launcher=inline, with debug=true for full traces"
    text = " ".join(str(error).split())
    plain = isinstance(error, ValueError | FloatingPointError) and text
    return text if plain else f"{type(error).__name__}: {text}".rstrip(": ")


def note(folder: Path, **changes: Any) -> None:
    """Change status.json, but never raise. If the disk is full, overwrite the old file in place."""
    run = RunFolder(folder)
    try:
        run.write_status(**changes)
    except OSError as error:
        print(f"{run.status_file} cannot be written beside: {error}", file=sys.stderr)
        with contextlib.suppress(OSError), open(run.status_file, "r+") as opened:
            opened.write(text_of(run.changed(**changes)))
            opened.truncate()


def read_config(folder: Path) -> RunConfig:
    """What config.json of a run folder asks for; ValueError if it is no config of a run."""
    file = folder / "config.json"
    try:
        return RunConfig.of(json.loads(file.read_text()))
    except (OSError, ValueError) as error:
        raise ValueError(f"{file} cannot be read: {error}") from error
