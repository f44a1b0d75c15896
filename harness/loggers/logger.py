"""What a logger is, and whether those that a command asks for can be used here."""

import importlib.util
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from harness.loggers import LOGGERS

if TYPE_CHECKING:
    from PIL.Image import Image

Axis = Literal["step", "experience"]


class Logger(ABC):
    """Shows one run. Each process that carries out the run makes a new one and tells it everything from the start."""

    requires: ClassVar[str] = ""  # module that must be installed

    @abstractmethod
    def __init__(self, folder: Path, config: Mapping[str, Any]):
        """Begin anew: forget what an earlier process told of the run in `folder`, whose name is the run's id."""

    @abstractmethod
    def scalars(self, axis: Axis, at: int, values: Mapping[str, float]) -> None:
        """Show numbers by name: at a step of the run, or after an experience."""

    def end(self, values: Mapping[str, float], table: str, matrix: "Image") -> None:  # noqa: B027
        """Show the metrics of a finished run, its table in Markdown, and its accuracy matrix."""

    def close(self) -> None:  # noqa: B027
        """This process tells no more of the run, whether that is done or not."""

    @classmethod
    def check(cls, name: str) -> None:
        """ValueError where the logger cannot be used here; `name` is the one that it was asked for by."""
        if cls.requires and importlib.util.find_spec(cls.requires) is None:
            how = f"'.[{name}]'" if LOGGERS.entries[name].builtin else cls.requires
            raise ValueError(
                f"log.to=[{name}] needs the package {cls.requires}, which is not installed: pip install {how}"
            )


def check(names: Iterable[str]) -> None:
    """ValueError where a logger is unknown or cannot be used here."""
    for name in names:
        LOGGERS.get(name).check(name)
