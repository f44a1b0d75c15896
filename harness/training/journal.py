"""What a run writes down on its way: steps, samples and seconds by phase, steps.jsonl, experiences.jsonl."""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.common.files import sync_file

LINES = ("experiences.jsonl", "steps.jsonl")
Progress = Callable[[dict[str, Any]], None]
Tell = Callable[[str, dict[str, Any]], None]


def silent(position: dict[str, Any]) -> None:
    """Tell nobody."""


class Journal:
    """Meters of a run; seconds and counts are summed over restarts."""

    def __init__(self, folder: Path, every: int, progress: Progress, tell: Tell):
        """`every`: steps between two lines of steps.jsonl.

        `progress` is told the position after each step, `tell` each line that is written and its file's name.
        """
        self.folder, self.every, self.progress, self.tell = folder, every, progress, tell
        self.work: dict[str, dict[str, Any]] = {"steps": {}, "samples": {}, "kinds": {}}
        self.seconds: dict[str, Any] = {"total": 0.0, "by_phase": {}, "evaluate": 0.0, "drift": 0.0, "cpu_total": 0.0}
        self.restarts = 0
        self.clock("start")

    def phase(self, name: str, kind: str) -> None:
        """From now on time belongs to a phase. ValueError where one of this name has been of another kind."""
        known = self.work["kinds"].setdefault(name, kind)
        if known != kind:
            raise ValueError(f"phase {name} is of kind {known} here and of kind {kind} there: give it another name")
        self.clock(name)

    def clock(self, what: str) -> None:
        """From now on time belongs to a phase, to evaluate or to drift."""
        self.what, self.wall, self.cpu = what, time.perf_counter(), time.process_time()

    def add_time(self) -> None:
        """Add up the time since the clock was set or last read."""
        wall, cpu = time.perf_counter() - self.wall, time.process_time() - self.cpu
        if self.what in ("evaluate", "drift"):
            self.seconds[self.what] += wall
        else:
            self.seconds["by_phase"][self.what] = self.seconds["by_phase"].get(self.what, 0.0) + wall
        self.seconds["total"] += wall
        self.seconds["cpu_total"] += cpu
        self.wall, self.cpu = self.wall + wall, self.cpu + cpu

    def step(self, position: dict[str, Any], n_batch: int, log: dict[str, float]) -> None:
        """Count one step of a phase, tell it, and every so often write it down.

        The step learnt from `n_batch` samples, or from as many as its log says under `samples`.
        """
        samples = int(log.get("samples", n_batch))
        phase, done = position["phase"], position["step"]
        for meter, amount in (("steps", 1), ("samples", samples)):
            self.work[meter][phase] = self.work[meter].get(phase, 0) + amount
        rehearsed = log.pop("rehearsal_seconds", 0.0)  # of a method that draws and decodes old clips within a phase
        if rehearsed:
            by_phase = self.seconds["by_phase"]
            by_phase["rehearsal"] = by_phase.get("rehearsal", 0.0) + rehearsed
            by_phase[phase] = by_phase.get(phase, 0.0) - rehearsed  # add_time gives the phase its whole time
        self.progress(position)
        if log and ((done - 1) % self.every == 0 or done == position["steps"]):
            self._append("steps.jsonl", {**position, **log})

    def experience(self, line: dict[str, Any]) -> None:
        """An experience is over and measured."""
        self._append("experiences.jsonl", line)

    def _append(self, name: str, line: dict[str, Any]) -> None:
        with open(self.folder / name, "a") as file:
            file.write(json.dumps(line) + "\n")
        self.tell(name, line)

    def begin(self) -> None:
        """A run from the start: lines of an earlier try without a checkpoint go."""
        for name in LINES:
            (self.folder / name).unlink(missing_ok=True)

    def state(self) -> dict[str, Any]:
        self.add_time()
        paths = {name: self.folder / name for name in LINES}
        for path in (path for path in paths.values() if path.exists()):
            sync_file(path)  # the checkpoint, which is on the disk for certain, names their lengths
        lengths = {name: path.stat().st_size if path.exists() else 0 for name, path in paths.items()}
        return {"work": self.work, "seconds": self.seconds, "restarts": self.restarts, "lengths": lengths}

    def load(self, state: dict[str, Any]) -> None:
        self.work, self.seconds, self.restarts = state["work"], state["seconds"], state["restarts"] + 1
        for name, length in state["lengths"].items():
            if (self.folder / name).exists() or length:
                self._cut(self.folder / name, length)

    def _cut(self, path: Path, length: int) -> None:
        """Cut off what was written after the checkpoint, which is done again; say so where earlier lines are lost."""
        with open(path, "a+b") as file:
            there = file.seek(0, os.SEEK_END)
            if there < length:
                file.seek(0)
                length = file.read().rfind(b"\n") + 1
                print(f"{path}: lines from before the checkpoint are lost (it ends at byte {there:,}); the run goes on "
                      "from the checkpoint, and its record is whole", file=sys.stderr)  # fmt: skip
            file.truncate(length)
