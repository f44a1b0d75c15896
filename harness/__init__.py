"""The command line and the one training loop; this package file stays light so that `--help` answers at once."""

import importlib.util
from pathlib import Path

PACKAGES = ("benchmarks", "methods", "results", "slurm")


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
