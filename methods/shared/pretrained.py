"""Compressors saved by themselves (`python -m harness.pretrain`) and loaded by other runs (`compressor.load=FILE`)."""

import hashlib
import io
import os
import pickle
import zipfile
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from methods.shared.compressor import Compressor
from methods.shared.settings import CompressorSettings

FORMAT = "video-cl-harness compressor 1"
FITTING = ("network", "patch", "width", "n_codebooks", "entries", "dim")  # settings that shape the weights


def save(path: Path, compressor: Compressor, settings: CompressorSettings, made_from: dict[str, str]) -> None:
    """Weights and codebook with the settings that shape them; `made_from` says of which data. Beside, then replaced."""
    weights = {name: value.cpu() for name, value in compressor.state_dict().items()}
    shape = {name: asdict(settings)[name] for name in FITTING}
    content = io.BytesIO()  # into a file torch would write the file's name as well: other bytes, other run ids
    torch.save({"format": FORMAT, "settings": shape, "made_from": made_from, "weights": weights}, content)
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    temporary.write_bytes(content.getvalue())
    os.replace(temporary, path)


def sha256(path: Path) -> str:
    """Of the file's bytes; ValueError where there is none."""
    if not path.is_file():
        raise ValueError(f"compressor.load: no file '{path}'")
    return hashlib.sha256(path.read_bytes()).hexdigest()


def load(path: Path, settings: CompressorSettings) -> dict[str, Tensor]:
    """The saved weights; runs no code of the file. ValueError for another kind of file or weights of other shapes."""
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        shape, weights = dict(content["settings"]), dict(content["weights"])
        known = content["format"] == FORMAT
    except Exception as error:  # whatever a damaged or foreign file makes torch raise
        raise ValueError(
            f"compressor.load: '{path}' is no compressor of harness.pretrain ({_why(path, error)})"
        ) from error
    weights = {_renamed(name): value for name, value in weights.items()}
    if not known:
        raise ValueError(f"compressor.load: '{path}' is of another version ({content['format']})")
    wanted = {name: asdict(settings)[name] for name in FITTING}
    other = [f"compressor.{name} is {shape.get(name)} there and {value} here" for name, value in wanted.items()
             if shape.get(name) != value]  # fmt: skip
    if other:
        raise ValueError(f"compressor.load: '{path}' has weights of other shapes: {'; '.join(other)}")
    return weights


def _renamed(name: str) -> str:
    """The name of a weight today: files saved before 0.2 spell two of them the British way."""
    return name.replace("quantiser.", "quantizer.").replace(".initialised", ".initialized")


def _why(path: Path, error: Exception) -> str:
    """What the file is instead, in words of our own: torch would advise to load it in an unsafe way."""
    try:
        with open(path, "rb") as file:
            head = file.read(512)
    except OSError as unreadable:
        return str(unreadable.strerror)
    if not head:
        return "it is empty"
    if head.startswith(b"version https://git-lfs"):
        return "it is a pointer of Git LFS, not the file itself: fetch it with git lfs pull"
    if head.lstrip()[:200].lower().startswith((b"<!doctype", b"<html", b"<?xml")):
        return "it is a web page, as a download that failed leaves it"
    if head[8:9] == b"{" and int.from_bytes(head[:8], "little") < path.stat().st_size:
        return "it is a safetensors file"
    if head.startswith(b"PK") and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if not any(name.endswith("data.pkl") for name in archive.namelist()):
                return "it is an archive of other files"
    if isinstance(error, KeyError | TypeError | ValueError | IndexError):
        return "it holds other content"
    if isinstance(error, pickle.UnpicklingError) and head.startswith((b"PK", b"\x80")):
        return "it holds whole objects, such as a module, and not weights alone; such a file could run any code"
    if head.startswith((b"PK", b"\x80")):
        return "it was cut or damaged"
    return "it is no file of torch.save"
