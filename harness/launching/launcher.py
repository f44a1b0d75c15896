"""What a launcher must do. A plug-in registers one with `@LAUNCHERS.register("name")` of harness.launching."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from harness.config.run_config import Execution, RunConfig


class Launcher(ABC):
    """Starts runs whose folders hold config.json. `how` is the `execution` part of their configs."""

    def check(self, how: "Execution", runs: "dict[str, RunConfig]", planned: bool) -> None:  # noqa: B027
        """Refuse what cannot work, before anything is written.

        runs: run id -> config. planned: nothing will be started; print what would be started.

        Raises:
            ValueError: the launcher cannot be used here, or a setting does not fit.
        """

    @abstractmethod
    def start(self, folders: list[Path], how: "Execution") -> list[str]:
        """Start the runs. Returns the ids of the runs that go on elsewhere after the command ends.

        `harness.launching.execution.execute` carries out one run and writes its state to its folder.

        Raises:
            ValueError: the runs cannot be started; the line says why.
        """
