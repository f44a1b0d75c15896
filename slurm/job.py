"""What goes on inside a Slurm job: a command carries out run folders. If interrupted, it saves and is queued again."""

import contextlib
import json
import math
import os
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from submitit.core.utils import DelayedSubmission

from harness.common.folders import OVER, RunFolder

INTERRUPTED = (os.EX_TEMPFAIL, -signal.SIGTERM, -signal.SIGUSR2)
SAVE_SECONDS = 75  # for the command to save and end; Slurm gives 90 s
END_SECONDS = 60  # from SIGTERM to SIGUSR2, or to the end of the job
WARNED_SECONDS = 240  # at most: from the warning of a time-out to the end of the job, plus from its start to ours
STUCK_AFTER = 3


class RunFolders:
    """submitit calls this in the job with a list of run folders, and `checkpoint` when Slurm wants the job to end.

    Each run continues from its own checkpoint, so only the list of unfinished runs is queued again. If a job times out
    3 times at the same place of a run, that run fails and the others go on.
    """

    def __init__(self, command: Sequence[str], minutes: float, place: str = "", times: int = 0):
        self.command, self.minutes, self.place, self.times = list(command), minutes, place, times
        self.process: subprocess.Popen[bytes] | None = None
        self.begun = math.inf

    def __call__(self, folders: list[str]) -> None:
        if not folders:
            return
        self.begun = time.monotonic()
        self.process = subprocess.Popen([*self.command, *folders])
        while (code := self._exit_code()) is None:
            time.sleep(0.2)
        if code in INTERRUPTED:
            # On pre-emption Slurm sends SIGTERM first. Wait: Slurm queues the job again itself, or SIGUSR2 follows.
            time.sleep(END_SECONDS)
        if code:
            raise RuntimeError(f"{len(unfinished(folders))} of {len(folders)} runs wait, exit code {code}")

    def checkpoint(self, folders: list[str]) -> DelayedSubmission | None:
        """Make the running command save, and return the work that is left; None if nothing is left to try."""
        if self.process is not None and self._exit_code() is None:
            self.process.send_signal(signal.SIGUSR2)
            deadline = time.monotonic() + SAVE_SECONDS
            while self._exit_code() is None and time.monotonic() < deadline:
                time.sleep(0.1)
        left = unfinished(folders)
        place = json.dumps([(folder, RunFolder(Path(folder)).status().position) for folder in left[:1]])
        times = self.times if place == self.place else 0
        if left and time.monotonic() - self.begun > 60 * self.minutes - WARNED_SECONDS:  # no pre-emption, a time-out
            times += 1
        if times >= STUCK_AFTER:
            why = f"interrupted {times} times without a step between; give it more minutes"
            RunFolder(Path(left[0])).mark("failed", why)
            left, times = left[1:], 0
            if not left:
                return None
        return DelayedSubmission(RunFolders(self.command, self.minutes, place, times), left)

    def _exit_code(self) -> int | None:
        if self.process is None:
            return None
        # Popen is not re-entrant, and the handler of SIGUSR2 polls too, so the signal has to wait.
        with blocked(signal.SIGUSR2):
            return self.process.poll()


def unfinished(folders: Sequence[str]) -> list[str]:
    """The folders whose runs are neither done nor failed."""
    return [folder for folder in folders if RunFolder(Path(folder)).state() not in OVER]


@contextlib.contextmanager
def blocked(number: int) -> Iterator[None]:
    """While this lasts, a signal is held back."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {number})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
