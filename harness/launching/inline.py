"""launcher=inline: all runs one after the other in this process."""

import traceback
from pathlib import Path

from harness.common.folders import RunFolder
from harness.config.run_config import Execution
from harness.launching.execution import execute
from harness.launching.launcher import Launcher
from harness.launching.progress import Display, names_of


class Inline(Launcher):
    """All runs one after the other in this process, for debuggers; output stays on the screen."""

    def start(self, folders: list[Path], how: Execution) -> list[str]:
        with Display(names_of(folders)) as display:
            for folder in folders:
                self.run_one(folder, display, how.debug)
        return []

    def run_one(self, folder: Path, display: Display, debug: bool) -> None:
        """Carry out one run and show its progress. With `debug`, an error shows its whole trace."""
        display.start(folder.name)
        error = execute(folder, lambda position: display.update(folder.name, position))
        if error is not None and debug:
            traceback.print_exception(error)
        status = RunFolder(folder).status()
        display.finish(folder.name, status.state, status.reason)
