"""launcher=local: one process per run, so that a run that fails or is killed leaves the others alone."""

import dataclasses
import faulthandler
import importlib
import multiprocessing
import os
import signal
import sys
import time
from collections import deque
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, cast

from harness.common.folders import RunFolder, Status
from harness.common.machine import slots
from harness.common.processes import ForkServer
from harness.config.run_config import Execution
from harness.config.schema import PRELOAD
from harness.launching.execution import execute, note, read_config
from harness.launching.launcher import Launcher
from harness.launching.progress import Display, names_of
from harness.launching.signals import Stop, stopped_by_signals

# Between asking a run to stop and killing it; Slurm warns a job 90 s before its end.
GRACE_SECONDS, JOB_GRACE_SECONDS = 10, 60


class Local(Launcher):
    """One process per run, `workers` at a time."""

    def start(self, folders: list[Path], how: Execution) -> list[str]:
        set_threads(how.threads)
        context = ForkServer()
        context.set_forkserver_preload(PRELOAD)
        gpus = slots(how.device, how.runs_per_gpu)
        carry_out(folders, context, how.workers, GRACE_SECONDS, gpus)
        return []


def carry_out_in_job(folders: list[Path]) -> None:
    """Carry out runs in a job that Slurm may end: one at a time, or so many on each GPU of the job.

    A signal may reach each process of the job.

    The runs are forked from this process. A fork server in between would die of the signal, and the runs with it.
    """
    how = execution_of(folders[0])
    set_threads(how.threads if how else 1)
    for module in PRELOAD:
        importlib.import_module(module)
    gpus = slots(how.device, how.runs_per_gpu) if how else []
    carry_out(folders, multiprocessing.get_context("fork"), max(1, len(gpus)), JOB_GRACE_SECONDS, gpus)


def execution_of(folder: Path) -> Execution | None:
    """How a run is carried out; None if the config cannot be read, which the run itself then reports."""
    try:
        return read_config(folder).execution
    except ValueError:
        return None


def set_threads(number: int) -> None:
    """Set the number of threads. Call this before torch is imported, because torch reads the variables then."""
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(number)


def carry_out(folders: list[Path], context: Any, workers: int, grace: float, gpus: list[str]) -> None:
    """Carry out runs, each in its own process and on one of the `gpus`, if there are any.

    After an interrupt they have `grace` seconds to save.
    """
    waiting = deque(folders)
    active: dict[Connection, tuple[Any, Path]] = {}  # pipe -> its process and run
    taken: dict[Connection, str] = {}  # pipe -> its GPU
    with Display(names_of(folders)) as display, stopped_by_signals():
        try:
            while waiting or active:
                while waiting and len(active) < workers:
                    gpu = min(gpus, key=list(taken.values()).count) if gpus else None
                    process, pipe = _start(context, waiting[0], gpu)
                    active[pipe] = (process, waiting.popleft())
                    taken |= {pipe: gpu} if gpu else {}
                    display.start(process.name)
                for ready in cast("list[Connection]", wait(list(active), timeout=1.0)):
                    process, folder = active[ready]
                    try:
                        display.update(process.name, ready.recv())
                    except EOFError:
                        del active[ready]
                        taken.pop(ready, None)
                        status = _outcome(process, folder)
                        display.finish(process.name, status.state, status.reason)
        finally:
            _stop(list(active.values()), grace)


def _start(context: Any, folder: Path, gpu: str | None) -> tuple[Any, Connection]:
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(folder, theirs, ours, gpu), name=folder.name)
    process.start()
    theirs.close()  # so that the end of the process is the end of the pipe
    return process, ours


def _child(folder: Path, pipe: Connection, other_end: Connection, gpu: str | None) -> None:
    """Carry out a run in its own process, which sees one GPU at most. All that it prints goes to log.txt."""
    if gpu:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpu  # before anything asks CUDA, which reads it once
    other_end.close()  # so that sending fails when the command is gone
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
            note(folder, state="preempted", reason="the command that started the run is gone")
            os._exit(1)

    if execute(folder, show, Stop().listen()) is not None:
        sys.exit(os.EX_TEMPFAIL)


def _outcome(process: Any, folder: Path) -> Status:
    """The status of a run whose process has ended. If the process could not write it, say how the process died."""
    process.join()
    status, code = RunFolder(folder).status(), process.exitcode
    if status.state not in ("queued", "running") or (status.state == "running" and status.pid != process.pid):
        return status
    if code is not None and code < 0:
        reason = f"killed by signal {-code} ({signal.strsignal(-code)})"
    else:
        reason = f"its process ended with exit code {code} before the run was done"
    note(folder, state="failed", reason=reason)
    return dataclasses.replace(status, state="failed", reason=reason)


def _stop(active: list[tuple[Any, Path]], grace: float) -> None:
    for process, _ in active:
        process.terminate()
    deadline = time.monotonic() + grace
    for process, folder in active:
        process.join(max(deadline - time.monotonic(), 0.1))
        if process.exitcode is None:
            process.kill()
            process.join()
        if RunFolder(folder).status().state in ("queued", "running"):
            note(folder, state="preempted", reason="stopped before it was done; the same command continues it")
