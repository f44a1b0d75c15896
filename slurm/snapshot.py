"""The code that is submitted is the code that runs. A copy of it lies next to the runs, named by its content."""

import hashlib
import json
import os
import shutil
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path

from harness.common.plugins import Listed, places
from harness.common.sources import ROOMS, ROOT, git_state, uncommitted

LEFT_OUT = ("__pycache__",)
LARGEST = 500_000_000  # bytes of annotations


def take(out: Path, plugins: Iterable[Listed] = ()) -> Path:
    """Copy the sources and the user's plug-ins to OUT/slurm/code/<hash of their content>, if they are not there yet.

    `plugins` lists the plug-in files of each run. git.json says which commit the sources are, uncommitted.diff how they
    differ from it.
    """
    content = {str(path.relative_to(ROOT)): path.read_bytes() for path in source_files()}
    for listed in plugins:
        for place, entry in zip(places(listed, ROOT), listed, strict=True):
            content[str(place.relative_to(ROOT))] = Path(entry["path"]).read_bytes()
    return kept(out / "slurm" / "code", content, git_files)


def annotations(out: Path, path: Path) -> Path:
    """Copy the user's annotations, a file or a folder, to OUT/slurm/annotations/<hash>/; returns the copy."""
    files = [path] if path.is_file() else [each for each in sorted(path.rglob("*")) if each.is_file()]
    files = [each for each in files if not any(part.startswith(".") for part in each.relative_to(path.parent).parts)]
    size = sum(each.stat().st_size for each in files)
    if size > LARGEST:
        raise ValueError(f"benchmark.annotations={path} holds {size / 1e6:.0f} MB, more than the {LARGEST // 10**6} MB "
                         "that are copied for jobs: give a folder of the annotations alone")  # fmt: skip
    content = {str(each.relative_to(path.parent)): each.read_bytes() for each in files}
    return kept(out / "slurm" / "annotations", content) / path.name


def kept(place: Path, content: dict[str, bytes], more: Callable[[], dict[str, bytes]] = dict) -> Path:
    """The folder in `place` named by a hash of its content. If it is missing, it is made, and gets `more` too."""
    digest = hashlib.sha256()
    for name, data in sorted(content.items()):
        digest.update(f"{name}\0{len(data)}\0".encode() + data)
    folder = place / digest.hexdigest()[:16]
    if not folder.exists():
        content = content | more()
        beside = folder.with_name(f"{folder.name}.{uuid.uuid4().hex[:6]}")
        for name, data in content.items():
            (beside / name).parent.mkdir(parents=True, exist_ok=True)
            (beside / name).write_bytes(data)
        try:
            os.replace(beside, folder)
        except OSError:  # another command was quicker with the same content
            shutil.rmtree(beside)
    return folder


def source_files() -> list[Path]:
    """Every file of the project's rooms."""
    files = (path for room in ROOMS for path in sorted((ROOT / room).rglob("*")))
    return [path for path in files if path.is_file() and not set(path.parts) & set(LEFT_OUT)]


def git_files() -> dict[str, bytes]:
    """Commit and differences of a git checkout, or of the snapshot that these sources are; else nothing."""
    state = git_state()
    if state["commit"] is None:
        return {}
    return {"git.json": json.dumps(state).encode(), "uncommitted.diff": (uncommitted() or "").encode()}
