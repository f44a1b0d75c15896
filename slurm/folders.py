"""Run folders as this room sees them: record.json says that a run is done, status.json where it is."""

import json
import os
import re
from pathlib import Path
from types import NoneType
from typing import Any

RUN_ID = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,254}")
LAST_BYTES = b"\n}\n"  # of each JSON file that the project writes
FIELDS: dict[str, tuple[type, ...]] = {
    "state": (str,), "heartbeat": (int, float), "position": (dict,), "reason": (str,), "pid": (int,), "host": (str,),
    "started": (int, float), "restarts": (int,),
}  # fmt: skip


def read_json(path: Path) -> dict[str, Any]:
    """The object in a file; empty where there is none that can be read."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def read_status(folder: Path) -> dict[str, Any]:
    """status.json of a run folder; empty where none can be read, queued with a reason where it is none of ours."""
    status = read_json(folder / "status.json")
    wrong = [name for name, allowed in FIELDS.items() if not isinstance(status.get(name), (*allowed, NoneType))]
    place = status.get("position") or {}
    wrong += [] if status.get("state", "queued") in ("queued", "running", "preempted", "failed", "done") else ["state"]
    if not wrong and place:
        numbers = ("experience", "n_experiences", "step", "steps")
        right = isinstance(place.get("phase"), str) and all(isinstance(place.get(name), int) for name in numbers)
        wrong += [] if right else ["position"]
    if wrong:
        return {"state": "queued", "reason": f"its status.json is none that we write: {wrong[0]} is not possible"}
    return status


def is_done(folder: Path) -> bool:
    """Whether record.json is there to its last byte."""
    try:
        with open(folder / "record.json", "rb") as file:
            file.seek(-len(LAST_BYTES), os.SEEK_END)
            return file.read() == LAST_BYTES
    except OSError:
        return False


def run_ids(names: Any) -> list[str]:
    """Those of some names that can be run ids: no path leads out of a folder of runs by them."""
    return (
        [name for name in names if isinstance(name, str) and RUN_ID.fullmatch(name)] if isinstance(names, list) else []
    )


def state(folder: Path) -> str:
    """State of a run by its own files alone: queued, running, preempted, failed or done."""
    return "done" if is_done(folder) else str(read_status(folder).get("state", "queued"))


def unfinished(folders: list[str]) -> list[str]:
    """The folders whose runs are neither done nor failed."""
    return [folder for folder in folders if state(Path(folder)) not in ("done", "failed")]


def mark(folder: Path, state: str, reason: str | None) -> None:
    """Change state and reason in status.json."""
    write_json(folder / "status.json", read_status(folder) | {"state": state, "reason": reason})


def write_json(path: Path, content: Any) -> None:
    """Write beside, then replace: a reader never sees half a file."""
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(content, indent=1) + "\n")
    os.replace(temporary, path)
