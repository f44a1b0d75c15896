"""Whatever stands in an annotation file: one clear line, or the right table. Parts and splits of any table hold."""

import csv
import io
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from hypothesis import given, settings
from hypothesis import strategies as st

import benchmarks
from benchmarks.annotations import Annotations
from benchmarks.clips import ClipTable
from benchmarks.part import part_of_table
from benchmarks.recorded import hold_out
from benchmarks.settings import BenchmarkSettings
from benchmarks.stream import build_stream

FOLDER = Path(tempfile.mkdtemp(prefix="properties-"))
FILE = FOLDER / "clips.csv"
few = settings(max_examples=100, deadline=None, derandomize=True, database=None)
WORDS = ("file", "start", "stop", "split", "group", "sample_id", "label", "a.mp4", "../b", "train", "test",
         "00:01:02.5", "3", "1e9", "-1", "", " ", "é", "\ufeff")  # fmt: skip
odd = st.one_of(st.sampled_from(WORDS), st.text(st.characters(codec="utf-8"), max_size=6))
right = (st.integers(0, 9).map("{}.mp4".format), st.sampled_from(["", "0", "1.5"]),
         st.sampled_from(["", "2", "00:00:07.25"]), st.sampled_from("ab"))  # fmt: skip
clip_rows = st.one_of(
    st.lists(st.tuples(*right), min_size=1, max_size=6, unique_by=lambda row: row[0]),
    st.lists(st.tuples(*(st.one_of(each, odd) for each in right)), min_size=1, max_size=3),
)
SIGNS = [*WORDS, ",", ",", ",", "\n", "\n", "\r\n", '"', '""', "\r", "\0", ";", "\t"]


def one_line(error: ValueError) -> None:
    """Fails where the message is empty or goes over a line."""
    text = str(error)
    assert text
    assert "\n" not in text
    assert "\r" not in text


@few
@given(
    st.one_of(st.binary(max_size=60), st.lists(st.sampled_from(SIGNS), max_size=40).map(lambda x: "".join(x).encode()))
)
def test_any_bytes_are_one_line_or_the_table_that_csv_reads(data):
    FILE.write_bytes(data)
    try:
        rows = Annotations(FILE, ("file",))
    except ValueError as error:
        one_line(error)
        return
    parsed = [row for row in csv.reader(io.StringIO(data.decode("utf-8-sig"), newline="")) if row]
    assert len(rows) == len(parsed) - 1
    assert list(rows.columns) == [name.strip() for name in parsed[0]]
    assert list(rows.columns.values()) == [tuple(column) for column in zip(*parsed[1:], strict=True)]
    for read in (rows.text, rows.seconds, lambda name: rows.whole(name, below=10)):
        try:
            assert len(read("file")) == len(rows)
        except ValueError as error:
            one_line(error)


@few
@given(clip_rows)
def test_any_rows_of_a_csv_of_clips_are_one_line_or_its_clips(rows):
    with open(FILE, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["file", "start", "stop", "label"], *rows])
    try:
        table = benchmarks.describe("video_csv", {"annotations": str(FILE)}).table.frame
    except ValueError as error:
        one_line(error)
        return
    assert sorted(table["file"]) == sorted(row[0].strip() for row in rows)
    assert set(table["label"]) == {row[3].strip() for row in rows}
    assert (table["stop"] > table["start"]).all()
    assert not [name for name in table["file"] if ".." in Path(name).parts or Path(name).is_absolute()]


@few
@given(st.integers(0, 99), st.integers(0, 59), st.integers(0, 5999))
def test_times_are_read_as_they_are_written(hours, minutes, hundredths):
    FILE.write_text(f"t\n{hours:02d}:{minutes:02d}:{hundredths / 100:05.2f}\n")
    assert abs(Annotations(FILE, ("t",)).seconds("t")[0] - (3600 * hours + 60 * minutes + hundredths / 100)) < 1e-6


tables = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 4)), min_size=1, max_size=40)


@few
@given(tables, st.floats(0, 0.5))
def test_groups_are_held_out_whole_and_no_class_loses_more_than_half(rows, share):
    groups, classes = ([f"g{g}" for g, _ in rows], [f"c{c}" for _, c in rows])
    out = hold_out(groups, classes, share, "test")
    frame = pd.DataFrame({"group": groups, "class": classes, "out": out})
    assert (frame.groupby("group")["out"].nunique() == 1).all()
    assert (frame.groupby("class")["out"].mean() <= 0.5).all()
    order = np.random.default_rng(0).permutation(len(rows))
    again = hold_out([groups[i] for i in order], [classes[i] for i in order], share, "test")
    assert (again == out[order]).all()


@few
@given(tables, st.integers(1, 5), st.integers(0, 3))
def test_parts_and_streams_of_any_table_hand_out_each_clip_once(rows, n_classes, limit):
    frame = pd.DataFrame({
        "sample_id": [f"{k:03d}" for k in range(len(rows))], "file": "f", "start": 0.0, "stop": 1.0,
        "split": [("train", "valid", "test")[g % 3] for g, _ in rows], "group": [f"g{g}" for g, _ in rows],
        "label": [f"c{c}" for _, c in rows],
    })  # fmt: skip
    table = ClipTable.of(frame, FOLDER, ("label",))
    try:
        part, kept, _ = part_of_table(table, "label", BenchmarkSettings(classes=n_classes, limit=limit))
        stream = build_stream(part, "label", 1, order_seed=0)
    except ValueError as error:
        one_line(error)
        return
    assert (part.frame["sample_id"].to_numpy() == table.frame["sample_id"].to_numpy()[kept]).all()
    if limit:
        assert part.frame.groupby(["label", "split"]).size().max() <= limit
    handed_out = [row for split in (stream.train_stream, stream.valid_stream, stream.test_stream)
                  for experience in split for row in experience.indices.tolist()]  # fmt: skip
    assert len(handed_out) == len(set(handed_out))
    assert {part.frame["label"].iloc[row] for row in handed_out} <= set(stream.classes)
