"""Runs become job arrays: runs with equal resources share an array, and `slurm.runs_per_job` of them share a job."""

import io
import os
import shlex
import shutil
import subprocess
import sys
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

from filelock import FileLock
from submitit.core.utils import FailedJobError, FailedSubmissionError
from submitit.slurm.slurm import SlurmExecutor

from harness.common.files import write_json
from harness.common.folders import RunFolder
from harness.common.sources import ROOT
from slurm.job import RunFolders
from slurm.jobs import alive
from slurm.settings import resources

T = TypeVar("T")
# submitit counts each pre-emption of a job of 10 minutes or less as a time-out, so its own bound is lifted. The job
# itself finds out whether a run makes no progress (slurm/job.py).
MAX_REQUEUES = 10**6
# Ignore SIGUSR2 until submitit listens: if it came while Python starts, the job would end as if it had failed.
DEAF = """bash -c 'trap "" USR2; exec "$0" "$@"'"""


@dataclass(frozen=True)
class Array:
    """Jobs that ask for the same; each holds the folders of the runs that it carries out."""

    asked: dict[str, Any]
    jobs: list[list[Path]]

    @property
    def runs(self) -> list[Path]:
        """The folders of all jobs."""
        return [folder for job in self.jobs for folder in job]


class Executor(SlurmExecutor):
    """Slurm's executor, which can also write a script on a machine without Slurm."""

    @classmethod
    def affinity(cls) -> int:
        return 2

    def script(self, jobs: int) -> str:
        """The text that sbatch gets for that many jobs."""
        if jobs > 1:
            self.parameters["map_count"] = jobs
        return self._make_submission_file_text(self._submitit_command_str, uuid.uuid4().hex)


def arrays(runs: dict[Path, str], settings: dict[str, Any]) -> list[Array]:
    """The job arrays of runs (folder -> name of the method)."""
    alike: dict[str, tuple[dict[str, Any], list[Path]]] = {}
    for folder, method in runs.items():
        asked = resources(settings, method)
        alike.setdefault(repr(sorted(asked.items())), (asked, []))[1].append(folder)
    found = []
    for asked, folders in alike.values():
        jobs = list(chunks(folders, settings["runs_per_job"]))
        found += [Array(asked, part) for part in chunks(jobs, settings["max_array"])]
    return found


def chunks(items: Sequence[T], size: int) -> list[list[T]]:
    """Cut a list into parts of at most `size`."""
    return [list(items[i : i + size]) for i in range(0, len(items), size)]


def executor(array: Array, folder: Path, settings: dict[str, Any], code: Path = ROOT) -> Executor:
    """submitit's executor with the resources of this array; its files go to `folder`."""
    asked = array.asked
    made = Executor(folder, max_num_timeout=MAX_REQUEUES, python=f"{DEAF} {shlex.quote(sys.executable)}")
    path = f"export PYTHONPATH={shlex.quote(str(code))}${{PYTHONPATH:+:$PYTHONPATH}}"
    given = {
        "job_name": "video-cl",
        "partition": asked["partition"],
        "account": asked["account"],
        "qos": asked["qos"],
        "gpus_per_node": asked["gpus"] or None,
        "cpus_per_task": asked["cpus"],
        "mem": f"{round(asked['memory'] * 1024)}M",
        "time": asked["minutes"],
        "constraint": asked["constraint"],
        "array_parallelism": settings["parallelism"],
        # `python -m` looks into the current folder first.
        "setup": [*settings["setup"], path, f"cd {shlex.quote(str(code))}"],
        "additional_parameters": {"requeue": True, **asked["extra"]},
    }
    # submitit would send a wckey of its own, and clusters that check these keys would refuse it.
    made.update_parameters(**{name: value for name, value in given.items() if value is not None}, wckey=None)
    return made


def plan(out: Path, runs: dict[Path, str], settings: dict[str, Any]) -> str:
    """The scripts that would be submitted and the runs of each job; needs no Slurm."""
    check_folder(out)
    lines = []
    for array in arrays(runs, settings):
        lines += [f"sbatch, {len(array.jobs)} jobs:", executor(array, out / "slurm", settings).script(len(array.jobs))]
        lines += [f"  job {number}: {' '.join(folder.name for folder in job)}" for number, job in enumerate(array.jobs)]
    return "\n".join(lines)


def check_slurm() -> None:
    """ValueError on a machine that cannot submit."""
    for program in ("sbatch", "srun", "squeue"):
        if shutil.which(program) is None:
            raise ValueError(
                f"launcher=slurm: there is no {program} on this machine; submit from a login node of the "
                f"cluster (plan=true needs no Slurm), or use launcher=local"
            )


def check_folder(out: Path) -> None:
    """ValueError for a folder that Slurm would write the logs of its jobs elsewhere for."""
    for sign in (each for each in "%\\\n" if each in str(out)):
        raise ValueError(f"launcher=slurm: out={out} holds {sign!r}, which Slurm reads as a pattern; name it otherwise")


# What the shell may choose for sbatch, where no setting does: SBATCH_ACCOUNT and so on.
FROM_SHELL = ("account", "partition", "qos", "constraint", "reservation", "wckey")
CLIENT = ("SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_JWT")  # how the programs reach their controller


@contextmanager
def as_from_login_node(asked: Mapping[str, Any]) -> Iterator[None]:
    """Without the variables of an allocation that the command runs in: they are not meant for the new job.

    sbatch would take its memory, tasks and time limit from them, before those of its script, and pass them on.
    """
    chosen = [f"SBATCH_{name.upper()}" for name in FROM_SHELL if not (asked.get(name) or name in asked["extra"])]
    names = [name for name in os.environ if name.startswith(("SLURM_", "SBATCH_", "SRUN_", "SALLOC_"))]
    taken = {name: os.environ.pop(name) for name in names if name not in (*chosen, *CLIENT)}
    try:
        yield
    finally:
        os.environ.update(taken)


def submit(
    out: Path, runs: dict[Path, str], settings: dict[str, Any], command: Sequence[str], code: Path = ROOT
) -> list[str]:
    """Submit runs (folder -> method) that `command FOLDER ...` carries out; returns the ids of the jobs.

    Runs that already have a job are left alone.

    Raises:
        ValueError: sbatch refuses; the line has its words.
    """
    check_slurm()
    check_folder(out)
    shell = os.environ.get("SBATCH_CLUSTERS") or os.environ.get("SLURM_CLUSTERS")
    if shell:  # squeue must ask there too, also from another shell
        settings = {**settings, "extra": {"clusters": shell, **settings["extra"]}}
    with locked(out):
        known = alive(out)
        runs = {folder: method for folder, method in runs.items() if folder.name not in known}
        if not runs:
            return []
        folder = out / "slurm" / f"{datetime.now(UTC):%Y%m%d-%H%M%S-%f}"  # the order of names is the order of time
        folder.mkdir(parents=True)
        jobs: dict[str, list[str]] = {}
        content = {"created": datetime.now(UTC).isoformat(timespec="seconds"), "settings": settings,
                   "command": list(command), "code": str(code), "jobs": jobs}  # fmt: skip
        wanted = arrays(runs, settings)
        for number, array in enumerate(wanted):
            for member in array.runs:
                RunFolder(member).mark("queued", None)
            try:
                words = [[str(member) for member in each] for each in array.jobs]
                job = RunFolders(command, array.asked["minutes"])
                with quiet(), as_from_login_node(array.asked):
                    made = executor(array, folder, settings, code).map_array(job, words)
            except (FailedJobError, FailedSubmissionError, subprocess.CalledProcessError) as error:
                why = f"sbatch refused: {refusal(error)}"
                for member in (each for rest in wanted[number:] for each in rest.runs):
                    RunFolder(member).mark("failed", why)
                raise ValueError(f"{why} (jobs submitted so far: {len(jobs)})") from error
            jobs |= {job.job_id: [each.name for each in runs] for job, runs in zip(made, array.jobs, strict=True)}
            write_json(folder / "jobs.json", content)
    return list(jobs)


@contextmanager
def quiet() -> Iterator[None]:
    """Hold back what submitit prints. If sbatch refuses, its words are part of the error already."""
    said = io.StringIO()
    with redirect_stderr(said):
        yield
    print(said.getvalue(), end="", file=sys.stderr)


def refusal(error: Exception) -> str:
    """The line in which sbatch says why."""
    lines = [line for line in str(error).splitlines() if line.startswith("sbatch:")]
    return " ".join(lines) or " ".join(str(error).split())


@contextmanager
def locked(out: Path) -> Iterator[None]:
    """One submission at a time, so that two commands do not submit the same runs."""
    (out / "slurm").mkdir(parents=True, exist_ok=True)
    with FileLock(out / "slurm" / ".lock"):
        yield


def status_command(out: Path) -> str:
    """What to type to see how the runs do."""
    return f"python -m slurm.status {shlex.quote(str(out))}"
