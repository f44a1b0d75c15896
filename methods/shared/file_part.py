"""A frozen module that comes from a file: a backbone with published weights, a tokenizer, a teacher."""

from typing import Any

from torch import nn


class FilePart:
    """A module that never learns and that each process rebuilds from its file.

    It is counted as part of the live model and never written into a checkpoint. Declare the file's path as a setting of
    kind "file": its bytes are then part of the run's identity, and a run does not go on with other ones.
    """

    def __init__(self, module: nn.Module):
        """`module` already holds the weights of the file."""
        self.module = module.requires_grad_(False).eval()

    def __call__(self, *inputs: Any) -> Any:
        """What the module gives."""
        return self.module(*inputs)
