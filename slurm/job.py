"""What goes on inside a Slurm job: a command carries out run folders; interrupted, it saves and is queued again."""

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
SAVE_SECONDS = 75  # for the command to save and end, out of the 90 s that Slurm gives
END_SECONDS = 60  # from SIGTERM to the signal that says what it was for, or the end of the job
WARNED_SECONDS = 240  # at most from the warning of a time-out to the end of the job, and from its start to ours
STUCK_AFTER = 3


class RunFolders:
    """Called by submitit in the job with a list of run folders; `checkpoint` when Slurm wants the job to end.

    Runs go on from their own checkpoints, so what is queued again is only the list of those that are not over.
    A run whose job of so many minutes timed out 3 times at the same place fails, and the others go on.
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
            # Of pre-emption SIGTERM tells first: Slurm then queues the job again itself, or SIGUSR2 comes too.
            time.sleep(END_SECONDS)
        if code:
            raise RuntimeError(f"{len(unfinished(folders))} of {len(folders)} runs wait, exit code {code}")

    def checkpoint(self, folders: list[str]) -> DelayedSubmission | None:
        """Have what is running saved, and return what is left to do; None if it does not get on."""
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
        # Popen is not re-entrant: a signal whose handler polls too must not come inside.
        with blocked(signal.SIGUSR2):
            return self.process.poll()


def unfinished(folders: Sequence[str]) -> list[str]:
    """The folders whose runs are neither done nor failed."""
    return [folder for folder in folders if RunFolder(Path(folder)).state() not in OVER]


@contextlib.contextmanager
def blocked(number: int) -> Iterator[None]:
    """Keep a signal waiting meanwhile."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {number})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
