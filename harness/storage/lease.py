"""One process at a time carries out a run. The file `lock` in the run's folder names it; the process touches the file.

A process that wants a run which another one holds asks three things in turn. Is the other process alive? If it runs on
another machine: what does its Slurm job say? Else: when was the last sign of life? The last answer alone does not
decide, because clocks may be wrong. The lock is also watched, and the run is taken over only if nothing moves.
"""

import contextlib
import json
import os
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.common.files import read_json
from harness.common.processes import identity, is_gone

BEAT_SECONDS = 20.0
STALE_MINUTES = 5.0  # without a sign of life, for a process on another machine
WATCH_SECONDS = 3 * BEAT_SECONDS
WRITE_SECONDS = 2.0  # to write one's name into a new lock, which takes milliseconds
UNSEEN = 3  # beats for which our own lock may be unreadable, for instance because a file server does not answer


class Lost(Exception):
    """Another process has taken the run over. This process must not write to its folder any more."""


class Lock:
    """The lock of a run that this process holds."""

    def __init__(self, file: Path):
        self.file, self.lost, self.unseen, self._end = file, False, 0, threading.Event()
        self.content = {**identity(), "job": job_id(), "token": uuid.uuid4().hex}

    def check(self) -> None:
        """Raise Lost if another process has taken the run over."""
        if self.lost:
            raise Lost(f"another process has taken the run over (it is {described(read_json(self.file))})")

    def beat(self) -> None:
        """Say that this process is alive."""
        token = read_json(self.file).get("token")
        self.unseen = self.unseen + 1 if token is None else 0
        self.lost = self.lost or self.unseen >= UNSEEN or token not in (None, self.content["token"])
        if token == self.content["token"]:
            with contextlib.suppress(OSError):  # the next beat may reach the disk
                os.utime(self.file)

    def _keep_beating(self) -> None:
        while not self._end.wait(BEAT_SECONDS):
            self.beat()

    @contextlib.contextmanager
    def beating(self) -> Iterator["Lock"]:
        """Beat from a separate thread, so that a run in a long step looks alive too."""
        thread = threading.Thread(target=self._keep_beating, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._end.set()
            thread.join()

    def release(self) -> None:
        """Free the run. If another process took it over, its lock stays."""
        if read_json(self.file).get("token") == self.content["token"]:
            self.file.unlink(missing_ok=True)


@contextlib.contextmanager
def taken(folder: Path, stale_minutes: float = STALE_MINUTES) -> Iterator[Lock | None]:
    """Hold a run's folder against other processes on any machine; yields None if another one holds it."""
    lock = Lock(folder / "lock")
    mine = _create(lock.file, lock.content)
    if not mine:
        free_abandoned([folder], stale_minutes)
        mine = _create(lock.file, lock.content)
    if not mine:
        yield None
        return
    try:
        yield lock
    finally:
        lock.release()


@dataclass(frozen=True)
class Seen:
    """A lock at one moment: its text, and when it was last touched, in nanoseconds."""

    text: str
    touched: int

    @property
    def content(self) -> dict[str, Any]:
        """Who holds it; empty if the file does not say."""
        try:
            content = json.loads(self.text)
        except ValueError:
            return {}
        return content if isinstance(content, dict) else {}


def free_abandoned(folders: Iterable[Path], stale_minutes: float = STALE_MINUTES) -> None:
    """Remove the locks of runs whose processes are gone. Locks that must be watched first are watched together."""
    locks = {folder / "lock": _look(folder / "lock") for folder in folders}
    watched: dict[Path, tuple[Seen, float]] = {}
    for file, seen in locks.items():
        seconds = _doubt(file, seen, stale_minutes) if seen else None
        if seen and seconds == 0:
            _remove(file, seen)
        elif seen and seconds:
            watched[file] = seen, time.monotonic() + seconds
    if any(seen.content for seen, _ in watched.values()):
        print(f"{len(watched)} runs look abandoned; watching them for {WATCH_SECONDS:.0f} s", file=sys.stderr)
    while watched:
        time.sleep(min(0.5, WRITE_SECONDS / 4))
        watched = {file: (seen, end) for file, (seen, end) in watched.items() if _look(file) == seen}
        for file, (seen, end) in list(watched.items()):
            if time.monotonic() >= end:
                _remove(file, seen)
                del watched[file]


def _doubt(file: Path, seen: Seen, stale_minutes: float) -> float | None:
    """How many seconds a lock must stay unchanged before its process counts as gone; None if the process is alive."""
    if not seen.content:
        return WRITE_SECONDS  # its process was cut off before it could say who it was
    gone = is_gone(seen.content)
    if gone is not None:
        return 0 if gone else None
    if seen.content.get("job") is not None and seen.content["job"] == job_id():
        return 0  # our own job, earlier: Slurm ends a job before it starts it again
    stale = 60 * stale_minutes
    return None if -1 <= _age(file, seen) < stale else min(WATCH_SECONDS, stale)


def _age(file: Path, seen: Seen) -> float:
    """Seconds since a lock was touched, by the clock of its file system; 0 if that clock cannot be read."""
    try:
        with tempfile.TemporaryFile(dir=file.parent) as now:
            return (os.fstat(now.fileno()).st_mtime_ns - seen.touched) / 1e9
    except OSError:
        return 0.0


def _look(file: Path) -> Seen | None:
    """A lock as it is now; None if there is none."""
    try:
        return Seen(file.read_text(errors="replace"), file.stat().st_mtime_ns)
    except OSError:
        return None


def _remove(file: Path, seen: Seen) -> None:
    """Remove a lock if it is still the one that was seen. If several processes try this, only one succeeds."""
    guard = file.with_name("lock.taking")
    for _ in range(2):
        if _create(guard, identity()):
            try:
                if _look(file) == seen:
                    file.unlink(missing_ok=True)
            finally:
                guard.unlink(missing_ok=True)
            return
        held = _look(guard)
        if held and not is_gone(held.content) and -1 <= _age(guard, held) < WATCH_SECONDS:
            return
        guard.unlink(missing_ok=True)  # left by a process that was killed while it removed a lock


def _create(file: Path, content: dict[str, Any]) -> bool:
    """Make a new file; False if the file exists."""
    try:
        number = os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    except FileExistsError:
        return False
    try:
        with open(number, "w") as opened:
            opened.write(json.dumps(content))
    except OSError:  # a full disk: an empty lock would keep everybody out
        file.unlink()
        raise
    return True


def job_id() -> str | None:
    """The Slurm job that this process belongs to, as squeue names it."""
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{task}" if array and task else os.environ.get("SLURM_JOB_ID")


def described(content: dict[str, Any]) -> str:
    """Who holds a lock, in words."""
    job = f", Slurm job {content['job']}" if content.get("job") else ""
    return f"process {content.get('pid', '?')} on {content.get('host', 'an unknown machine')}{job}"
