"""Which run is in which job, and the state of each run by what Slurm says and what the run's own files say."""

import subprocess
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness.common.files import read_json
from harness.common.folders import STALE_SECONDS, RunFolder, is_run_id, sweeps
from harness.common.processes import is_gone

STATES = ("queued", "running", "preempted", "failed", "lost", "done")
ENDED = ("failed", "lost", "done")
# Why a job waits in the usual course of things.
ORDINARY = ("", "None", "Resources", "Priority", "JobArrayTaskLimit", "BeginTime", "Cleaning", "(null)")


@dataclass(frozen=True)
class QueuedRun:
    """One run and its state. `age`: seconds since the last heartbeat. `position`: as in status.json."""

    run_id: str
    method: str
    state: str
    reason: str | None
    position: dict[str, Any] | None
    age: float | None
    started: float | None
    restarts: int
    job: str | None


def submissions(out: Path) -> list[dict[str, Any]]:
    """All submissions of this folder, oldest first: settings, command, code, jobs (id -> run ids)."""
    found = [read_json(file) for file in sorted((out / "slurm").glob("*/jobs.json"))]
    found = [content for content in found if isinstance(content.get("jobs"), dict)]
    return [{**content, "jobs": {job: run_ids(runs) for job, runs in content["jobs"].items()}} for content in found]


def run_ids(names: object) -> list[str]:
    """The names that can be run ids. Others are left out, so that no path leads out of the folder of runs."""
    return [name for name in names if is_run_id(name)] if isinstance(names, list) else []


def job_of(out: Path) -> dict[str, str]:
    """Run id -> id of the job that it was last submitted in."""
    return {run: job for content in submissions(out) for job, runs in content["jobs"].items() for run in runs}


def clusters(out: Path) -> dict[str, list[str]]:
    """What the programs of Slurm must be told of its cluster ([] for the own one) -> ids of the jobs there."""
    found: dict[str, list[str]] = {}
    for content in submissions(out):
        settings = content.get("settings") or {}
        for job, runs in content["jobs"].items():
            own = settings.get("per_method", {}).get(_method(out / runs[0])) if runs else None
            asked = {**settings.get("extra", {}), **(own or {}).get("extra", {})}
            found.setdefault(str(asked.get("clusters") or ""), []).append(job)
    return found


def at(cluster: str) -> list[str]:
    """The word that leads a program of Slurm to a cluster."""
    return [f"--clusters={cluster}"] if cluster else []


def squeue(out: Path) -> dict[str, tuple[str, str]]:
    """Job id -> state and why it waits, for all jobs of the folder's owner. ValueError if Slurm does not answer."""
    known: dict[str, tuple[str, str]] = {}
    for cluster in clusters(out) or [""]:
        command = ["squeue", "--noheader", "--array", "--format=%i %T %r", f"--user={(out / 'slurm').stat().st_uid}"]
        try:
            answer = subprocess.run([*command, *at(cluster)], capture_output=True, text=True, timeout=60)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise ValueError(f"squeue cannot be asked: {error}") from error
        if answer.returncode:
            raise ValueError(f"squeue does not answer: {' '.join(answer.stderr.split())}")
        lines = [line.split(maxsplit=2) for line in answer.stdout.splitlines() if not line.startswith("CLUSTER:")]
        known |= {line[0]: (line[1], line[2] if len(line) > 2 else "") for line in lines if len(line) > 1}
    return known


def alive(out: Path) -> dict[str, str]:
    """Run id -> job id, for the runs that have a job now. ValueError if Slurm does not answer."""
    jobs = job_of(out)
    known = squeue(out) if jobs else {}
    return {run: job for run, job in jobs.items() if job in known}


def sacct(out: Path, jobs: set[str]) -> dict[str, str]:
    """Job id -> how the job ended, as far as Slurm's accounting knows; empty on clusters without accounting."""
    ended: dict[str, str] = {}
    for cluster, there in clusters(out).items() if jobs else ():
        numbers = sorted({job.partition("_")[0] for job in jobs & set(there)})
        command = ["sacct", "-n", "-X", "-P", "--format=JobID,State", "-j", ",".join(numbers), *at(cluster)]
        try:
            answer = subprocess.run(command, capture_output=True, text=True, timeout=60) if numbers else None
        except (OSError, subprocess.TimeoutExpired):
            continue
        for line in answer.stdout.splitlines() if answer and not answer.returncode else ():
            job, _, how = line.partition("|")
            ended[job] = how
    return ended


def last_words(out: Path, job: str) -> str:
    """The last line that a job wrote as an error, empty if it wrote none: why Slurm did not start what it was to do."""
    for file in sorted((out / "slurm").glob(f"*/{job}_0_log.err")):
        with open(file, "rb") as log:
            log.seek(max(0, file.stat().st_size - 4000))
            lines = [line.strip() for line in log.read().decode(errors="replace").splitlines() if line.strip()]
        return next((line for line in reversed(lines) if "error" in line.lower()), lines[-1] if lines else "")[:300]
    return ""


def runs(out: Path) -> tuple[list[QueuedRun], str | None]:
    """All runs of a folder, and a note if Slurm does not answer. In that case no run is called lost."""
    jobs, note, known = job_of(out), None, {}
    if jobs:
        try:
            known = squeue(out)
        except ValueError as error:
            note = f"{error}; the states are those of the runs' own files"
    folders = {run for sweep in sweeps(out) for run in run_ids(sweep.get("runs"))}
    folders |= set(run_ids([folder.name for folder in out.iterdir() if (folder / "config.json").exists()])) | set(jobs)
    found = [_run(out / run, jobs.get(run), known, note is None) for run in sorted(folders)]
    how = sacct(out, {run.job for run in found if run.state == "lost" and run.job})
    return [_with_end(out, run, how.get(run.job or "")) for run in found], note


def _run(folder: Path, job: str | None, known: dict[str, tuple[str, str]], asked: bool) -> QueuedRun:
    status = RunFolder(folder).status()
    state, reason = status.state, status.reason
    beat = max((each for each in (status.heartbeat, _touched(folder / "lock")) if each is not None), default=None)
    age = None if beat is None else max(time.time() - beat, 0.0)
    if RunFolder(folder).is_done():
        state, reason = "done", None
    elif state == "done":
        state, reason = "lost", "its record.json is gone or was cut"
    elif job in known:
        slurm_state, waits = known[job]
        if slurm_state in ("RUNNING", "COMPLETING"):
            begun = status.position is not None  # even if another command has set it to queued since then
            state = "running" if state == "queued" and begun else state
        elif state != "failed":
            # The run was going on, but its job waits: Slurm took the job off its node without a word.
            state = "queued" if state == "queued" else "preempted"
            reason = reason if waits in ORDINARY else f"Slurm: {waits}"
    elif job is not None and asked and state != "failed":
        state, reason = "lost", f"job {job} is gone and the run is not done"
    elif job is None and state == "running" and _is_dead(folder, age):
        state, reason = "lost", "its process is gone"
    return QueuedRun(folder.name, _method(folder), state, reason, status.position, age, status.started,
                     status.restarts, job)  # fmt: skip


def _touched(lock: Path) -> float | None:
    """When the process of a run last touched its lock. It does so in long steps too."""
    try:
        return lock.stat().st_mtime
    except OSError:
        return None


def _is_dead(folder: Path, age: float | None) -> bool:
    """Whether a run without a Slurm job has stopped without a word."""
    gone = is_gone(read_json(folder / "lock"))
    return (age is None or age > STALE_SECONDS) if gone is None else gone


def _method(folder: Path) -> str:
    """The method's name, from config.json."""
    method = read_json(folder / "config.json").get("method")
    return str(method.get("name", "?")) if isinstance(method, dict) else "?"


def _with_end(out: Path, run: QueuedRun, how: str | None) -> QueuedRun:
    """The same run; if it is lost, its reason also says how its job ended, and with which words if it never began."""
    if run.state != "lost":
        return run
    words = last_words(out, run.job) if run.job and run.started is None else ""
    more = ", ".join(filter(None, (how, words)))
    return replace(run, reason=f"{run.reason} (Slurm: {more})") if more else run
