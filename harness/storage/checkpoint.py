"""The state of a run between two steps. A file is never changed once it is written, and loading runs no code.

A checkpoint is a manifest (manifest-V.json: version, run, sources, checksums) that names a state file (state-V.pt) and
the chunk files of stored rows (NAME-K-vV.bin). A chunk that did not change keeps the file of an earlier version. All
files are fsynced before the manifest that names them is put in place. The two newest manifests stay; files that neither
of them names are removed.
"""

import contextlib
import hashlib
import json
import os
import random
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any, cast

import numpy as np
import torch

from harness.common.files import sync_file, write_json

FORMAT = 2
KEPT = 2  # manifests
CHUNKED_FROM = 1 << 16  # bytes of stored rows; fewer are part of the state file
WRITERS = 2  # threads: one hashes while the other waits for the disk
NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,200}")
# Of stored rows [N, bytes]: the rows of a chunk, and one number per chunk that changes with each write to the chunk.
Changes = tuple[int, np.ndarray]
Place = tuple[str, str, str]  # of a tensor in what is saved


class Damaged(Exception):
    """A checkpoint that was cut, lost a file, or holds other bytes than were written."""


class Checkpoints:
    """The checkpoints of one run. If one is damaged, a line on stderr says so and the one before it is used."""

    def __init__(self, folder: Path, run_id: str, sources: str):
        self.folder, self.run_id, self.sources = folder, run_id, sources
        self.version = max((_version(path) for path in self._manifests()), default=0)
        self.newest: dict[str, Any] = {"files": {}, "chunks": {}}
        self.saved: dict[str, np.ndarray] = {}  # versions of chunks as of the newest manifest
        self.bytes_written = 0  # by the last save

    def save(self, content: dict[str, Any], changes: Mapping[Place, Changes]) -> None:
        """Write tensors and plain values; `changes` says which tensors, by their place in `content`, are stored rows.

        If writing fails (OSError), the earlier checkpoints stay as they were.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        self.version += 1
        changes = {path: each for path, each in changes.items() if _at(content, path).nbytes >= CHUNKED_FROM}
        files: dict[str, Any] = {}
        chunks: dict[str, Any] = {}
        try:
            for path, each in changes.items():
                chunks[".".join(path[1:])] = self._save_rows(".".join(path[1:]), _at(content, path), each, files)
            name = f"state-{self.version:08}.pt"
            files[name] = self._write(name, lambda file: _save(_without(content, changes), file))
            self._settle(files)
            manifest = {"format": FORMAT, "version": self.version, "run_id": self.run_id, "sources": self.sources,
                        "files": files, "chunks": chunks}  # fmt: skip
            signed = {**manifest, "sha256": _digest_of(manifest)}
            write_json(self.folder / f"manifest-{self.version:08}.json", signed, durable=True)
        except OSError:
            for file in self.folder.glob(f"*{self.version:08}.*"):
                file.unlink()
            raise
        self.newest = manifest
        self.saved = {".".join(path[1:]): versions.copy() for path, (_, versions) in changes.items()}
        self._remove_old()

    def _save_rows(self, name: str, rows: torch.Tensor, changes: Changes, files: dict[str, Any]) -> dict[str, Any]:
        """Write the chunks that changed, and name all of them in `files`."""
        before = self.newest["chunks"].get(name, {"names": []})["names"]
        (size, versions), known, data = changes, self.saved.get(name, ()), rows.numpy()
        chunks = range(-(-len(data) // size))
        untouched = {k for k, (old, new) in enumerate(zip(known, versions, strict=False)) if old == new}

        def one(k: int) -> tuple[str, dict[str, Any]]:
            chunk = data[k * size : (k + 1) * size]
            old = self.newest["files"].get(before[k], {}) if k < len(before) else {}
            same = old.get("bytes") == chunk.nbytes
            if same and (k in untouched or old["sha256"] == hashlib.sha256(chunk.data).hexdigest()):
                return before[k], old
            made = f"{name}-{k}-v{self.version:08}.bin"
            return made, self._write(made, lambda file: file.write(chunk))

        with ThreadPoolExecutor(WRITERS) as pool:
            work = {k: pool.submit(one, k) for k in chunks if k not in untouched}
            named = [work[k].result() if k in work else one(k) for k in chunks]
        files.update(named)
        return {"shape": list(data.shape), "rows": size, "names": [made for made, _ in named]}

    def _write(self, name: str, put: Callable[["_Hashed"], Any]) -> dict[str, Any]:
        with open(self.folder / name, "wb", buffering=0) as file:
            put(hashed := _Hashed(file))
        return {"bytes": hashed.bytes, "sha256": hashed.digest.hexdigest()}

    def _settle(self, files: dict[str, Any]) -> None:
        """Wait for the disk once for all files of this version. Waiting for each file would take longer."""
        new = [name for name in files if f"{self.version:08}." in name]
        self.bytes_written = sum(files[name]["bytes"] for name in new)
        if len(new) == 1:  # a thread would only cost time
            sync_file(self.folder / new[0])
            return
        with ThreadPoolExecutor(WRITERS) as pool:
            list(pool.map(lambda name: sync_file(self.folder / name), new))

    def load(self, force: bool = False) -> dict[str, Any] | None:
        """The newest checkpoint that can be read. None if there is none, or if other sources made it.

        A checkpoint of other sources is put aside; with `force` it is used.

        Raises:
            ValueError: the checkpoint belongs to another run, or somebody made it hold things that we never save.
        """
        for path in sorted(self._manifests(), reverse=True):
            try:
                manifest = self._manifest(path)
                if manifest["sources"] != self.sources and not force:
                    self._put_aside()
                    return None
                content = self._content(manifest)
            except Damaged as error:
                _say(f"checkpoint {path.stem.removeprefix('manifest-')} cannot be used ({error}); the one before is")
                path.unlink()
                continue
            self.newest = manifest
            return content
        if self.version:
            _say("no checkpoint can be used: the run starts anew")
        return None

    def _manifests(self) -> list[Path]:
        return [path for path in self.folder.glob("manifest-*.json") if re.fullmatch(r"manifest-\d{8}", path.stem)]

    def _manifest(self, path: Path) -> dict[str, Any]:
        """A manifest as it was written, and of this run."""
        try:
            manifest = json.loads(path.read_bytes())
            digest = manifest.pop("sha256")
        except (OSError, ValueError, AttributeError, KeyError, TypeError) as error:
            raise Damaged(f"its manifest is no manifest: {type(error).__name__}") from error
        if digest != _digest_of(manifest):
            raise Damaged("its manifest was cut or changed")
        problem = _problem(manifest)
        if problem:
            raise ValueError(f"checkpoint {path} is refused: {problem}; remove the folder to start anew")
        if manifest["run_id"] != self.run_id:
            raise ValueError(f"checkpoint {path} is one of run {manifest['run_id']}, not of {self.run_id}; remove it")
        return manifest

    def _content(self, manifest: dict[str, Any]) -> dict[str, Any]:
        """Read and verify every file of a manifest."""
        state = self.folder / f"state-{manifest['version']:08}.pt"
        self._verified(state.name, manifest)
        try:
            content = torch.load(state, weights_only=True, map_location="cpu")
        except Exception as error:  # The checksum is right, so this is no damage: somebody made the file so.
            what = f"{state} holds what no checkpoint of ours holds ({type(error).__name__})"
            raise ValueError(f"checkpoint {what}; it is not loaded; remove the folder to start anew") from error
        for name, chunk in manifest["chunks"].items():
            rows = np.empty(chunk["shape"], np.uint8)
            for k, file in enumerate(chunk["names"]):
                part = rows[k * chunk["rows"] : (k + 1) * chunk["rows"]]
                self._verified(file, manifest, part)
            holder, key = name.split(".")
            content["method"][holder][key] = torch.from_numpy(rows)
        return content

    def _verified(self, name: str, manifest: dict[str, Any], into: np.ndarray | None = None) -> None:
        """Read a file (into an array of its size) and compare it with its checksum."""
        wanted, digest, size = manifest["files"][name], hashlib.sha256(), 0
        try:
            with open(self.folder / name, "rb", buffering=0) as file:
                if into is None:
                    while part := file.read(1 << 20):
                        digest.update(part)
                        size += len(part)
                else:
                    size = file.readinto(into.reshape(-1).data) or 0
                    digest.update(into.data)
        except OSError as error:
            raise Damaged(f"{name}: {error.strerror}") from error
        if size != wanted["bytes"] or digest.hexdigest() != wanted["sha256"]:
            raise Damaged(f"{name} was cut or changed")

    def _put_aside(self) -> None:
        aside = self.folder.with_name("checkpoint-of-other-sources")
        shutil.rmtree(aside, ignore_errors=True)
        os.replace(self.folder, aside)
        self.version = 0
        _say(f"the checkpoint was made by other sources: the run starts anew ({aside.name}/ keeps it until it is done; "
             "checkpoint.resume=force goes on from it)")  # fmt: skip

    def _remove_old(self) -> None:
        """Keep the two newest manifests and what they name."""
        keep: set[str] = set()
        for path in sorted(self._manifests(), reverse=True)[:KEPT]:
            with contextlib.suppress(Damaged):  # it would not be used: it goes too
                keep |= {path.name, *self._manifest(path)["files"]}
        for path in self.folder.iterdir():
            if path.name not in keep:
                path.unlink()

    def end(self, keep: str, live: dict[str, Any]) -> None:
        """What stays when the record is written: none, the live weights (live.pt), or all."""
        shutil.rmtree(self.folder.with_name("checkpoint-of-other-sources"), ignore_errors=True)
        if keep == "all" or not self.folder.exists():
            return
        if keep == "none":
            shutil.rmtree(self.folder)
            return
        beside = self.folder / "live.pt.new"
        with open(beside, "wb", buffering=0) as file:
            _save(live, _Hashed(file))
        sync_file(beside)
        os.replace(beside, self.folder / "live.pt")
        for path in self.folder.iterdir():
            if path.name != "live.pt":
                path.unlink()


class _Hashed:
    """A file to write to that counts and hashes what goes through."""

    def __init__(self, file: Any):
        self.file, self.digest, self.bytes = file, hashlib.sha256(), 0
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        view = memoryview(data).cast("B")
        self.digest.update(view)
        written = 0
        try:
            while written < len(view):  # an unbuffered file may take less than all of it
                written += self.file.write(view[written:])
        except OSError as error:
            self.error = error
            raise
        self.bytes += written
        return written

    def flush(self) -> None:
        self.file.flush()


def _save(content: Any, file: _Hashed) -> None:
    """torch.save; OSError for a full disk, which torch reports as a wrong position."""
    try:
        torch.save(content, cast("IO[bytes]", file))
    except RuntimeError as error:
        raise file.error or error from None


def _problem(manifest: dict[str, Any]) -> str | None:
    """Why a manifest with a right checksum is none that we write."""
    if manifest.get("format") != FORMAT:
        return f"format {manifest.get('format')!r}, this harness reads {FORMAT}"
    try:
        names = [*manifest["files"], *(name for chunk in manifest["chunks"].values() for name in chunk["names"])]
        sizes = [entry["bytes"] for entry in manifest["files"].values()]
        state = f"state-{manifest['version']:08}.pt"
        for chunk in manifest["chunks"].values():
            n, width = chunk["shape"]
            parts = [manifest["files"][name]["bytes"] for name in chunk["names"]]
            if sum(parts) != n * width or any(part != chunk["rows"] * width for part in parts[:-1]):
                return "its chunks do not make up the rows that it names"
        if not all(isinstance(name, str) and NAME.fullmatch(name) for name in names):
            return "it names files outside its folder"
        if state not in names or not all(type(size) is int and size >= 0 for size in sizes):
            return "it does not describe its files"
        if not all(len(name.split(".")) == 2 for name in manifest["chunks"]):
            return "its rows have no place in a state"
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        return f"its entries are not those of a checkpoint ({type(error).__name__}: {error})"
    return None


def _version(path: Path) -> int:
    return int(path.stem.removeprefix("manifest-"))


def _digest_of(manifest: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def _at(content: Mapping[str, Any], path: Iterable[str]) -> Any:
    for key in path:
        content = content[key]
    return content


def _without(content: dict[str, Any], paths: Iterable[Place]) -> dict[str, Any]:
    """The same content with None for the tensors at some paths; what is given stays as it is."""
    for first, second, third in paths:
        outer = dict(content[first])
        outer[second] = {**outer[second], third: None}
        content = {**content, first: outer}
    return content


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def global_generators() -> dict[str, Any]:
    """States of the generators that library code may draw from."""
    name, keys, *rest = np.random.get_state(legacy=True)
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else [],
        "numpy": [name, torch.from_numpy(np.array(keys)), *rest],
        "python": random.getstate(),
    }


def set_global_generators(states: dict[str, Any]) -> None:
    torch.set_rng_state(states["torch"])
    if states["cuda"] and torch.cuda.device_count() == len(states["cuda"]):
        torch.cuda.set_rng_state_all(states["cuda"])
    name, keys, *rest = states["numpy"]
    np.random.set_state((name, keys.numpy(), *rest))
    version, internal, gauss = states["python"]
    random.setstate((version, tuple(internal), gauss))
