"""A frozen module that comes from a file: a backbone with published weights, a tokenizer, a teacher."""

import hashlib
from pathlib import Path
from typing import Any

from torch import nn


class FilePart:
    """A module that never learns and is rebuilt from its file by each process.

    It is counted as part of the live model and never written into a checkpoint. Declare the path as a setting of
    kind "file": the bytes of the file are then part of the run's identity.
    """

    def __init__(self, module: nn.Module, path: str | Path, sha256: str = ""):
        """`module` already holds the weights of `path`. ValueError if the file is not the one of `sha256`."""
        if sha256 and sha256_of(path) != sha256:
            raise ValueError(f"'{path}' was changed since the run was asked for; ask for it again")
        self.module = module.requires_grad_(False).eval()
        self.path = Path(path)

    def __call__(self, *inputs: Any) -> Any:
        return self.module(*inputs)


def sha256_of(path: str | Path) -> str:
    """Of the file's bytes; ValueError where there is none."""
    if not Path(path).is_file():
        raise ValueError(f"no file '{path}'")
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
