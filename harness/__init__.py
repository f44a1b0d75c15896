"""The harness. From Python: `run`, `load` and `benchmark`; docs/python.md shows them. Importing this imports no torch.

Commands stand at the top (run, list, check, pretrain, bench), what they are made of in the folders below.
"""

import importlib
import importlib.util
from pathlib import Path
from typing import Any

PACKAGES = ("benchmarks", "methods", "results", "slurm")
# Name -> the module that has it. `run` is the module harness.run itself, which can be called.
EXPORTS = {"load": "results.load", "benchmark": "harness.look", "NotDone": "harness.api"}


def __getattr__(name: str) -> Any:
    if name == "run":
        return importlib.import_module("harness.run")
    if name in EXPORTS:
        return getattr(importlib.import_module(EXPORTS[name]), name)
    raise AttributeError(f"module 'harness' has no attribute '{name}' (from Python: {', '.join(['run', *EXPORTS])})")


def __dir__() -> list[str]:
    return ["run", *EXPORTS]


def check_packages() -> None:
    """ValueError if Python would import another package under one of our names; imports none of them."""
    ours = Path(__file__).resolve().parent.parent
    for name in PACKAGES:
        spec = importlib.util.find_spec(name)
        if spec is None:
            continue
        found = [Path(place).resolve() for place in spec.submodule_search_locations or [spec.origin or ""]]
        if ours / name not in found:
            raise ValueError(
                f"Python finds '{name}' at {found[0]}, which hides the harness's own {ours / name}: "
                f"rename the first, or call the command from another folder"
            )
