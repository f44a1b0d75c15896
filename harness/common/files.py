"""Files that are written beside and then replaced, so that a reader never sees half a file."""

import contextlib
import hashlib
import json
import os
from pathlib import Path
from typing import Any


def text_of(content: Any) -> str:
    """The text of a JSON file; it ends in a line break, which tells that no byte is missing.

    Raises:
        ValueError: a number is not finite, which JSON cannot hold.
    """
    return json.dumps(content, indent=1, allow_nan=False) + "\n"


def write_json(path: Path, content: Any, durable: bool = False) -> None:
    """Write `content` as JSON; see `write_bytes`."""
    write_bytes(path, text_of(content).encode(), durable)


def write_text(path: Path, text: str, durable: bool = False) -> None:
    """Write `text` as UTF-8; see `write_bytes`."""
    write_bytes(path, text.encode(), durable)


def write_bytes(path: Path, data: bytes, durable: bool = False) -> None:
    """Write a file beside and replace the old one; with `durable` it has reached the disk when this returns.

    Raises:
        OSError: the file cannot be written; the old file stays as it was and nothing is left beside it.
    """
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        with open(beside, "wb") as file:
            file.write(data)
            if durable:
                file.flush()
                os.fsync(file.fileno())
        os.replace(beside, path)
    except OSError:
        with contextlib.suppress(OSError):
            beside.unlink(missing_ok=True)
        raise
    if durable:
        sync_folder(path.parent)


def sync_file(path: Path) -> None:
    """Wait until a file's content has reached the disk."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Wait until the names in a folder have reached the disk; some file systems cannot, and that is no error."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file; an empty one where the file is missing, damaged or holds something else."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError, RecursionError):
        return {}
    return content if isinstance(content, dict) else {}


def sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, as 64 hex digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
