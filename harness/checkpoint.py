"""The state of a run between two steps, saved beside and then replaced; loads without running code."""

import os
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import torch


def save(folder: Path, content: dict[str, Any]) -> None:
    """Write `folder/state.pt`: tensors and plain values only."""
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / f"state.pt.{os.getpid()}"
    with open(temporary, "wb") as file:
        torch.save(content, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, folder / "state.pt")


def load(folder: Path) -> dict[str, Any] | None:
    """The saved state, or None where there is none. ValueError for a file that is not a state of ours."""
    path = folder / "state.pt"
    if not path.exists():
        return None
    try:
        content = torch.load(path, weights_only=True, map_location="cpu")
        content["position"], content["method"]
    except Exception as error:
        what = f"checkpoint {path} cannot be read ({type(error).__name__})"
        raise ValueError(f"{what}; remove it to start anew") from error
    return content


def end(folder: Path, keep: str, live: dict[str, Any]) -> None:
    """What stays when the record is written: none, the live weights (live.pt), or all."""
    if keep == "all" or not folder.exists():
        return
    if keep == "live":
        torch.save(live, folder / "live.pt")
        (folder / "state.pt").unlink(missing_ok=True)
    else:
        shutil.rmtree(folder)


def global_generators() -> dict[str, Any]:
    """States of the generators that library code may draw from."""
    name, keys, *rest = np.random.get_state()
    return {
        "torch": torch.get_rng_state(),
        "numpy": [name, torch.from_numpy(keys.copy()), *rest],
        "python": random.getstate(),
    }


def set_global_generators(states: dict[str, Any]) -> None:
    torch.set_rng_state(states["torch"])
    name, keys, *rest = states["numpy"]
    np.random.set_state((name, keys.numpy(), *rest))
    version, internal, gauss = states["python"]
    random.setstate((version, tuple(internal), gauss))
