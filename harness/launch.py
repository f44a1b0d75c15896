"""Launchers carry out runs whose folders hold config.json: a process a run (local), or all in this process (inline).

A launcher takes run folders and the `execution` part of the config; each run's outcome is in its status.json. It
returns the ids of runs that something else goes on with after the command (none for these two).
"""

import contextlib
import faulthandler
import fcntl
import json
import multiprocessing
import os
import signal
import socket
import sys
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from harness.config import nearest
from harness.progress import Display
from harness.record import write_json

SEND_SECONDS, STATUS_SECONDS = 0.2, 2.0
# Imported once for all runs; torch would import _dynamo (seconds of work) in each when its first optimiser is made.
PRELOAD = ["harness.train", "torch._dynamo", "benchmarks.moving_digits", "jsonschema"]
GRACE_SECONDS = 10  # between asking a run to stop and killing it
Launcher = Callable[[list[Path], dict[str, Any]], list[str]]


def find(name: str) -> Launcher:
    """The launcher called `name`; ValueError with the nearest name otherwise."""
    if name not in LAUNCHERS:
        raise ValueError(f"unknown launcher '{name}'{nearest(name, LAUNCHERS)} (known: {', '.join(LAUNCHERS)})")
    return LAUNCHERS[name]


def read_status(folder: Path) -> dict[str, Any]:
    """status.json of a run folder; a fresh one where there is none that can be read."""
    try:
        return json.loads((folder / "status.json").read_text())
    except (OSError, ValueError):
        return {"state": "queued", "heartbeat": time.time(), "position": None, "reason": None, "pid": None,
                "host": None, "started": None, "restarts": 0}  # fmt: skip


def write_status(folder: Path, **changes: Any) -> dict[str, Any]:
    """Change fields of status.json and its heartbeat."""
    status = read_status(folder) | {"heartbeat": time.time()} | changes
    write_json(folder / "status.json", status)
    return status


@contextlib.contextmanager
def taken(folder: Path) -> Iterator[bool]:
    """Hold a run's folder against other commands; yields False where another one holds it."""
    with open(folder / ".lock", "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


class Reporter:
    """The progress callback of one run: status.json now and then, and the display more often."""

    def __init__(self, folder: Path, show: Callable[[dict[str, Any]], None]):
        self.folder, self.show = folder, show
        self.shown = self.written = 0.0
        self.place: tuple[int, str] | None = None

    def __call__(self, position: dict[str, Any]) -> None:
        now, place = time.monotonic(), (position["experience"], position["phase"])
        if place != self.place or now - self.shown >= SEND_SECONDS:
            self.shown = now
            self.show(position)
        if place != self.place or now - self.written >= STATUS_SECONDS:
            self.written = now
            kept = {key: position[key] for key in ("experience", "phase", "step", "steps")}
            write_status(self.folder, position=kept)
        self.place = place


def execute(folder: Path, show: Callable[[dict[str, Any]], None]) -> Exception | None:
    """Carry out one run in this process and keep its status.json; what makes it fail is returned, its trace logged."""
    from harness import train

    with taken(folder) as mine:
        if not mine:
            return None  # another command is carrying it out
        before = read_status(folder)
        restarts = before["restarts"] + (before["started"] is not None)
        write_status(folder, state="running", reason=None, pid=os.getpid(), host=socket.gethostname(),
                     started=time.time(), restarts=restarts)  # fmt: skip
        try:
            train.run(json.loads((folder / "config.json").read_text()), folder, Reporter(folder, show))
        except Exception as error:
            with open(folder / "log.txt", "a") as log:
                traceback.print_exception(error, file=log)
            write_status(folder, state="failed", reason=reason_of(error))
            return error
        write_status(folder, state="done", reason=None)
        return None


def reason_of(error: Exception) -> str:
    """One line that says why a run failed."""
    text = " ".join(str(error).split())
    plain = isinstance(error, ValueError | FloatingPointError) and text
    return text if plain else f"{type(error).__name__}: {text}".rstrip(": ")


def inline(folders: list[Path], how: dict[str, Any]) -> list[str]:
    """All runs one after the other in this process, for debuggers; output stays on the screen."""
    with Display(names_of(folders)) as display:
        for folder in folders:
            display.start(folder.name)
            error = execute(folder, lambda position, name=folder.name: display.update(name, position))
            if error is not None and how["debug"]:
                traceback.print_exception(error)
            status = read_status(folder)
            display.finish(folder.name, status["state"], status["reason"])
    return []


def local(folders: list[Path], how: dict[str, Any]) -> list[str]:
    """A process a run, `workers` at a time; one that fails or is killed leaves the others alone."""
    # Before the server starts: torch reads these when it is imported.
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(how["threads"])
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    waiting, active = deque(folders), {}
    with Display(names_of(folders)) as display, stopped_by_signals():
        try:
            while waiting or active:
                while waiting and len(active) < how["workers"]:
                    process, pipe = _start(context, waiting[0])
                    active[pipe] = (process, waiting.popleft())
                    display.start(process.name)
                for pipe in wait(list(active), timeout=1.0):
                    process, folder = active[pipe]
                    try:
                        display.update(process.name, pipe.recv())
                    except EOFError:
                        del active[pipe]
                        status = _outcome(process, folder)
                        display.finish(process.name, status["state"], status["reason"])
        finally:
            _stop([entry for entry in active.values()])
    return []


def _start(context: Any, folder: Path) -> tuple[Any, Connection]:
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(folder, theirs), name=folder.name)
    process.start()
    theirs.close()  # so that the end of the process is the end of the pipe
    return process, ours


def _child(folder: Path, pipe: Connection) -> None:
    """A run in a process of its own, with all that it prints in log.txt."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the command stops its runs itself
    log = open(folder / "log.txt", "a", buffering=1)  # noqa: SIM115  open as long as the process
    for stream in (1, 2):
        os.dup2(log.fileno(), stream)
    sys.stdout = sys.stderr = log
    faulthandler.enable(log)

    def show(position: dict[str, Any]) -> None:
        try:
            pipe.send(position)
        except OSError:
            # Nobody is there to stop this run any more.
            write_status(folder, state="preempted", reason="the command that started the run is gone")
            os._exit(1)

    execute(folder, show)


def _outcome(process: Any, folder: Path) -> dict[str, Any]:
    """The status of a run whose process has ended; says how the process died if it could not say so itself."""
    process.join()
    status, code = read_status(folder), process.exitcode
    if status["state"] not in ("queued", "running") or (status["state"] == "running" and status["pid"] != process.pid):
        return status
    if code is not None and code < 0:
        reason = f"killed by signal {-code} ({signal.strsignal(-code)})"
    else:
        reason = f"its process ended with exit code {code} before the run was done"
    return write_status(folder, state="failed", reason=reason)


def _stop(active: list[tuple[Any, Path]]) -> None:
    for process, _ in active:
        process.terminate()
    deadline = time.monotonic() + GRACE_SECONDS
    for process, folder in active:
        process.join(max(deadline - time.monotonic(), 0.1))
        if process.exitcode is None:
            process.kill()
            process.join()
        if read_status(folder)["state"] in ("queued", "running"):
            write_status(folder, state="preempted", reason="stopped before it was done; the same command continues it")


@contextlib.contextmanager
def stopped_by_signals() -> Iterator[None]:
    """SIGTERM and SIGHUP end the command as Ctrl-C does, so that no run outlives it."""

    def interrupt(number: int, frame: Any) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def names_of(folders: list[Path]) -> dict[str, str]:
    """Run id -> short name for the screen: the run id without its hash."""
    return {folder.name: folder.name.rpartition("-")[0] for folder in folders}


LAUNCHERS: dict[str, Launcher] = {"local": local, "inline": inline}
