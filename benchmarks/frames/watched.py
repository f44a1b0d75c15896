"""Work in watched processes: one that crashes, or says nothing for too long, is cut off, and only its work is lost."""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any

from benchmarks.frames.parallel import die_with_parent

Work = Callable[[Any], Iterator[Any]]
START_SECONDS = 60.0  # in which a process must have begun; a busy machine takes ten


def run(
    work: Work,
    jobs: Sequence[Any],
    workers: int,
    patience: float,
    told: Callable[[int, Any], None],
    done: Callable[[int], None],
    lost: Callable[[int, str], Any],
) -> None:
    """Carry out `for message in work(job)` of each job in one of `workers` processes.

    told(number of the job, message) hears every message, done(number) the end of a job. A process that crashes, or
    sends no message for `patience` seconds, is replaced; lost(number, why) gives the job to try in place of the lost
    one. An exception that `work` raises is raised here.
    """
    # Spawned, since a fork of a process that has threads (torch, decoders) can hang.
    context = multiprocessing.get_context("spawn")
    waiting = list(enumerate(jobs))[::-1]
    running: list[_Process] = []
    try:
        while waiting or running:
            while waiting and len(running) < max(1, workers):
                idle = _Process(context, work)
                running.append(idle)
                idle.begin(*waiting.pop())
            wait([each.connection for each in running], timeout=min(1.0, patience / 4))
            for each in list(running):
                why = each.listen(told, patience)
                if why is None and each.job is not None:
                    continue
                if why is not None:
                    waiting.append((each.job, lost(each.job, why)))
                else:
                    done(each.finished)
                if why is None and waiting:
                    each.begin(*waiting.pop())
                else:
                    running.remove(each)
                    each.end()
    finally:
        for each in running:
            each.end()


class _Process:
    """A process at work on one job after the other."""

    def __init__(self, context: Any, work: Work) -> None:
        self.connection, there = context.Pipe()
        self.process = context.Process(target=_serve, args=(there, work), daemon=True)
        self.process.start()
        there.close()
        self.job: int | None = None
        self.begun = False

    def begin(self, number: int, job: Any) -> None:
        self.connection.send(job)
        self.job, self.heard = number, time.monotonic()

    def listen(self, told: Callable[[int, Any], None], patience: float) -> str | None:
        """Pass on what it said; says why it is lost if it is. `job` is None once the job is done."""
        try:
            while self.job is not None and self.connection.poll():
                kind, content = self.connection.recv()
                self.heard = time.monotonic()
                self.begun = True
                if kind == "failed":
                    raise content
                if kind == "done":
                    self.finished, self.job = self.job, None
                elif kind == "told":
                    told(self.job, content)
        except (EOFError, ConnectionError):
            self.process.join()
            if not self.begun:
                raise _not_started(_ending(self.process.exitcode)) from None
            return f"crashed ({_ending(self.process.exitcode)})"
        silent = time.monotonic() - self.heard
        if not self.begun:  # it still imports, or runs a script that waits for what this process holds
            if silent > max(patience, START_SECONDS):
                raise _not_started(f"nothing heard for {silent:.0f} s")
            return None
        return (
            f"gave nothing for {silent:.0f} s and was cut off" if self.job is not None and silent > patience else None
        )

    def end(self) -> None:
        self.connection.close()
        self.process.kill()
        self.process.join()


def _not_started(why: str) -> OSError:
    return OSError(
        f"no process could be started to decode in ({why}); a script must do this under `if __name__ == '__main__':`"
    )


def _ending(code: int | None) -> str:
    try:
        return signal.Signals(-code).name
    except (TypeError, ValueError):
        return f"exit code {code}"


def _serve(connection: Connection, work: Work) -> None:
    die_with_parent()
    connection.send(("begun", None))  # imports and start-up are not the decoder's silence
    while True:
        try:
            job = connection.recv()
        except EOFError:
            os._exit(0)
        try:
            for message in work(job):
                connection.send(("told", message))
            connection.send(("done", None))
        except Exception as error:
            connection.send(("failed", error))
