"""Out folders to runs and tidy frames; knows what was asked for and is missing, failed or not to be believed."""

import difflib
import hashlib
import json
import os
import re
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from results import metrics
from results.schema import schema_hash, validate

if TYPE_CHECKING:
    import pandas as pd

RUN_ID = re.compile(r"^[A-Za-z0-9_][A-Za-z0-9._-]*$")
RUN_ID_PARTS = re.compile(r"^(?P<prefix>.+)-s(?P<seed>\d+)-o(?P<order_seed>\d+)-[0-9a-f]{10}$")
LARGEST_RECORD = 64 * 2**20
STALE_AFTER = 600.0


@dataclass(frozen=True)
class Run:
    """One run that was asked for or found. `state` is done only with a valid record; bad: its files cannot be used."""

    run_id: str
    folder: Path
    state: str  # done | failed | preempted | running | queued | missing | bad
    reason: str = ""
    record: dict[str, Any] | None = None
    config: dict[str, Any] | None = None
    digest: str = ""  # sha256 of record.json
    method: str = ""
    seed: int | None = None
    order_seed: int | None = None


@dataclass(frozen=True)
class Loaded:
    """All runs of some out folders. Frames are built on demand; every one has a column `run_id`."""

    outs: tuple[Path, ...]
    runs: tuple[Run, ...]
    problems: tuple[str, ...]  # files other than runs that cannot be used
    methods: tuple[str, ...]  # in the order in which sweeps name them
    sweeps: tuple[dict[str, Any], ...] = ()  # what was asked for, as the sweep files say

    @property
    def done(self) -> list[Run]:
        """Runs with a valid record."""
        return [run for run in self.runs if run.state == "done"]

    @property
    def absent(self) -> list[Run]:
        """Runs that were asked for or begun and have no valid record."""
        return [run for run in self.runs if run.state != "done"]

    @property
    def digest(self) -> str:
        """Twelve hex digits over the records in use: equal for equal records, whatever folder they lie in."""
        joined = "\n".join(sorted(run.digest for run in self.done))
        return hashlib.sha256(joined.encode()).hexdigest()[:12]

    def run_frame(self) -> "pd.DataFrame":
        """A row a run, also those without a record: state, reason, identity, every metric, bytes, steps, seconds."""
        import pandas as pd

        return pd.DataFrame([run_row(run) for run in self.runs])

    def cell_frame(self) -> "pd.DataFrame":
        """A row a measured cell of the accuracy matrix: after (experience), task, accuracy, count."""
        return self._frame(
            {"run_id": run.run_id, "after": i, "task": j, "accuracy": value, "count": run.record["counts"][i][j]}
            for run in self.done
            for i, row in enumerate(run.record["accuracy"])
            for j, value in enumerate(row)
            if value is not None
        )

    def class_frame(self) -> "pd.DataFrame":
        """A row a class and experience: class, task, after, accuracy, count."""
        return self._frame(
            {
                "run_id": run.run_id,
                "class": name,
                "task": task,
                "after": i,
                "accuracy": value,
                "count": run.record["classes"].get(name),
            }
            for run in self.done
            for task, names in enumerate(run.record["class_order"])
            for name in names
            for i, value in enumerate(run.record["per_class"].get(name, ()))
            if value is not None
        )

    def phase_frame(self) -> "pd.DataFrame":
        """A row a phase: steps, samples, seconds over the whole run."""
        return self._frame(
            {
                "run_id": run.run_id,
                "phase": phase,
                "steps": run.record["work"]["steps"].get(phase, 0),
                "samples": run.record["work"]["samples"].get(phase, 0),
                "seconds": run.record["seconds"]["by_phase"].get(phase),
            }
            for run in self.done
            for phase in {**run.record["work"]["steps"], **run.record["seconds"]["by_phase"]}
        )

    def holder_frame(self) -> "pd.DataFrame":
        """A row a holder and moment: experience, phase, at, holder, bytes."""
        return self._frame(
            {
                "run_id": run.run_id,
                **{key: row[key] for key in ("experience", "phase", "at")},
                "holder": holder,
                "bytes": size,
            }
            for run in self.done
            for row in run.record["memory"]["per_experience"]
            for holder, size in row["holders"].items()
        )

    def drift_frame(self) -> "pd.DataFrame":
        """A row a measure and experience: measure, experience, value."""
        return self._frame(
            {"run_id": run.run_id, "measure": measure, "experience": i, "value": value}
            for run in self.done
            for measure, values in (run.record["drift"] or {}).items()
            for i, value in enumerate(values or ())
            if value is not None
        )

    def _frame(self, rows: Iterable[dict[str, Any]]) -> "pd.DataFrame":
        import pandas as pd

        return pd.DataFrame(list(rows))


def run_row(run: Run) -> dict[str, Any]:
    """One flat row of a run; a run without a record has only its identity, state and reason."""
    row: dict[str, Any] = {
        "run_id": run.run_id, "out": str(run.folder.parent), "state": run.state, "reason": run.reason,
        "method": run.method, "seed": run.seed, "order_seed": run.order_seed,
    }  # fmt: skip
    record = run.record
    if record is None:
        return row
    memory, steps, seconds = record["memory"], record["work"]["steps"], record["seconds"]
    return row | {
        **{key: record[key] for key in ("benchmark", "label", "setting", "profile", "evaluate", "bound", "opaque")},
        "protocol": record["protocol"]["id"], "protocol_hash": record["protocol"]["hash"],
        **metrics.summary(record),
        "budget": memory["budget"], "count": memory["count"], "bytes_carried": memory["carried_max"],
        "bytes_live": memory["live"], "bytes_total": memory["total"], "bytes_scratch": memory["scratch_peak"],
        "clips_stored": memory["clips_stored"], "capacity": memory["capacity"], "bytes_process": memory["peak_process"],
        "steps_compressor": steps.get("compressor", 0), "steps_classifier": steps.get("classifier", 0),
        "seconds": seconds["total"], "seconds_cpu": seconds["cpu_total"],
        "seconds_refresh": seconds["by_phase"].get("refresh", 0.0),
        "seconds_rehearsal": seconds["by_phase"].get("rehearsal"),
        "sources": record["sources"], "device": record["device"], "precision": record["precision_used"],
        "clip_table": record["clip_table_hash"], "digest": run.digest,
    }  # fmt: skip


def load(outs: Sequence[Path | str] | Path | str, run_ids: Sequence[str] | None = None) -> Loaded:
    """Read out folders; bad or partial records are named and left out, never fatal.

    `run_ids` keeps only these runs. Raises ValueError where a folder does not exist or holds no run at all.
    """
    folders = tuple(Path(out) for out in ([outs] if isinstance(outs, str | Path) else outs))
    problems: list[str] = []
    methods: list[str] = []
    sweeps: list[dict[str, Any]] = []
    found: dict[str, Run] = {}
    cache = _ValidatedCache()
    for out in folders:
        _check_out(out)
        asked = _asked(out, problems, methods, sweeps)
        present = {path.name for path in out.iterdir() if path.is_dir() and _looks_like_run(path)}
        for run_id in [*asked, *sorted(present - set(asked))]:
            if run_ids is None or run_id in run_ids:
                _merge(found, _read_run(out / run_id, asked.get(run_id, ()), cache), problems)
    cache.save()
    for run_id in run_ids or ():
        if run_id not in found:
            found[run_id] = _stub(Run(run_id, folders[0] / run_id, "missing", "no folder"), methods)
    if not found and not problems:
        raise ValueError(f"no runs in {', '.join(map(str, folders))}: an out folder holds sweeps/ and a folder a run")
    return Loaded(folders, tuple(found.values()), tuple(problems), tuple(methods), tuple(sweeps))


def of_sweep(loaded: Loaded, name: str) -> Loaded:
    """The runs of the newest sweep of a preset, or of the sweep with an id; `all` keeps every run.

    Raises ValueError where no sweep is called so.
    """
    if name == "all":
        return loaded
    found = [sweep for sweep in loaded.sweeps if name in (sweep.get("preset"), sweep.get("id"))]
    if not found:
        known = [str(s.get(key)) for s in loaded.sweeps for key in ("preset", "id") if s.get(key)]
        raise ValueError(f"sweep={name}: there is none; sweeps: {', '.join(dict.fromkeys([*known, 'all']))}")
    newest = max(found, key=lambda sweep: str(sweep.get("created")))
    wanted = set(map(str, newest["runs"]))
    runs = tuple(run for run in loaded.runs if run.run_id in wanted)
    return replace(loaded, runs=runs, sweeps=(newest,))


def read_json(path: Path) -> tuple[Any, bytes]:
    """A JSON file and its bytes; raises ValueError or OSError with one line."""
    if path.stat().st_size > LARGEST_RECORD:
        raise ValueError(f"{path.name} has {path.stat().st_size} bytes, more than {LARGEST_RECORD}")
    content = path.read_bytes()
    try:
        return json.loads(content), content
    except RecursionError:
        raise ValueError(f"{path.name} is nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"{path.name} is not JSON: {error}") from None


def _check_out(out: Path) -> None:
    if (out / "record.json").exists():
        raise ValueError(f"{out} is the folder of one run: give the out folder above it, {out.resolve().parent}")
    if not out.is_dir():
        names = [path.name for path in out.parent.iterdir() if path.is_dir()] if out.parent.is_dir() else []
        near = difflib.get_close_matches(out.name, names, 1)
        hint = f" (did you mean {out.parent / near[0]}?)" if near else ""
        raise ValueError(f"{out} is not a folder{hint}")


def _looks_like_run(path: Path) -> bool:
    return any((path / name).exists() for name in ("record.json", "status.json", "config.json"))


def _asked(out: Path, problems: list[str], methods: list[str], sweeps: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Run ids that sweeps ask for -> methods of their sweep, in the order of asking."""
    asked: dict[str, list[str]] = {}
    found: list[tuple[str, Path, dict[str, Any], list[str]]] = []
    for path in sorted((out / "sweeps").glob("*.json")) if (out / "sweeps").is_dir() else ():
        try:
            sweep, _ = read_json(path)
            runs, names = sweep["runs"], [str(name) for name in sweep.get("methods", ())]
            if not isinstance(runs, list):
                raise ValueError("runs is not a list")
        except (ValueError, OSError, KeyError, TypeError, AttributeError) as error:
            problems.append(f"{path}: not a sweep: {_one_line(error)}")
            continue
        found.append((str(sweep.get("created", "")), path, sweep, names))
    for _, path, sweep, names in sorted(found, key=lambda each: each[:2]):
        runs = sweep["runs"]
        sweeps.append(sweep)
        methods.extend(name for name in names if name not in methods)
        for run_id in runs:
            if isinstance(run_id, str) and RUN_ID.match(run_id):
                asked.setdefault(run_id, names)
            else:
                problems.append(f"{path}: not a run id: {str(run_id)[:80]!r}")
    return asked


def _merge(found: dict[str, Run], run: Run, problems: list[str]) -> None:
    """The same run may lie in several out folders: one done record counts once."""
    other = found.get(run.run_id)
    if other is None or (other.state != "done" and run.state == "done"):
        found[run.run_id] = run
    elif run.state == "done" and run.digest != other.digest:
        problems.append(f"{run.folder}: the same run lies in {other.folder}, which is used instead")


def _read_run(folder: Path, methods: Sequence[str], cache: "_ValidatedCache") -> Run:
    run_id = folder.name
    if not (folder / "record.json").exists():
        return _read_unfinished(folder, methods)
    try:
        record, content = read_json(folder / "record.json")
        digest = hashlib.sha256(content).hexdigest()
        if digest not in cache:
            validate(record)
            cache.add(digest)
        if record["run_id"] != run_id:
            raise ValueError(f"run_id: the record says {record['run_id']!r}, but lies in folder {run_id!r}")
    except (ValueError, OSError, RecursionError) as error:
        return _stub(Run(run_id, folder, "bad", f"record.json: {_one_line(error)}"), methods)
    return Run(
        run_id, folder, "done", "", record, record["config"], digest,
        record["method"]["name"], record["seed"], record["order_seed"],
    )  # fmt: skip


def _read_unfinished(folder: Path, methods: Sequence[str]) -> Run:
    state, reason = "missing", "never begun"
    try:
        status, _ = read_json(folder / "status.json")
        state, reason = str(status["state"]), _one_line(status["reason"]) if status.get("reason") else ""
        if state == "done":
            state, reason = "bad", "status.json says done, but there is no record.json"
        elif state not in ("queued", "running", "preempted", "failed"):
            state, reason = "bad", f"status.json: unknown state {state[:40]!r}"
        elif state == "running" and time.time() - float(status.get("heartbeat") or 0) > STALE_AFTER:
            reason = f"no heartbeat for {time.time() - float(status.get('heartbeat') or 0):.0f} s"
    except FileNotFoundError:
        pass
    except (ValueError, OSError, KeyError, TypeError, AttributeError) as error:
        state, reason = "bad", f"status.json: {_one_line(error)}"
    return _stub(Run(folder.name, folder, state, reason), methods)


def _stub(run: Run, methods: Sequence[str]) -> Run:
    """A run without a record: its cell is known from config.json, else method and seeds from its id."""
    config: dict[str, Any] | None = None
    method, seed, order_seed = "", None, None
    parts = RUN_ID_PARTS.match(run.run_id)
    if parts:
        seed, order_seed = int(parts["seed"]), int(parts["order_seed"])
        squeezed = _letters(parts["prefix"])
        method = max((name for name in methods if squeezed.endswith(_letters(name))), key=len, default="")
    try:
        config, _ = read_json(run.folder / "config.json")
        method, seed, order_seed = str(config["method"]["name"]), int(config["seed"]), int(config["order_seed"])
    except (ValueError, OSError, KeyError, TypeError):
        config = None
    return Run(run.run_id, run.folder, run.state, run.reason, None, config, "", method, seed, order_seed)


def _letters(name: str) -> str:
    """A name as it can stand in a run id, whatever stands in for characters that a folder cannot have."""
    return re.sub(r"[^A-Za-z0-9]", "", name)


def _one_line(error: object) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 300 else text[:299] + "…"


class _ValidatedCache:
    """sha256 of records that passed this schema; in the user's cache, since an out folder cannot vouch for itself.

    It only saves time: where the folder cannot be read or written, every record is validated again.
    """

    def __init__(self) -> None:
        root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
        self.path = root / "video-cl-harness" / f"validated-{schema_hash()}.txt"
        self.new: set[str] = set()
        try:
            self.known = set(self.path.read_text().split())
        except OSError:
            self.known = set()

    def __contains__(self, digest: str) -> bool:
        return digest in self.known

    def add(self, digest: str) -> None:
        self.new.add(digest)

    def save(self) -> None:
        if not self.new:
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            beside = self.path.with_suffix(f".{os.getpid()}")
            beside.write_text("\n".join(sorted(self.known | self.new)))
            os.replace(beside, self.path)
        except OSError:
            return
