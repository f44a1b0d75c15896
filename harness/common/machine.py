"""What this machine has."""

import contextlib
import ctypes
import os
import subprocess


def cores() -> int:
    """The processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def give_memory_back() -> None:
    """Hand free blocks back to the system, where the C library can: it keeps them otherwise, in ever more pieces."""
    with contextlib.suppress(OSError, AttributeError):  # not glibc
        ctypes.CDLL(None).malloc_trim(0)


def gpus() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them.

    NVIDIA's driver is asked, not torch, whose import takes seconds.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return [name for name in visible.replace(" ", "").split(",") if name not in ("", "-1")]
    command = ["nvidia-smi", "--query-gpu=uuid", "--format=csv,noheader"]
    try:
        asked = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return asked.stdout.split() if asked.returncode == 0 else []


def slots(device: str, runs_per_gpu: int) -> list[str]:
    """A GPU for each run that may go on at the same time; none where runs do not use GPUs."""
    return [] if device == "cpu" else gpus() * runs_per_gpu
