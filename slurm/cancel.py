"""Cancel the jobs of runs that are not over; slurm.retry submits them again.

A running run is saved first, if Slurm gives it the time.
"""

import subprocess
import sys
import time
from pathlib import Path

from harness.common.folders import RunFolder
from harness.common.words import DONE, Option, help_text, one_folder, parse, run_command
from slurm.jobs import ENDED, at, clusters, job_of, runs, squeue
from slurm.launcher import chunks

GONE_SECONDS = 120
OPTIONS = {"method": Option(None, "only the runs of this method")}


def main(words: list[str] | None = None) -> int:
    """Cancel the jobs and wait until they are gone. Returns exit code 2 for a command that cannot be carried out."""
    words = sys.argv[1:] if words is None else words
    help = help_text("slurm.cancel", __doc__ or "", "OUT", OPTIONS)
    return run_command("slurm.cancel", help, lambda: command(words), words)


def command(words: list[str]) -> int:
    """Carry out a command line; returns the exit code."""
    folders, given, _ = parse(words, OPTIONS)
    cancelled = cancel(one_folder("slurm.cancel", folders), given["method"])
    print(f"{len(cancelled)} runs cancelled" if cancelled else "no run has a job")
    return DONE


def cancel(out: Path, method: str | None) -> list[str]:
    """Cancel the jobs of all runs, or of one method's; returns the ids of the runs.

    Raises:
        ValueError: a job also holds a run of another method, or Slurm does not answer.
    """
    found, note = runs(out)
    if note is not None:
        raise ValueError(note)
    known, going = squeue(out) if job_of(out) else {}, [run for run in found if run.state not in ENDED]
    going = [run for run in going if run.job in known]
    chosen = [run for run in going if method in (None, run.method)]
    jobs = {run.job for run in chosen if run.job}
    for run in going:
        if run.job in jobs and run not in chosen:
            raise ValueError(f"job {run.job} also holds {run.run_id}, which is not of method={method}")
    for cluster, some in [
        (c, some) for c, there in clusters(out).items() for some in chunks(sorted(jobs & {*there}), 500)
    ]:
        answer = subprocess.run(["scancel", *at(cluster), *some], capture_output=True, text=True, timeout=120)
        if answer.returncode:
            raise ValueError(f"scancel refuses: {' '.join(answer.stderr.split())}")
    deadline = time.monotonic() + GONE_SECONDS
    while jobs & set(squeue(out) if jobs else {}):
        if time.monotonic() > deadline:
            raise ValueError(f"Slurm still holds some of the jobs after {GONE_SECONDS} s; look with slurm.status")
        time.sleep(0.5)
    over = {run.run_id for run in runs(out)[0] if run.state in ("done", "failed")}
    stopped = [run.run_id for run in chosen if run.run_id not in over]
    for run_id in stopped:
        RunFolder(out / run_id).mark("failed", "cancelled; slurm.retry submits it again")
    return stopped


if __name__ == "__main__":
    sys.exit(main())
