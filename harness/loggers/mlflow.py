"""log.to=[mlflow]: MLflow, at MLFLOW_TRACKING_URI or in the folder OUT/mlflow, which needs no server."""

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from filelock import FileLock
from PIL.Image import Image

from harness.loggers.logger import Axis, Logger

LONGEST = 500  # characters of a parameter's value


class MLflow(Logger):
    """A run in the experiment MLFLOW_EXPERIMENT_NAME, which is the out folder's name by default."""

    requires: ClassVar[str] = "mlflow"

    def __init__(self, folder: Path, config: Mapping[str, Any]):
        os.environ.setdefault("MLFLOW_ALLOW_FILE_STORE", "true")  # a folder serves many processes without a server
        os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
        from mlflow.entities import Param
        from mlflow.tracking import MlflowClient

        study = os.environ.get("MLFLOW_EXPERIMENT_NAME") or folder.parent.name
        with FileLock(folder.parent / ".mlflow.lock"):  # the runs of a command begin together
            self.client = MlflowClient(os.environ.get("MLFLOW_TRACKING_URI") or (folder.parent / "mlflow").as_uri())
            known = self.client.get_experiment_by_name(study)
            experiment = known.experiment_id if known else self.client.create_experiment(study)
        for earlier in self.client.search_runs([experiment], f"tags.run_id = '{folder.name}'"):
            self.client.delete_run(earlier.info.run_id)  # what it holds is told again
        self.run_id = self.client.create_run(experiment, run_name=folder.name, tags={"run_id": folder.name}).info.run_id
        told = [Param(name, str(value)[:LONGEST]) for name, value in flat(config)]
        for k in range(0, len(told), 100):  # no more are taken at a time
            self.client.log_batch(self.run_id, params=told[k : k + 100])

    def scalars(self, axis: Axis, at: int, values: Mapping[str, float]) -> None:
        from mlflow.entities import Metric

        now = int(1000 * time.time())
        self.client.log_batch(self.run_id, metrics=[Metric(name, value, now, at) for name, value in values.items()])

    def end(self, values: Mapping[str, float], table: str, matrix: Image) -> None:
        self.scalars("experience", 0, values)
        self.client.log_text(self.run_id, table, "table.md")
        self.client.log_image(self.run_id, matrix, "accuracy_matrix.png")
        self.client.set_terminated(self.run_id)


def flat(config: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    """The values of a nested dict with dotted names."""
    pairs: list[tuple[str, Any]] = []
    for name, value in config.items():
        pairs += flat(value, f"{prefix}{name}.") if isinstance(value, Mapping) else [(prefix + name, value)]
    return pairs
