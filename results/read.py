"""From out folders to runs. It also finds runs that were asked for and are missing, failed or damaged."""

import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.common.files import read_json
from harness.common.folders import RunFolder, is_run_id, sweeps
from harness.common.words import nearest, one_line
from results.runs import DoneRun, LoadedRun, Runs, done_run
from results.schema import is_intact, parse

RUN_ID_PARTS = re.compile(r"^(?P<prefix>.+)-s(?P<seed>\d+)-o(?P<order_seed>\d+)-[0-9a-f]{10}$")
LARGEST_RECORD = 64 * 2**20
LONGEST_REASON = 300  # characters


def read(outs: Sequence[Path | str] | Path | str, run_ids: Sequence[str] | None = None) -> Runs:
    """Read out folders. Bad or partial records are named and left out. `run_ids` keeps only these runs.

    Raises:
        ValueError: a folder does not exist or holds no run at all.
    """
    folders = tuple(Path(out) for out in ([outs] if isinstance(outs, str | Path) else outs))
    problems: list[str] = []
    methods: list[str] = []
    asked_for: list[dict[str, Any]] = []
    found: dict[str, LoadedRun] = {}
    for out in folders:
        _check_out(out)
        asked = _asked(out, problems, methods, asked_for)
        present = {path.name for path in out.iterdir() if path.is_dir() and _looks_like_run(RunFolder(path))}
        for run_id in [*asked, *sorted(present - set(asked))]:
            if run_ids is None or run_id in run_ids:
                _merge(found, _read_run(RunFolder(out / run_id), asked.get(run_id, ())), problems)
    for run_id in run_ids or ():
        if run_id not in found:
            found[run_id] = _without_record(RunFolder(folders[0] / run_id), "missing", "no folder", methods)
    if not found and not problems:
        raise ValueError(f"no runs in {', '.join(map(str, folders))}: an out folder holds sweeps/ and a folder a run")
    return Runs(folders, tuple(found.values()), tuple(problems), tuple(methods), tuple(asked_for))


def _check_out(out: Path) -> None:
    if RunFolder(out).record_file.exists():
        raise ValueError(f"{out} is the folder of one run: give the out folder above it, {out.resolve().parent}")
    if not out.is_dir():
        names = [path.name for path in out.parent.iterdir() if path.is_dir()] if out.parent.is_dir() else []
        raise ValueError(f"{out} is not a folder{nearest(out.name, names)}")


def _looks_like_run(folder: RunFolder) -> bool:
    return any(file.exists() for file in (folder.record_file, folder.status_file, folder.config_file))


def _asked(out: Path, problems: list[str], methods: list[str], found: list[dict[str, Any]]) -> dict[str, list[str]]:
    """Run ids that sweeps ask for -> methods of their sweep, in the order of asking."""
    asked: dict[str, list[str]] = {}
    for sweep in sweeps(out, problems):
        if not isinstance(sweep.get("runs"), list) or not isinstance(sweep.get("methods", []), list):
            problems.append(f"{out / 'sweeps'}: sweep {str(sweep.get('id'))[:80]!r} names no list of runs")
            continue
        names = list(map(str, sweep.get("methods", [])))
        found.append(sweep)
        methods.extend(name for name in names if name not in methods)
        for run_id in sweep["runs"]:
            if is_run_id(run_id):
                asked.setdefault(run_id, names)
            else:
                problems.append(f"{out / 'sweeps'}: not a run id: {str(run_id)[:80]!r}")
    return asked


def _merge(found: dict[str, LoadedRun], run: LoadedRun, problems: list[str]) -> None:
    """Merge a run that lies in several out folders: its record counts once."""
    other = found.get(run.run_id)
    if other is None or (isinstance(run, DoneRun) and not isinstance(other, DoneRun)):
        found[run.run_id] = run
    elif isinstance(run, DoneRun) and isinstance(other, DoneRun) and run.digest != other.digest:
        problems.append(f"{run.folder}: the same run lies in {other.folder}, which is used instead")


def _read_run(folder: RunFolder, methods: Sequence[str]) -> LoadedRun:
    try:
        size = folder.record_file.stat().st_size
    except OSError:
        return _without_record(folder, *_state(folder), methods)
    try:
        if size > LARGEST_RECORD:
            raise ValueError(f"{size} bytes are more than {LARGEST_RECORD}")
        content = folder.record_file.read_bytes()
        record = parse(content)
        if not is_intact(content):
            raise ValueError("checksum: this is not what the run wrote; the file was changed or damaged since")
        if record.run_id != folder.run_id:
            raise ValueError(f"run_id: the record says {record.run_id!r}, but lies in folder {folder.run_id!r}")
    except (ValueError, OSError) as error:
        return _without_record(folder, "bad", f"record.json: {_short(one_line(error))}", methods)
    return done_run(folder.path, record, content)


def _state(folder: RunFolder) -> tuple[str, str]:
    """State and reason of a run without a record, from its status.json."""
    if not folder.status_file.exists():
        return "missing", "never begun"
    if not read_json(folder.status_file):
        return "bad", "status.json cannot be read"
    status = folder.status()
    if status.state == "done":
        return "bad", "status.json says done, but there is no record.json"
    if status.state not in ("queued", "running", "preempted", "failed"):
        return "bad", f"status.json: unknown state {str(status.state)[:40]!r}"
    if not isinstance(status.heartbeat, int | float):
        return "bad", "status.json: the heartbeat is no number"
    if status.is_stale:
        return status.state, f"no heartbeat for {time.time() - status.heartbeat:.0f} s"
    return status.state, _short(" ".join(str(status.reason or "").split()))


def _without_record(folder: RunFolder, state: str, reason: str, methods: Sequence[str]) -> LoadedRun:
    """A run without a record. Its config.json says its cell; without that, its id says method and seeds."""
    method, seed, order_seed = "", None, None
    parts = RUN_ID_PARTS.match(folder.run_id)
    if parts:
        seed, order_seed = int(parts["seed"]), int(parts["order_seed"])
        squeezed = _letters(parts["prefix"])
        method = max((name for name in methods if squeezed.endswith(_letters(name))), key=len, default="")
    config = folder.config()
    try:
        method, seed, order_seed = str(config["method"]["name"]), int(config["seed"]), int(config["order_seed"])
    except (ValueError, KeyError, TypeError):
        config = {}
    return LoadedRun(folder.run_id, folder.path, state, reason, method, seed, order_seed, config or None)


def _letters(name: str) -> str:
    """The letters and digits of a name: what is left of it in a run id, where other characters are replaced."""
    return re.sub(r"[^A-Za-z0-9]", "", name)


def _short(text: str) -> str:
    return text if len(text) <= LONGEST_REASON else text[: LONGEST_REASON - 1] + "…"
