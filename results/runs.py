"""The runs of out folders. A done run has its typed record; any other run has a state and a reason."""

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from harness.common.words import unknown
from results.record import Record


@dataclass(frozen=True)
class LoadedRun:
    """One run that was asked for or found."""

    run_id: str
    folder: Path
    state: str  # done | failed | preempted | running | queued | missing | bad (its files cannot be used)
    reason: str
    method: str  # empty if nothing says it
    seed: int | None
    order_seed: int | None
    config: dict[str, Any] | None


@dataclass(frozen=True)
class DoneRun(LoadedRun):
    """A run with a valid record."""

    record: Record
    digest: str  # sha256 of record.json
    config: dict[str, Any]
    seed: int
    order_seed: int


def done_run(folder: Path, record: Record, content: bytes) -> DoneRun:
    """The run of a record that was read from `content`."""
    return DoneRun(
        run_id=record.run_id, folder=folder, state="done", reason="", method=record.method.name, seed=record.seed,
        order_seed=record.order_seed, config=record.config, record=record,
        digest=hashlib.sha256(content).hexdigest(),
    )  # fmt: skip


@dataclass(frozen=True)
class Runs:
    """All runs of some out folders."""

    outs: tuple[Path, ...]
    runs: tuple[LoadedRun, ...]
    problems: tuple[str, ...]  # files other than runs that cannot be used
    methods: tuple[str, ...]  # in the order in which sweeps name them
    sweeps: tuple[dict[str, Any], ...] = ()  # what was asked for, as the sweep files say

    @cached_property
    def done(self) -> list[DoneRun]:
        """Runs with a valid record."""
        return [run for run in self.runs if isinstance(run, DoneRun)]

    @property
    def absent(self) -> list[LoadedRun]:
        """Runs that were asked for or begun but have no valid record."""
        return [run for run in self.runs if not isinstance(run, DoneRun)]

    @property
    def digest(self) -> str:
        """Twelve hex digits over the records in use. Equal records give equal digits, in whatever folder they are."""
        joined = "\n".join(sorted(run.digest for run in self.done))
        return hashlib.sha256(joined.encode()).hexdigest()[:12]

    def of_sweep(self, name: str) -> Self:
        """The runs of the newest sweep of a preset, or of the sweep with an id; `all` keeps every run.

        Raises:
            ValueError: no sweep is called so.
        """
        if name == "all":
            return self
        found = [sweep for sweep in self.sweeps if name in (sweep.get("preset"), sweep.get("id"))]
        if not found:
            known = [str(sweep[key]) for sweep in self.sweeps for key in ("preset", "id") if sweep.get(key)]
            raise ValueError(unknown("sweep", name, dict.fromkeys([*known, "all"])))
        newest = max(found, key=lambda sweep: str(sweep.get("created")))
        wanted = set(map(str, newest["runs"]))
        return replace(self, runs=tuple(run for run in self.runs if run.run_id in wanted), sweeps=(newest,))
