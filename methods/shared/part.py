"""What a rule and a head have in common: a part of one method, with a state of its own."""

import copy
from typing import Any, ClassVar, TypeVar

from torch import nn

from methods.shared.settings import NoSettings
from methods.shared.state import saved, take_up

M = TypeVar("M", bound=nn.Module)


def frozen_copy(module: M) -> M:
    """A copy that never learns, such as a teacher: counted as memory, not as the live model."""
    copied = copy.deepcopy(module).requires_grad_(False).eval()
    vars(copied)["carried"] = True
    return copied


class Part:
    """Everything set on it is state and counted, but for what NOT_STATE names.

    `copies`: attribute -> module of the learner that it is a frozen copy of; None until there is one. A part whose
    modules come and go in another way builds them in `load`.
    """

    Settings: ClassVar[type] = NoSettings
    NOT_STATE: ClassVar[frozenset[str]] = frozenset({"learner", "settings"})
    copies: ClassVar[dict[str, str]] = {}

    def __init__(self, learner: Any, settings: Any):
        self.learner, self.settings = learner, settings
        for name in self.copies:
            setattr(self, name, None)

    def reserved_bytes(self) -> int:
        """Bytes that it carries at most from one experience to the next; the buffer gets what is left."""
        return sum(t.nbytes for of in self.copies.values() for t in getattr(self.learner, of).state_dict().values())

    def state(self) -> dict[str, Any]:
        """Attribute -> tensors and plain values: everything needed to go on in a new process."""
        return saved(self, self.NOT_STATE)

    def load(self, state: dict[str, Any]) -> None:
        """Take up a saved state."""
        for name, of in self.copies.items():
            setattr(self, name, None if state[name] is None else frozen_copy(getattr(self.learner, of)))
        for name, value in state.items():
            take_up(self, name, value, type(self).__name__)
