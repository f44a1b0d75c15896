"""Segments cut into consecutive clips of a fixed frame rate; the segment stays the item that is tested."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from benchmarks.clips import ClipTable
from benchmarks.frames.decode import BadVideo, extent
from benchmarks.frames.find import VideoFile


def cut(table: ClipTable, frames: int, rate: float, videos: Mapping[str, VideoFile]) -> tuple[ClipTable, str]:
    """The table of the consecutive clips of `frames` frames at `rate` a second, and a sentence about it.

    A segment shorter than a clip is one clip; what is left of a longer one after its last clip is left out. A segment
    that goes to the end of its video is as long as the video's header says; ValueError where the video is not there.
    """
    frame, length = table.frame, frames / rate
    stop = np.array(_closed(table, videos))
    spans = stop - frame["start"].to_numpy()
    unknown = np.isinf(spans)  # the video is damaged: one clip, which will be a bad one
    counts = np.where(unknown, 1, np.maximum(1, np.floor(np.where(unknown, 0, spans) / length + 1e-6))).astype(int)
    number = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    rows = frame.loc[np.repeat(np.arange(len(frame)), counts)].reset_index(drop=True)
    whole = np.repeat(spans < length, counts) | np.repeat(unknown, counts)
    rows["start"] += np.where(whole, 0, number * length)
    rows["stop"] = np.where(whole, np.repeat(stop, counts), rows["start"] + length)
    rows["item"] = rows["sample_id"]
    rows["sample_id"] = [f"{name}/{k:05d}" for name, k in zip(rows["item"], number.tolist(), strict=True)]
    known = spans[~unknown]
    lost = known.sum() - np.where(known < length, known, counts[~unknown] * length).sum()
    note = (
        f"{len(frame):,} segments are cut into {len(rows):,} clips of {frames} frames at {rate:g} a second; their ends "
        f"of less than a clip ({lost / 3600:.1f} of {known.sum() / 3600:.1f} h) are left out; a test item is a segment"
    )
    rules = {name: getattr(table, name) for name in ("streamed", "order")}
    return replace(ClipTable.of(rows, table.root, table.labels, **rules), videos=table.videos), note


def _closed(table: ClipTable, videos: Mapping[str, VideoFile]) -> list[float]:
    """The stop of each segment; inf where the video's end is unknown."""
    stops = table.frame["stop"].tolist()
    ends: dict[str, float | None] = {}
    for row in np.flatnonzero(np.isinf(stops)).tolist():
        file = table.frame["file"].iloc[row]
        if not videos:
            raise ValueError(
                f"benchmark.clips=dense must know how long {file} is: give benchmark.videos=DIR or a stop for each"
            )
        if file in videos and file not in ends:
            try:
                ends[file] = extent(videos[file].path, videos[file].rate).end
            except (BadVideo, OSError):
                ends[file] = None
        stop = ends.get(file)
        stops[row] = stop if stop is not None and stop > table.frame["start"].iloc[row] else np.inf
    return stops
