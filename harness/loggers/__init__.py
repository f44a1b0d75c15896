"""Loggers show a run in a tool that people watch: TensorBoard, Weights & Biases, MLflow, or one of your own.

`log.to=[tensorboard]` asks for one. A logger is told what the run writes into its folder, and the folder remains the
truth: a logger changes neither the run's id nor its numbers, and a run goes on without a logger that fails. May import
harness.common and storage, and results for the final table.

steps.jsonl, experiences.jsonl -> `telling.Loggers` -> `logger.Logger` -> the tool
"""

from typing import TYPE_CHECKING

from harness.common.registry import Registry

if TYPE_CHECKING:
    from harness.loggers.logger import Logger

LOGGERS: "Registry[type[Logger]]" = Registry("logger", "harness.loggers.logger:Logger")
LOGGERS.add("tensorboard", "harness.loggers.tensorboard:TensorBoard", "TensorBoard, in RUN/tensorboard", builtin=True)
LOGGERS.add("wandb", "harness.loggers.wandb:WandB", "Weights & Biases, WANDB_MODE=offline too", builtin=True)
LOGGERS.add("mlflow", "harness.loggers.mlflow:MLflow", "MLflow, in OUT/mlflow or at MLFLOW_TRACKING_URI", builtin=True)
