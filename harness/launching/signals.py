"""Signals: how a run, and a command that carries out runs, is asked to stop."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from typing import Any

BEFORE = "stopped before its first step; it starts again"


class Interrupted(BaseException):
    """The run was asked to stop; if it has a state, it is saved, and the same run continues from there.

    It is no `Exception`, because code that tolerates errors, such as a bad video, must not tolerate this.
    """


class Stop:
    """Says whether a run is asked to stop. The loop calls it between two steps. Before `listen` nobody can ask."""

    def __init__(self) -> None:
        self.asked = self.hurried = False

    def __call__(self) -> bool:
        return self.asked

    def listen(self) -> "Stop":
        """From now on SIGTERM and SIGUSR2 do not end this process, but ask it to stop."""
        for number in (signal.SIGTERM, signal.SIGUSR2):
            signal.signal(number, self._come)
        return self

    def _come(self, number: int, frame: Any) -> None:
        self.asked = True
        if self.hurried:
            self.hurried = False
            raise Interrupted(BEFORE)

    @contextlib.contextmanager
    def at_once(self) -> Iterator[None]:
        """For long work without a state to save, such as making videos: a signal ends it at once."""
        if self.asked:
            raise Interrupted(BEFORE)
        self.hurried = True
        try:
            yield
        finally:
            self.hurried = False


@contextlib.contextmanager
def stopped_by_signals() -> Iterator[None]:
    """SIGTERM, SIGHUP and SIGUSR2 end the command as Ctrl-C does, so that no run outlives the command."""
    numbers = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR2)

    def interrupt(number: int, frame: Any) -> None:
        for each in numbers:  # a second one must not disturb the saving
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    if threading.current_thread() is not threading.main_thread():  # only the main thread may say what signals do
        yield
        return
    before = {number: signal.signal(number, interrupt) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
