"""The record of a finished run. It is validated and written once. Its circumstances are never compared."""

import importlib.metadata
import platform
import resource
from pathlib import Path
from typing import Any

import torch

from harness.common.files import sha256, write_json
from harness.common.sources import git_state, uncommitted
from results.schema import check_known, comparable, signed, validate

__all__ = ["check_known", "circumstance", "comparable", "differences", "peak_process_bytes", "write"]

PACKAGES = ("torch", "torchvision", "numpy", "pandas", "av", "avalanche-lib", "submitit", "hydra-core")


def circumstance(config: dict[str, Any], device: str, restarts: int, seconds: dict[str, Any]) -> dict[str, Any]:
    """The fields in which two equal runs may differ: times, versions, device, git state, restarts."""
    versions: dict[str, str | None] = {"python": platform.python_version()}
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


def write(folder: Path, record: dict[str, Any]) -> dict[str, Any]:
    """Write record.json, validated by results/record.schema.json; a run is done once the file exists.

    Returns the record with the checksums of itself and of the predictions beside it.
    """
    predictions = folder / "predictions.npz"
    content = signed({**record, "predictions_sha256": sha256(predictions) if predictions.exists() else None})
    validate(content)
    write_json(folder / "record.json", content, durable=True)
    return content


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
