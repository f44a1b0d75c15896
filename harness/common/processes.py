"""Which process is meant: a number alone names another one on another machine, in another container, or later."""

import contextlib
import os
import socket
from pathlib import Path
from typing import Any


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
