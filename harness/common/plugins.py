"""A user's files that register entries: loaded by path, known by their bytes, replaced when they are edited."""

import hashlib
import importlib.util
import re
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.common.files import sha256
from harness.common.registry import REGISTRIES, drop, plugin_of


@dataclass(frozen=True)
class Plugin:
    """One file, its SHA-256, what it registered by kind, and the files of its folder that it imports."""

    path: Path
    sha256: str
    registered: dict[str, list[str]]
    imports: tuple[Path, ...] = ()

    def files(self) -> list[dict[str, str]]:
        """Path and SHA-256 of the file and of what it imports from its folder, as a run's config records them."""
        return [{"path": str(path), "sha256": sha256(path)} for path in (self.path, *self.imports)]


LOADED: dict[Path, Plugin] = {}
Listed = Sequence[Mapping[str, str]]  # path and sha256 of each file, as a run's config records them


def of_run(config: Mapping[str, Any]) -> Listed:
    """The user's files that a run needs: those that its id is made of, then those of its loggers."""
    listed = [*config["plugins"], *config["execution"].get("log", {}).get("plugins", ())]
    return list({entry["path"]: entry for entry in listed}.values())


def load_listed(listed: Listed, root: Path) -> None:
    """Load the plug-ins of a run: the copies below `root` if it is a snapshot of the sources, else the user's.

    Others stay: those of launchers, tables and plots, which the command named, are in no run's list.

    Raises:
        ValueError: a file is not the one that the run was asked for with.
    """
    copies = places(listed, root)
    files = copies if copies and copies[0].exists() else [Path(entry["path"]) for entry in listed]
    imported: set[Path] = set()
    for file, entry in zip(files, listed, strict=True):
        if file.exists() and sha256(file) != entry["sha256"]:
            raise ValueError(f"plugins: '{file}' was changed since the run was asked for; ask for it again")
    for file in files:
        if file.resolve() not in imported:  # what a plug-in imports registers nothing itself
            imported |= {path.resolve() for path in _load_one(str(file)).imports}


def places(listed: Listed, root: Path) -> list[Path]:
    """Where a snapshot keeps the files of a run's plug-ins: files of one folder together, so that imports find them.

    Raises:
        ValueError: a sha256 in the list is none.
    """
    for entry in listed:
        if not re.fullmatch(r"[0-9a-f]{64}", entry["sha256"]):
            raise ValueError(f"plugins: sha256 of '{entry['path']}' is no sha256; ask for the run again")
    folders = list(dict.fromkeys(Path(entry["path"]).parent for entry in listed))
    files = [Path(entry["path"]) for entry in listed]
    return [root / "plugins" / listed[0]["sha256"] / str(folders.index(file.parent)) / file.name for file in files]


def named(words: Sequence[str]) -> list[str]:
    """The files that `plugins=[...]` names among the words of a command line."""
    lists = [word.partition("=")[2].strip("[]") for word in words if word.startswith("plugins=")]
    return [path.strip() for text in lists for path in text.split(",") if path.strip()]


def load(paths: Sequence[str]) -> list[Plugin]:
    """Load the plug-in files of a command; a file whose bytes are as before is not loaded again.

    What other files registered before is dropped: a command knows the plug-ins that it names and no others.

    Raises:
        ValueError: a path is no file, a file does not load, or it registers nothing; the line names the file.
    """
    wanted = {Path(given).expanduser().resolve() for given in paths}
    for path in [path for path in LOADED if path not in wanted]:
        drop(path)
        del LOADED[path]
    return [_load_one(given) for given in paths]


def _load_one(given: str) -> Plugin:
    path = Path(given).expanduser().resolve()
    if not path.is_file():
        what = "is a folder; name the Python file in it" if path.is_dir() else "is no file"
        raise ValueError(f"plugins: '{given}' {what}")
    digest = sha256(path)
    old = LOADED.get(path)
    if old is not None and old.sha256 == digest and _still_there(old):
        return old
    for imported in old.imports if old else ():  # an edited helper file is read again
        for name in [name for name, module in sys.modules.items() if getattr(module, "__file__", "") == str(imported)]:
            del sys.modules[name]
    registered, imports = _execute(given, path)
    if not registered:
        kinds = ", ".join(REGISTRIES)
        raise ValueError(f"plugins: '{given}' registers nothing (a plug-in registers one or more of: {kinds})")
    LOADED[path] = Plugin(path, digest, registered, imports)
    return LOADED[path]


def _still_there(plugin: Plugin) -> bool:
    names = [(kind, name) for kind, listed in plugin.registered.items() for name in listed]
    files = LOADED[plugin.path].imports
    return all(name in REGISTRIES[kind] for kind, name in names) and all(file.is_file() for file in files)


def _execute(given: str, path: Path) -> tuple[dict[str, list[str]], tuple[Path, ...]]:
    """Run the file as a module of its own; returns what it registered and what it imported from its folder."""
    name = f"plugin_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ValueError(f"plugins: '{given}' is not a Python file")
    module = importlib.util.module_from_spec(spec)
    known, old = set(sys.modules), sys.modules.get(name)
    sys.modules[name] = module
    sys.path.insert(0, str(path.parent))
    try:
        with plugin_of(path) as registered:
            spec.loader.exec_module(module)
    except Exception as error:
        sys.modules.pop(name, None)
        if old is not None:
            sys.modules[name] = old
        what = f"{error}" if isinstance(error, ValueError) else f"does not load: {type(error).__name__}: {error}"
        raise ValueError(f"plugins: '{given}'{_line(error, path)} {what}") from error
    finally:
        sys.path.remove(str(path.parent))
    new = [getattr(sys.modules[each], "__file__", None) for each in set(sys.modules) - known - {name}]
    # Some modules of torch name files that do not exist, relative to whatever folder the command began in.
    files = {Path(file).resolve() for file in new if file and Path(file).is_file()}
    imports = sorted(file for file in files if file.parent == path.parent)
    return registered, tuple(imports)


def _line(error: Exception, path: Path) -> str:
    """`, line N,` of a plug-in's file where loading it failed; empty where the error names no line of it."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    if isinstance(error, SyntaxError) and error.filename == str(path):
        lines.append(error.lineno)
    return f", line {lines[-1]}," if lines else ""
