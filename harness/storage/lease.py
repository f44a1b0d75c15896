"""One process at a time carries out a run: its folder's file `lock` says which one, and when it was last seen alive."""

import contextlib
import json
import os
import socket
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

BEAT_SECONDS = 20
STALE_MINUTES = 5.0  # without a beat, of a process that cannot be looked at from here
TAKING_SECONDS = 60  # for what takes milliseconds


class Lost(Exception):
    """Another process has taken the run over: nothing may be written to its folder any more."""


class Lock:
    """The lock of a run that this process holds."""

    def __init__(self, file: Path):
        self.file, self.lost, self._end = file, False, threading.Event()
        self.content = {
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "began": psutil.Process().create_time(),  # a process id is used again, id and time are not
            "job": job_id(),
            "token": uuid.uuid4().hex,
            "heartbeat": time.time(),
        }

    def check(self) -> None:
        """Lost if the run is another process's by now."""
        if self.lost:
            raise Lost(f"another process has taken the run over (it is {described(read(self.file))})")

    def beat(self) -> None:
        """Say that this process is alive."""
        if read(self.file).get("token") != self.content["token"]:
            self.lost = True
            return
        self.content["heartbeat"] = time.time()
        beside = self.file.with_name(f"lock.{self.content['token']}")
        try:
            beside.write_text(json.dumps(self.content))
            os.replace(beside, self.file)
        except OSError:  # a full disk: the next beat may find room
            with contextlib.suppress(OSError):
                beside.unlink(missing_ok=True)

    def _keep_beating(self) -> None:
        while not self._end.wait(BEAT_SECONDS):
            self.beat()

    @contextlib.contextmanager
    def beating(self) -> Iterator["Lock"]:
        """Beat from a thread of its own, so that long steps look alive too."""
        thread = threading.Thread(target=self._keep_beating, daemon=True)
        thread.start()
        try:
            yield self
        finally:
            self._end.set()
            thread.join()

    def release(self) -> None:
        """The run is free again; the lock of one who took it over stays."""
        if read(self.file).get("token") == self.content["token"]:
            self.file.unlink(missing_ok=True)


@contextlib.contextmanager
def taken(folder: Path, stale_minutes: float = STALE_MINUTES) -> Iterator[Lock | None]:
    """Hold a run's folder against other processes on any machine; yields None where another one holds it."""
    lock = Lock(folder / "lock")
    if not _take(lock, stale_minutes):
        yield None
        return
    try:
        yield lock
    finally:
        lock.release()


def _take(lock: Lock, stale_minutes: float) -> bool:
    if _create(lock.file, lock.content):
        return True
    if not free(read(lock.file), lock.file, stale_minutes):
        return False
    # Of several who find it free, one takes it; the others find it held the next time they look.
    taking = lock.file.with_name("lock.taking")
    if not _create(taking, lock.content):
        if _age(taking) > TAKING_SECONDS:
            taking.unlink(missing_ok=True)
        return False
    try:
        if free(read(lock.file), lock.file, stale_minutes):
            lock.file.unlink(missing_ok=True)
        return _create(lock.file, lock.content)
    finally:
        taking.unlink(missing_ok=True)


def _create(file: Path, content: dict[str, Any]) -> bool:
    """Make a file that was not there; False if it was."""
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


def read(file: Path) -> dict[str, Any]:
    """What a lock says; empty where it says nothing that can be read."""
    try:
        content = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def free(content: dict[str, Any], file: Path, stale_minutes: float) -> bool:
    """Whether the one who holds a lock is gone: its process on this machine, its turn of our own job, or its beat."""
    if content.get("host") == socket.gethostname() and isinstance(content.get("pid"), int):
        return not _alive(content["pid"], content.get("began"))
    if content.get("job") is not None and content["job"] == job_id():
        return True  # Slurm ends a job before it starts it again
    beat = content.get("heartbeat")
    age = time.time() - beat if isinstance(beat, int | float) else _age(file)
    return age > 60 * stale_minutes


def _alive(pid: int, began: Any) -> bool:
    try:
        process = psutil.Process(pid)
        same = not isinstance(began, int | float) or abs(process.create_time() - began) < 1
        return same and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True


def _age(file: Path) -> float:
    """Seconds since a file was written; none for one that is gone meanwhile."""
    try:
        return time.time() - file.stat().st_mtime
    except OSError:
        return 0.0


def job_id() -> str | None:
    """The Slurm job that this process belongs to, as squeue names it."""
    array, task = os.environ.get("SLURM_ARRAY_JOB_ID"), os.environ.get("SLURM_ARRAY_TASK_ID")
    return f"{array}_{task}" if array and task else os.environ.get("SLURM_JOB_ID")


def described(content: dict[str, Any]) -> str:
    """Who holds a lock, in words."""
    job = f", Slurm job {content['job']}" if content.get("job") else ""
    return f"process {content.get('pid', '?')} on {content.get('host', 'an unknown machine')}{job}"
