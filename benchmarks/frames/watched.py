"""Work in watched processes: one that crashes, or says nothing for too long, is cut off, and only its work is lost."""

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from multiprocessing.connection import Connection, wait
from typing import Any

from benchmarks.frames.parallel import die_with_parent
from harness.common.processes import Spawn

Work = Callable[[Any], Iterator[Any]]
START_SECONDS = 60.0  # in which a process must have begun; a busy machine takes ten


def run(
    work: Work,
    jobs: Sequence[Any],
    workers: int,
    patience: float,
    on_message: Callable[[int, Any], None],
    on_end: Callable[[int], None],
    on_loss: Callable[[int, str], Any],
) -> None:
    """Carry out `for message in work(job)` of each job in one of `workers` processes.

    on_message(number of the job, message) hears every message, on_end(number) the end of a job. A process that
    crashes, or sends no message for `patience` seconds, is replaced; on_loss(number, why) gives the job to try in place
    of the lost one. An exception that `work` raises is raised here.
    """
    # Spawned, since a fork of a process that has threads (torch, decoders) can hang.
    context = Spawn()
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
                why = each.listen(on_message, patience)
                if why is None and each.job is not None:
                    continue
                if why is not None and each.job is not None:
                    waiting.append((each.job, on_loss(each.job, why)))
                else:
                    on_end(each.finished)
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
        self.finished, self.last_word = -1, 0.0
        self.has_begun = False

    def begin(self, number: int, job: Any) -> None:
        """Hand it the next job."""
        self.connection.send(job)
        self.job, self.last_word = number, time.monotonic()

    def listen(self, on_message: Callable[[int, Any], None], patience: float) -> str | None:
        """Pass on what it said; says why it is lost if it is. `job` is None once the job is done."""
        try:
            while self.job is not None and self.connection.poll():
                kind, content = self.connection.recv()
                self.last_word = time.monotonic()
                self.has_begun = True
                if kind == "failed":
                    raise content
                if kind == "done":
                    self.finished, self.job = self.job, None
                elif kind == "told":
                    on_message(self.job, content)
        except (EOFError, ConnectionError):
            self.process.join()
            if not self.has_begun:
                raise _not_started(_ending(self.process.exitcode)) from None
            return f"crashed ({_ending(self.process.exitcode)})"
        silent = time.monotonic() - self.last_word
        if not self.has_begun:  # it still imports, or runs a script that waits for what this process holds
            if silent > max(patience, START_SECONDS):
                raise _not_started(f"nothing heard for {silent:.0f} s")
            return None
        return (
            f"gave nothing for {silent:.0f} s and was cut off" if self.job is not None and silent > patience else None
        )

    def end(self) -> None:
        """Kill it, whatever it does."""
        self.connection.close()
        self.process.kill()
        self.process.join()


def _not_started(why: str) -> OSError:
    return OSError(f"no process could be started to decode in ({why})")


def _ending(code: int | None) -> str:
    try:
        return signal.Signals(-(code or 0)).name
    except ValueError:
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
