"""Processes: which one is meant (a number alone names another one elsewhere, or later), and how one is started."""

import contextlib
import multiprocessing.context
import os
import socket
import sys
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

_STARTING = threading.RLock()  # two threads must not both put a module in the place of the script


def machine() -> str:
    """The kernel since its start, and the container in it: two containers of one host name differ here."""
    parts = [socket.gethostname()]
    with contextlib.suppress(OSError):
        parts = [Path("/proc/sys/kernel/random/boot_id").read_text().strip()]
    with contextlib.suppress(OSError):
        parts.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(parts)


def began(pid: int) -> str | None:
    """When a process began, in ticks that no setting of a clock changes; None where the system does not say it."""
    fields = _fields(pid)
    return fields[19] if fields else None


def identity() -> dict[str, Any]:
    """What tells this process from all others."""
    return {"host": socket.gethostname(), "machine": machine(), "pid": os.getpid(), "began": began(os.getpid())}


def is_gone(who: dict[str, Any]) -> bool | None:
    """Whether the process of an identity has ended; None where it cannot be looked at from here."""
    pid = who.get("pid")
    if who.get("machine") != machine() or not isinstance(pid, int):
        return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:  # another user's
        return False
    fields = _fields(pid)
    return bool(fields) and (fields[0] in "ZX" or fields[19] != who.get("began"))  # ended, or its number is used again


def _fields(pid: int) -> list[str]:
    """The fields of /proc/PID/stat from the state on; empty where there are none."""
    try:
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return []


class _WithoutMain:
    """A process that does not import the caller's script again."""

    def start(self) -> None:
        with _STARTING:
            script = sys.modules["__main__"]
            sys.modules["__main__"] = ModuleType("__main__")
            try:
                super().start()  # type: ignore[misc]
            finally:
                sys.modules["__main__"] = script


class _ForkServerProcess(_WithoutMain, multiprocessing.context.ForkServerProcess):
    pass


class _SpawnProcess(_WithoutMain, multiprocessing.context.SpawnProcess):
    pass


class ForkServer(multiprocessing.context.ForkServerContext):
    """Processes forked from a server that has imported what they need; see `Spawn` for the caller's script."""

    Process = _ForkServerProcess


class Spawn(multiprocessing.context.SpawnContext):
    """New processes. Python's own would run the caller's script again, which without a main guard starts all anew.

    A function that such a process is to call must not stand in the script itself.
    """

    Process = _SpawnProcess
