"""Files that a power cut or a full disk leaves whole: the old one or the new one, never half of it."""

import errno
import os
from pathlib import Path
from typing import Any


def to_disk(file: Any) -> None:
    """What was written to an open file is on the disk."""
    file.flush()
    os.fsync(file.fileno())


def settle(path: Path) -> None:
    """The same for a file that is closed."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())


def write_through(path: Path, data: bytes) -> None:
    """Write beside, to the disk itself, then replace."""
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        with open(beside, "wb") as file:
            file.write(data)
            to_disk(file)
        os.replace(beside, path)
    except OSError:
        beside.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """New names in a folder are on the disk too; some file systems cannot be asked for that."""
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(number)
