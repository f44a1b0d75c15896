"""Run folders as this room sees them: record.json says that a run is done, status.json where it is."""

import json
import os
from pathlib import Path
from typing import Any


def read_json(path: Path) -> dict[str, Any]:
    """The object in a file; empty where there is none that can be read."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def read_status(folder: Path) -> dict[str, Any]:
    """status.json of a run folder; empty where there is none that can be read."""
    return read_json(folder / "status.json")


def state(folder: Path) -> str:
    """State of a run by its own files alone: queued, running, preempted, failed or done."""
    return "done" if (folder / "record.json").exists() else str(read_status(folder).get("state", "queued"))


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
