"""Tells the loggers of a run what the run writes down; what goes wrong in a logger does not touch the run."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from harness.common.words import one_line
from harness.loggers import LOGGERS
from harness.loggers.logger import Axis, Logger
from harness.storage.checkpoint import global_generators, set_global_generators

PLACE = ("experience", "n_experiences", "phase", "step", "steps")  # of a line of steps.jsonl; the rest is its numbers


class Loggers:
    """The loggers that a run's config names; without any, each call returns at once."""

    def __init__(self, folder: Path, config: Mapping[str, Any]):
        self.folder, self.config = folder, config
        self.open: dict[str, Logger] = {}
        self.place: tuple[int, str] | None = None  # experience and phase of the last line of steps.jsonl
        self.before = self.step = 0  # steps of the run up to this phase, and up to now

    def begin(self) -> None:
        """Make the loggers and tell them what the folder holds: a run that was cut off goes on from there."""
        for name in self.config["execution"]["log"].get("to", ()):
            self._safely(name, self._open, name)
        for name, line in written(self.folder) if self.open else ():
            self.line(name, line)

    def line(self, name: str, line: Mapping[str, Any]) -> None:
        """A line was written: to steps.jsonl or to experiences.jsonl."""
        if not self.open:
            return
        if name == "experiences.jsonl":
            self._tell("experience", line["experience"], after_experience(line))
            return
        place, step = (line["experience"], line["phase"]), line["step"]
        if place != self.place or self.before + step <= self.step:  # the last step of a phase is always written
            self.place, self.before = place, self.step
        self.step = self.before + step
        self._tell("step", self.step, {f"{line['phase']}/{key}": value for key, value in line.items()
                                       if key not in PLACE and isinstance(value, int | float)})  # fmt: skip

    def end(self) -> None:
        """The run has its record: show metrics, table and accuracy matrix."""
        if self.open:
            shown = final(self.folder)
            for name, logger in list(self.open.items()):
                self._safely(name, logger.end, *shown)

    def close(self) -> None:
        """This process is done with the run."""
        for name, logger in list(self.open.items()):
            self._safely(name, logger.close)
        self.open = {}

    def _open(self, name: str) -> None:
        self.open[name] = LOGGERS.get(name)(self.folder, self.config)

    def _tell(self, axis: Axis, at: int, values: Mapping[str, float]) -> None:
        for name, logger in list(self.open.items()):
            self._safely(name, logger.scalars, axis, at, values)

    def _safely(self, name: str, call: Callable[..., None], *arguments: Any) -> None:
        """Call a logger so that it can neither draw from the run's random numbers nor end the run."""
        states = global_generators()
        try:
            call(*arguments)
        except Exception as error:
            self.open.pop(name, None)
            if self.config["execution"].get("debug"):
                raise
            print(f"{self.folder.name}: log.to={name} is left out from here on, the run goes on: "
                  f"{type(error).__name__}: {one_line(error)}", file=sys.stderr)  # fmt: skip
        finally:
            set_global_generators(states)


def written(folder: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """The lines of a run's folder as (file, line): steps first, then what was measured after each experience."""
    for name in ("steps.jsonl", "experiences.jsonl"):
        if (folder / name).exists():
            for line in (folder / name).read_text().splitlines():
                yield name, json.loads(line)


def after_experience(line: Mapping[str, Any]) -> dict[str, float]:
    """The numbers of a line of experiences.jsonl by name, those that were measured."""
    accuracy = [value for value in line["accuracy"] if value is not None]
    values = {"accuracy": sum(accuracy) / len(accuracy)} if accuracy else {}
    values |= {f"accuracy_on_{j}": value for j, value in enumerate(line["accuracy"])}
    values |= {"bytes_carried": line["memory"]["carried"], "bytes_live": line["memory"]["live"]}
    values |= line["drift"] | line.get("reported", {})
    return {f"after_experience/{name}": value for name, value in values.items() if value is not None}


def final(folder: Path) -> tuple[dict[str, float], str, Image.Image]:
    """Metrics by name, the table in Markdown and the picture of the accuracy matrix, from a run's record."""
    import io

    from results import METRICS, render
    from results.build import build
    from results.plots import draw, picture
    from results.pooling import select
    from results.read import read

    runs, pooled = select(read(folder.parent, [folder.name]), mixed=True)
    (run,) = runs.done
    metrics = {f"final/{name}": float(metric.of(run.record)) for name, metric in METRICS.items()}
    (matrix,) = draw(runs, pooled, ["accuracy_matrices"])
    assert matrix.figure is not None
    drawn = Image.open(io.BytesIO(picture(matrix.figure, "png")))
    known = {name: value for name, value in metrics.items() if value == value}  # NaN: it cannot be derived
    return known, render.FORMATS["markdown"](build(runs, pooled)), drawn.convert("RGB")
