"""The folder of a run and its state: one reader for launchers, Slurm and tables."""

import os
import re
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from types import NoneType
from typing import Any

from harness.common.files import read_json, write_json

RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
LAST_BYTES = b"}\n"  # of a JSON file that is written to its end
STALE_SECONDS = 300.0  # without a heartbeat for so long, a run that says it is running is taken for dead
STATES = ("queued", "running", "preempted", "failed", "done")
OVER = ("done", "failed")
TYPES: dict[str, tuple[type, ...]] = {
    "state": (str,), "heartbeat": (int, float), "position": (dict,), "reason": (str,), "pid": (int,), "host": (str,),
    "started": (int, float), "restarts": (int,),
}  # fmt: skip


@dataclass
class Status:
    """What status.json says; times are seconds since 1970."""

    state: str = "queued"  # one of STATES
    heartbeat: float | None = None
    position: dict[str, Any] | None = None  # experience, n_experiences, phase, step, steps
    reason: str | None = None
    pid: int | None = None
    host: str | None = None
    started: float | None = None
    restarts: int = 0

    @property
    def is_stale(self) -> bool:
        """Whether it says that it is running but gave no sign of life for a while."""
        return self.state == "running" and time.time() - (self.heartbeat or 0.0) > STALE_SECONDS


class RunFolder:
    """The files of one run below an out folder."""

    def __init__(self, path: Path):
        self.path = Path(path)
        self.run_id = self.path.name
        self.config_file, self.status_file = self.path / "config.json", self.path / "status.json"
        self.record_file, self.log_file = self.path / "record.json", self.path / "log.txt"
        self.checkpoints = self.path / "checkpoint"

    def config(self) -> dict[str, Any]:
        """The run's config; empty where there is none that can be read."""
        return read_json(self.config_file)

    def record(self) -> dict[str, Any]:
        """The run's record; empty where there is none that can be read. It is not checked against the schema."""
        return read_json(self.record_file)

    def status(self) -> Status:
        """What status.json says; that of a queued run where nothing can be read or it is not one that we write."""
        said = read_json(self.status_file)
        wrong = impossible(said)
        if wrong:
            return Status(reason=f"its status.json is none that we write: {wrong} is not possible")
        known = {entry.name for entry in fields(Status)}
        return Status(**{key: value for key, value in said.items() if key in known and value is not None})

    def write_status(self, **changes: Any) -> Status:
        """Change fields of status.json and set its heartbeat; other fields in the file are kept."""
        write_json(self.status_file, self.changed(**changes))
        return self.status()

    def changed(self, **changes: Any) -> dict[str, Any]:
        """What `write_status` would write."""
        return read_json(self.status_file) | asdict(self.status()) | {"heartbeat": time.time()} | changes

    def is_done(self) -> bool:
        """Whether the record is there to its last byte."""
        try:
            with open(self.record_file, "rb") as file:
                file.seek(-len(LAST_BYTES), os.SEEK_END)
                return file.read() == LAST_BYTES
        except OSError:
            return False

    def state(self) -> str:
        """The state by the run's own files: queued, running, preempted, failed or done."""
        return "done" if self.is_done() else self.status().state

    def mark(self, state: str, reason: str | None) -> None:
        """Change state and reason, and leave the heartbeat as it is."""
        write_json(self.status_file, read_json(self.status_file) | {"state": state, "reason": reason})


def impossible(status: dict[str, Any]) -> str:
    """The first field of status.json that cannot be as it is; empty where all can."""
    for name, allowed in TYPES.items():
        if not isinstance(status.get(name), (*allowed, NoneType)):
            return name
    if status.get("state") not in (None, *STATES):
        return "state"
    place = status.get("position")
    numbers = ("experience", "n_experiences", "step", "steps")
    if place and not (isinstance(place.get("phase"), str) and all(isinstance(place.get(n), int) for n in numbers)):
        return "position"
    return ""


def is_run_id(name: object) -> bool:
    """Whether a name can be a run id; no path leads out of the out folder by such a name."""
    return isinstance(name, str) and RUN_ID.fullmatch(name) is not None


def sweeps(out: Path, problems: list[str] | None = None) -> list[dict[str, Any]]:
    """What the files of OUT/sweeps say, oldest first; what cannot be read is left out and named in `problems`."""
    found = []
    for file in sorted((out / "sweeps").glob("*.json")):
        content = read_json(file)
        if content:
            found.append(content)
        elif problems is not None:
            problems.append(f"{file}: not a sweep: it cannot be read, or holds no JSON object")
    return sorted(found, key=lambda sweep: str(sweep.get("created", "")))
