"""Benchmarks: clip tables, streams of experiences, protocols, and the frames behind them (no torch in this room)."""

import dataclasses
import difflib
import importlib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from benchmarks.settings import SETTINGS

if TYPE_CHECKING:
    import numpy as np

    from benchmarks.clips import ClipTable

BENCHMARKS = {name: f"benchmarks.{name}" for name in SETTINGS}


class Reader(Protocol):
    """Hands out decoded clips by row of the clip table; candidates, margin: what is stored for other views of them."""

    candidates: int
    margin: int

    def read(
        self, rows: "np.ndarray", choice: "np.ndarray | None" = None, corner: "np.ndarray | None" = None
    ) -> "np.ndarray":
        """Clips of `rows`: uint8 [B, T, H, W, 3]; choice [B, T] and corner [B, 2] as in `cache.FrameCache.read`."""
        ...


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """A clip table and the reader of its frames; `reader` is None where the videos were not asked for.

    mirrored: which rows training may show mirrored (bool [N]), None for none of them.
    bad: what could not be used as annotated, a dict a clip: sample_id, file, reason, done (skipped, replaced, kept).
    """

    name: str
    table: "ClipTable"
    default_label: str
    frames: int
    height: int
    width: int
    reader: Reader | None
    notes: tuple[str, ...] = ()
    bad: tuple[dict[str, str], ...] = ()
    mirrored: "np.ndarray | None" = None


def default_cache() -> Path:
    """Where videos and decoded frames lie: $VIDEO_CL_CACHE, else ~/.cache/video-cl-harness."""
    return Path(os.environ.get("VIDEO_CL_CACHE") or Path.home() / ".cache" / "video-cl-harness")


def parse(name: str, options: Mapping[str, Any]) -> Any:
    """The checked settings dataclass of benchmark `name`; the key `name` in `options` is passed over."""
    if name not in BENCHMARKS:
        raise ValueError(unknown("benchmark", name, BENCHMARKS))
    cls = SETTINGS[name]
    allowed = [field.name for field in dataclasses.fields(cls)]
    given = {key: value for key, value in options.items() if key != "name"}
    for key in given:
        if key not in allowed:
            raise ValueError(unknown(f"option of benchmark {name}", key, allowed))
    return cls(**given)


def describe(name: str, options: Mapping[str, Any], cache: Path | None = None) -> Benchmark:
    """The benchmark without its frames (`reader` is None): writes and decodes nothing."""
    settings = parse(name, options)
    return importlib.import_module(BENCHMARKS[name]).describe(settings, Path(cache or default_cache()))


def load(name: str, options: Mapping[str, Any], cache: Path | None = None, workers: int = 1) -> Benchmark:
    """The benchmark with its frames ready; what the cache folder lacks is made first by `workers` processes."""
    settings = parse(name, options)
    return importlib.import_module(BENCHMARKS[name]).load(settings, Path(cache or default_cache()), workers)


def unknown(what: str, given: str, allowed: Any) -> str:
    """One line for an unknown name: what was given, the nearest name, what is allowed."""
    near = difflib.get_close_matches(str(given), list(allowed), n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"unknown {what}: {given!r}{hint} (allowed: {', '.join(allowed)})"
