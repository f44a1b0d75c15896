"""Shares of one piece of work as a job array: what `python -m benchmarks.prepare launcher=slurm` starts."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path

from harness.common.settings import check, from_text, typed
from harness.common.words import unknown
from slurm.launcher import status_command, submit
from slurm.settings import Slurm

# What such a job may ask for; it needs no GPU.
ASKED = ("partition", "account", "qos", "constraint", "gpus", "cpus", "memory", "minutes", "parallelism")


def submit_shares(out: Path, folders: Sequence[Path], given: Mapping[str, str], command: Sequence[str]) -> str:
    """Submit `command workers=CPUS FOLDER` for each folder below `out`. Returns a line that says how to watch the jobs.

    given: name -> text of Slurm settings, as they were typed.

    Raises:
        ValueError: a setting is unknown or not possible, or Slurm refuses.
    """
    settings = asdict(Slurm()) | {"gpus": 0}
    entries = {entry.name: entry for entry in fields(Slurm)}
    for name, text in given.items():
        if name not in ASKED:
            raise ValueError(unknown("setting of Slurm", name, ASKED))
        settings[name] = from_text(entries[name], text)
    settings = typed(Slurm, settings, "slurm.")
    check(Slurm, settings, "slurm.")
    words = [*command, f"workers={settings['cpus']}"]
    jobs = submit(out, dict.fromkeys(folders, "prepare"), settings, words)
    return f"{len(jobs)} jobs submitted; {status_command(out)} tells how they do"
