"""log.to=[tensorboard]: event files in RUN/tensorboard; `tensorboard --logdir OUT` shows all runs of an out folder."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from PIL.Image import Image

from harness.loggers.logger import Axis, Logger


class TensorBoard(Logger):
    """Event files, written anew by each process that carries out the run."""

    requires: ClassVar[str] = "tensorboard"

    def __init__(self, folder: Path, config: Mapping[str, Any]):
        from torch.utils.tensorboard import SummaryWriter

        shutil.rmtree(folder / "tensorboard", ignore_errors=True)
        # A TensorBoard that is open forgets what it read of the run's earlier files.
        self.writer = SummaryWriter(str(folder / "tensorboard"), purge_step=0)
        self.writer.add_text("config", "```\n" + json.dumps(config, indent=1) + "\n```")

    def scalars(self, axis: Axis, at: int, values: Mapping[str, float]) -> None:
        for name, value in values.items():
            self.writer.add_scalar(name, value, at)

    def end(self, values: Mapping[str, float], table: str, matrix: Image) -> None:
        self.scalars("experience", 0, values)
        self.writer.add_text("table", table)
        self.writer.add_image("accuracy matrix", np.asarray(matrix), dataformats="HWC")

    def close(self) -> None:
        self.writer.close()
