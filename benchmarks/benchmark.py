"""What a benchmark hands out: a clip table, the reader of its frames, and what is to be said about both."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import numpy as np

    from benchmarks.clips import ClipTable


class Reader(Protocol):
    """Hands out decoded clips by row of the clip table; `candidates` and `margin`: what is stored for other views."""

    candidates: int
    margin: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Frames, height, width and channels of a clip."""
        ...

    def read(
        self, rows: "np.ndarray", choice: "np.ndarray | None" = None, corner: "np.ndarray | None" = None
    ) -> "np.ndarray":
        """Clips of `rows`: uint8 [B, T, H, W, 3]; choice [B, T] and corner [B, 2] as in `cache.FrameCache.read`."""
        ...


@dataclasses.dataclass(frozen=True)
class Decoding:
    """What must be decoded before the first run: clips, the bytes they will take, and core-hours (None: unknown)."""

    clips: int
    bytes: int
    hours: float | None


@dataclasses.dataclass(frozen=True)
class Benchmark:
    """A clip table and the reader of its frames; `reader` is None where the videos were not asked for.

    mirrored: which rows training may show mirrored (bool [N]), None for none of them.
    bad: what could not be used as annotated, a dict a clip: sample_id, file, reason, done.
    changed: sample id of a bad clip -> id of the clip in its place, or an empty text where it is skipped.
    settled: False where only decoding can tell which clips are bad.
    decoding: what is still to be decoded; None where nothing is, or nobody knows.
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
    changed: Mapping[str, str] = dataclasses.field(default_factory=dict)
    settled: bool = True
    decoding: Decoding | None = None

    @property
    def clips_hash(self) -> str:
        """Which clips a run sees: the table's hash; where clips were skipped or replaced, also which, and by what."""
        if not self.changed:
            return self.table.hash
        return hashlib.sha256(json.dumps([self.table.hash, sorted(self.changed.items())]).encode()).hexdigest()
