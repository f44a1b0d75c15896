"""The record of a finished run: written once, validated, and with the circumstances that are never compared."""

import hashlib
import importlib.metadata
import json
import os
import platform
import resource
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import torch

from harness.storage.durable import write_through
from results.schema import validate

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("harness", "methods", "benchmarks")  # what decides a result; not how it is shown
DIFF_LONGEST = 100_000  # characters that a record keeps of what was not committed
PACKAGES = ("torch", "torchvision", "numpy", "pandas", "av", "avalanche-lib", "submitit", "hydra-core")


def write_json(path: Path, content: Any) -> None:
    """Write beside, then replace: a reader never sees half a file."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        temporary.write_text(text_of(content))
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def text_of(content: Any) -> str:
    """How JSON files are written; the last bytes say that none are missing."""
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


@cache
def sources_hash() -> str:
    """sha256 over name and content of the project's source files."""
    digest = hashlib.sha256()
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*")):
            if path.suffix in (".py", ".yaml", ".json", ".csv"):
                digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


@cache
def git_state() -> dict[str, Any]:
    """Commit of the sources and whether they differ from it; nulls outside a git checkout and snapshots of one."""
    if (ROOT / "git.json").exists():  # written with a snapshot
        return json.loads((ROOT / "git.json").read_text())
    commit, status = (_git("rev-parse", "HEAD"), _git("status", "--porcelain"))
    return {"commit": commit, "dirty": None if status is None else bool(status)}


@cache
def uncommitted() -> str | None:
    """How the sources differ from their commit, as `git diff` says it; None where they do not, or nobody knows."""
    saved = ROOT / "uncommitted.diff"
    shown = (*ROOMS, "results", "slurm")
    text = saved.read_text(errors="replace").strip() if saved.exists() else _git("diff", "HEAD", "--", *shown)
    if not text:
        return None
    return text if len(text) <= DIFF_LONGEST else f"{text[:DIFF_LONGEST]}\n... and {len(text) - DIFF_LONGEST} more"


def _git(*arguments: str) -> str | None:
    try:
        run = subprocess.run(("git", "-C", str(ROOT), *arguments), capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return run.stdout.strip() if run.returncode == 0 else None


def circumstance(config: dict[str, Any], device: str, restarts: int, seconds: dict[str, Any]) -> dict[str, Any]:
    """Fields that two equal runs may differ in."""
    versions = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = None
    name = torch.cuda.get_device_name() if device.startswith("cuda") else platform.machine()
    return {
        "seconds": seconds,
        "git": {**git_state(), "diff": uncommitted()},
        "versions": versions,
        "device": f"{device} ({name})",
        "precision_used": config["precision"],
        "deterministic": device == "cpu",
        "restarts": restarts,
        "execution": config["execution"],
    }


def peak_process_bytes() -> int:
    """Most resident memory this process ever had, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if platform.system() == "Darwin" else peak * 1024


def write(folder: Path, record: dict[str, Any]) -> None:
    """Validate by results/record.schema.json and write record.json; a run is done once it is there."""
    validate(record)
    write_through(folder / "record.json", text_of(record).encode())


CIRCUMSTANCE = ("seconds", "git", "versions", "device", "precision_used", "deterministic", "restarts", "execution")


def comparable(content: dict[str, Any]) -> dict[str, Any]:
    """A record without what two equal runs may differ in."""
    kept = {key: value for key, value in content.items() if key not in CIRCUMSTANCE}
    kept["config"] = {key: value for key, value in content["config"].items() if key != "execution"}
    kept["memory"] = {key: value for key, value in content["memory"].items() if key != "peak_process"}
    return kept


def differences(one: Any, other: Any, path: str = "record") -> list[str]:
    """Places where two comparable records differ, with both values."""
    if isinstance(one, dict) and isinstance(other, dict):
        found = [differences(one.get(k), other.get(k), f"{path}.{k}") for k in sorted({*one, *other})]
        return [place for places in found for place in places]
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return [
            place
            for i, (a, b) in enumerate(zip(one, other, strict=True))
            for place in differences(a, b, f"{path}[{i}]")
        ]
    return [] if one == other else [f"{path}: {one!r} and {other!r}"]
