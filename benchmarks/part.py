"""A part of a benchmark: some of its classes, some clips of each (`benchmark.classes`, `benchmark.limit`)."""

import dataclasses
import hashlib
from collections.abc import Sequence

import numpy as np
import pandas as pd

from benchmarks.benchmark import Benchmark, Reader
from benchmarks.clips import ClipTable
from benchmarks.settings import BenchmarkSettings
from harness.common.words import nearest


class PartReader:
    """The clips of some rows of another reader: row k here is row `rows[k]` there."""

    def __init__(self, reader: Reader, rows: np.ndarray) -> None:
        self.reader, self.rows = reader, rows
        self.candidates, self.margin = reader.candidates, reader.margin

    @property
    def shape(self) -> tuple[int, ...]:
        """Frames, height, width and channels of a clip."""
        return self.reader.shape

    def read(self, rows: np.ndarray, choice: np.ndarray | None = None, corner: np.ndarray | None = None) -> np.ndarray:
        """Clips of `rows`, as `Reader.read`."""
        return self.reader.read(self.rows[np.asarray(rows, np.int64)], choice, corner)


def part_of_benchmark(benchmark: Benchmark, settings: BenchmarkSettings) -> Benchmark:
    """The part of a benchmark whose frames are ready, or need not be; its reader reads the whole one's frames."""
    table, rows, note = part_of_table(benchmark.table, benchmark.default_label, settings)
    reader = None if benchmark.reader is None else PartReader(benchmark.reader, rows)
    mirrored = None if benchmark.mirrored is None else benchmark.mirrored[rows]
    notes = (*benchmark.notes, note)
    return dataclasses.replace(benchmark, table=table, reader=reader, mirrored=mirrored, notes=notes)


def part_of_table(table: ClipTable, label: str, settings: BenchmarkSettings) -> tuple[ClipTable, np.ndarray, str]:
    """The table of the part, the rows of the whole table that it has (int64), and a sentence about it.

    A number of classes takes the first names of `label` in alphabetical order. Names may be of any label. Clips for
    pre-training stay. Of each class and split, `limit` keeps the clips whose ids have the smallest hashes, so that a
    smaller limit gives a part of a larger one.

    Raises:
        ValueError: a class is unknown, or there are not as many.
    """
    frame, keep, streamed = table.frame, np.ones(len(table), bool), dict(table.streamed)
    if settings.classes is not None:
        label, names = _chosen(table, label, settings.classes)
        keep = (frame[label].isin(names) | (frame["split"] == "pretrain")).to_numpy().copy()
        if streamed:
            streamed[label] = tuple(sorted(names))
    if settings.limit:
        order = [hashlib.sha256(name.encode()).hexdigest() for name in frame["sample_id"]]
        kept = pd.DataFrame({"order": order, "label": frame[label], "split": frame["split"]})[keep]
        place = kept.sort_values("order").groupby(["label", "split"]).cumcount()
        keep[place.index[place >= settings.limit]] = False
    rows = np.flatnonzero(keep)
    left = set(frame[label].to_numpy()[rows[frame["split"].to_numpy()[rows] != "pretrain"]])
    return (
        dataclasses.replace(
            table,
            frame=frame.iloc[rows].reset_index(drop=True),
            streamed=streamed,
            order=_without_empty(table.order, left),
            class_orders=table.class_orders if settings.classes is None else (),
            unusable={new: table.unusable[old] for new, old in enumerate(rows.tolist()) if old in table.unusable},
        ),
        rows,
        f"a part of the benchmark: {len(rows):,} of {len(frame):,} clips, {len(left)} classes of {label}",
    )


def _without_empty(order: Sequence[Sequence[str]], left: set[str]) -> tuple[tuple[str, ...], ...]:
    tasks = (tuple(name for name in task if name in left) for task in order)
    return tuple(task for task in tasks if task)


def _chosen(table: ClipTable, label: str, given: int | tuple[str, ...]) -> tuple[str, list[str]]:
    """The label that the classes are of, and their names."""
    if isinstance(given, int):
        frame = table.frame[table.frame["split"] == "train"]
        names = sorted(set(frame[label]) & set(table.streamed.get(label, frame[label])))
        if given > len(names):
            raise ValueError(f"benchmark.classes={given}: label {label} has {len(names)} classes")
        return label, names[:given]
    labels = [label, *(each for each in table.labels if each != label)]
    known = {each: set(table.frame[each]) for each in labels}
    for each in labels:
        if set(given) <= known[each]:
            return each, list(given)
    likely = max(labels, key=lambda each: len(set(given) & known[each]))
    name = next(name for name in given if name not in known[likely])
    some = ", ".join(sorted(known[likely])[:5])
    raise ValueError(
        f"benchmark.classes: label {likely} has no class '{name}'{nearest(name, known[likely])} "
        f"(it has {len(known[likely])}, as {some})"
    )
