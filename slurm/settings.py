"""The settings of Slurm with their help texts, and the resources that one run asks for."""

from dataclasses import dataclass
from typing import Any

from harness.common import settings as declared
from harness.common.settings import setting
from harness.common.words import nearest

# What a method may ask for differently from the others (slurm.per_method.NAME.*).
RESOURCES = ("partition", "account", "qos", "gpus", "cpus", "memory", "minutes", "constraint", "extra")


@dataclass(frozen=True)
class Slurm:
    """Used by launcher=slurm alone: what a job asks for, and how runs are put into jobs."""

    partition: str | None = setting(None, "partition; default: the cluster's", also="queue")
    account: str | None = setting(None, "account that is charged")
    qos: str | None = setting(None, "quality of service")
    gpus: int = setting(1, "GPUs of a job", zero="none", also="gpus_per_node gres")
    cpus: int = setting(4, "processor cores of a job", above=0, also="cpus_per_task")
    memory: float = setting(16.0, "memory of a job in GB", above=0, also="mem_gb ram")
    minutes: int = setting(
        240,
        "time limit of a job; a run that needs longer is saved and queued again",
        above=0,
        also="time time_limit timeout walltime timeout_min",
    )
    constraint: str | None = setting(None, "features a node must have")
    extra: dict[str, Any] = setting({}, "any other option of sbatch: slurm.extra.mail_type=END", also="sbatch slurm")
    per_method: dict[str, Any] = setting({}, "other resources for one method: slurm.per_method.joint.minutes=600")
    setup: list[str] = setting([], "shell lines before the run, e.g. [module load cuda]")
    parallelism: int = setting(100, "jobs of one array that run at a time", above=0, also="array_parallelism")
    max_array: int = setting(1000, "jobs of one array at most; more runs make more arrays", above=0)
    runs_per_job: int = setting(1, "runs that share one job: on each GPU of the job one after the other", above=0)
    wait: bool = setting(False, "stay and show the state of the runs until all are over")


def resources(settings: dict[str, Any], method: str) -> dict[str, Any]:
    """The resources of a run of `method`: the shared ones, and its own, which win.

    Raises:
        ValueError: slurm.per_method names something that is no resource.
    """
    own = settings["per_method"].get(method, {})
    if not isinstance(own, dict):
        raise ValueError(f"slurm.per_method.{method}={own}: set one resource, slurm.per_method.{method}.minutes=600")
    for name in own:
        if name not in RESOURCES:
            raise ValueError(f"slurm.per_method.{method}.{name} is unknown{nearest(name, RESOURCES)} "
                             f"(known: {', '.join(RESOURCES)})")  # fmt: skip
    shared = {name: settings[name] for name in RESOURCES}
    return {**shared, **own, "extra": {**shared["extra"], **own.get("extra", {})}}


def check(settings: dict[str, Any], methods: list[str]) -> None:
    """ValueError for a method that is not run, a value that is not allowed, or GPUs that no run would use."""
    for name in settings["per_method"]:
        if name not in methods:
            raise ValueError(f"slurm.per_method.{name} is set, but '{name}' is not among methods=[{','.join(methods)}]")
    for method in methods:
        resources(settings, method)  # refuses what is no resource
        declared.check(Slurm, settings["per_method"].get(method, {}), f"slurm.per_method.{method}.")
        gpus, runs = resources(settings, method)["gpus"], settings["runs_per_job"]
        if gpus > runs:
            raise ValueError(
                f"slurm.gpus={gpus} with slurm.runs_per_job={runs}: a run of {method} uses one GPU, so {gpus - runs} "
                f"would idle; give slurm.gpus=1, or slurm.runs_per_job={gpus} or more"
            )
