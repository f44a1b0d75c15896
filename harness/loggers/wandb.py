"""log.to=[wandb]: Weights & Biases; WANDB_MODE=offline keeps all in RUN/wandb, and `wandb sync` sends it later."""

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from PIL.Image import Image

from harness.loggers.logger import Axis, Logger


class WandB(Logger):
    """A run of the run's id in the project WANDB_PROJECT, which is the out folder's name by default."""

    requires: ClassVar[str] = "wandb"

    @classmethod
    def check(cls, name: str) -> None:
        super().check(name)
        import wandb

        if os.environ.get("WANDB_MODE", "online") == "online" and not wandb.login(prompt=False):
            raise ValueError(
                "log.to=[wandb] has no account: `wandb login` sets one up, WANDB_MODE=offline does without"
            )

    def __init__(self, folder: Path, config: Mapping[str, Any]):
        import wandb

        if wandb.run is not None:  # of a run that was stopped in this process: it would go on writing what is removed
            wandb.run.finish()
        shutil.rmtree(folder / "wandb", ignore_errors=True)
        project = os.environ.get("WANDB_PROJECT") or re.sub(r"[/\\#?%:]", "-", folder.parent.name)
        # Without resume= a run of the same id is written over, so a run that goes on is told once.
        self.run = wandb.init(
            project=project, id=folder.name, name=folder.name, group=config["method"]["name"], dir=str(folder),
            config=dict(config), settings=wandb.Settings(silent=True, console="off"),
        )  # fmt: skip
        self.drawn: set[str] = set()

    def scalars(self, axis: Axis, at: int, values: Mapping[str, float]) -> None:
        for name in values.keys() - self.drawn:
            self.run.define_metric(name, step_metric=axis)
        self.drawn |= values.keys()
        self.run.log({axis: at, **values})

    def end(self, values: Mapping[str, float], table: str, matrix: Image) -> None:
        import wandb

        self.run.log({"accuracy matrix": wandb.Image(matrix), "table": wandb.Html(f"<pre>{table}</pre>")})
        self.run.summary.update(dict(values))

    def close(self) -> None:
        self.run.finish()
