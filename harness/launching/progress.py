"""What is shown while runs go on: one bar per run on a terminal, a text in a notebook, lines elsewhere (on stderr)."""

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from harness.common.units import seconds_text

LINE_SECONDS = 20  # between two plain lines of one run


@dataclass
class Clock:
    """Where one run is, and how long its experiences took."""

    started: float = field(default_factory=time.monotonic)
    experience: int | None = None
    entered: float = 0.0
    durations: list[float] = field(default_factory=list)

    def move(self, experience: int) -> bool:
        """Note the experience that the run is in; True if the experience has just changed."""
        now, before = time.monotonic(), self.experience
        if experience != before:
            if before is not None:
                self.durations.append(now - self.entered)
            self.experience, self.entered = experience, now
        return before not in (None, experience)

    def left(self, n_experiences: int) -> float | None:
        """Seconds to go, by the mean time of the finished experiences; None during the first one."""
        if not self.durations or self.experience is None:
            return None
        mean = sum(self.durations) / len(self.durations)
        return max((n_experiences - self.experience) * mean - (time.monotonic() - self.entered), 0.0)

    def share(self, n_experiences: int) -> float:
        """Share of the run that is done, 0 to 1."""
        inside = 0.0
        if self.durations:
            mean = sum(self.durations) / len(self.durations)
            inside = min((time.monotonic() - self.entered) / max(mean, 1e-9), 0.99)
        return (max(self.experience or 0, 0) + inside) / n_experiences


class Display:
    """Shows several runs at once; a context manager. `update` gets the position that the loop reports."""

    def __init__(self, names: dict[str, str], console: Console | None = None):
        self.names, self.console = names, console or Console(stderr=True, highlight=False)
        self.clocks: dict[str, Clock] = {}
        self.lines: dict[str, float] = {}  # when a run last got a plain line
        self.tasks: dict[str, Any] = {}
        self.over = 0
        columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), TextColumn("{task.fields[where]}"))
        self.bars = Progress(*columns, console=self.console, disable=not self.console.is_terminal)
        self.block: Any = None  # of a notebook
        self.block_lines: dict[str, str] = {}  # by run

    def __enter__(self) -> "Display":
        self.bars.start()
        if self.console.is_jupyter:
            from IPython.display import display  # no dependency of ours, but in a notebook it is there

            self.block = display({"text/plain": ""}, raw=True, display_id=True)
        return self

    def __exit__(self, *error: Any) -> None:
        self.bars.stop()

    def start(self, run_id: str) -> None:
        """A run begins."""
        self.clocks[run_id], self.lines[run_id] = Clock(), time.monotonic()
        if self.console.is_terminal:
            self.tasks[run_id] = self.bars.add_task(self.names[run_id], total=1.0, where="starts")

    def update(self, run_id: str, position: dict[str, Any]) -> None:
        """Show where a run is; `position` has experience, n_experiences, phase, step, steps and loss."""
        clock, n = self.clocks[run_id], position["n_experiences"]
        left_one = clock.move(position["experience"])
        where = position_text(position, clock.left(n))
        if self.console.is_terminal:
            self.bars.update(self.tasks[run_id], completed=clock.share(n), where=where)
        elif self.block is not None:
            self._line(f"{self.names[run_id]}: {clock.share(n):4.0%}  {where}", run_id)
        elif left_one or time.monotonic() - self.lines[run_id] >= LINE_SECONDS:
            self.lines[run_id] = time.monotonic()
            self._line(f"{self.names[run_id]}: {where}", run_id)

    def finish(self, run_id: str, state: str, reason: str | None) -> None:
        """A run is over."""
        self.over += 1
        if run_id in self.tasks:
            self.bars.remove_task(self.tasks.pop(run_id))
        took = seconds_text(time.monotonic() - self.clocks[run_id].started)
        why = f": {reason}" if reason else ""
        self._line(f"{self.names[run_id]}: {state} after {took}{why} ({self.over} of {len(self.names)} runs)", run_id)

    def _line(self, text: str, run_id: str) -> None:
        if self.block is None:
            self.console.print(text, markup=False, soft_wrap=True)
            return
        self.block_lines[run_id] = text
        self.block.update({"text/plain": "\n".join(self.block_lines.values())}, raw=True)


def position_text(position: dict[str, Any], left: float | None) -> str:
    """A position in words: task, phase, step, loss, time to go."""
    number, loss = position["experience"], position["loss"]
    task = "pre-training" if number < 0 else f"task {number + 1}/{position['n_experiences']}"
    parts = [task, f"{position['phase']} {position['step']}/{position['steps']}"]
    parts += [] if loss is None else [f"loss {loss:.3g}"]
    parts += [] if left is None else [f"{seconds_text(left)} to go"]
    return "  ".join(parts)


def names_of(folders: Sequence[Path]) -> dict[str, str]:
    """Run id -> name for the screen: the run id without its hash, if that is still unique."""
    short = {folder.name: folder.name.rpartition("-")[0] for folder in folders}
    often = Counter(short.values())
    return {run_id: name if often[name] == 1 else run_id for run_id, name in short.items()}
