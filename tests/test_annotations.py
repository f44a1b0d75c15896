"""Annotation files good and bad: a wrong one ends in one clear line, never in a wrong clip."""

import csv
import gzip
from pathlib import Path

import numpy as np
import pytest

import benchmarks
from benchmarks.annotations import Annotations

EK_HEADER = (
    "narration_id,participant_id,video_id,narration_timestamp,start_timestamp,stop_timestamp,start_frame,stop_frame,"
    "narration,verb,verb_class,noun,noun_class,all_nouns,all_noun_classes"
)
NOUNS, VERBS = ("tap", "spoon", "plate"), ("take", "put")


def clock(seconds: float) -> str:
    return f"{int(seconds // 3600):02d}:{int(seconds // 60 % 60):02d}:{seconds % 60:05.2f}"


def ek_row(video: str, number: int, start: float, verb: int, noun: int) -> list[str]:
    rate = 60 if len(video) == 6 else 50
    stop = start + 1.5
    name = NOUNS[noun]
    return [f"{video}_{number}", video[:3], video, clock(start), clock(start), clock(stop), str(int(start * rate)),
            str(int(stop * rate)), f"{VERBS[verb]} {name}", VERBS[verb], str(verb), name, str(noun), f"['{name}']",
            f"[{noun}]"]  # fmt: skip


def write_rows(path: Path, header: str, rows: list[list[str]]) -> None:
    with open(path, "w", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(header.split(","))
        out.writerows(rows)


@pytest.fixture
def ek(tmp_path) -> Path:
    """EPIC-KITCHENS files in miniature: twelve training videos, two of validation."""
    for kind, names in (("verb", VERBS), ("noun", NOUNS)):
        rows = [[str(k), name, f"['{name}', '{name}s']", "things"] for k, name in enumerate(names)]
        write_rows(tmp_path / f"EPIC_100_{kind}_classes.csv", "id,key,instances,category", rows)
    videos = [f"P0{k}_{'0' if k % 2 else '10'}{k}" for k in range(1, 7)] + [f"P0{k}_{k + 10}" for k in range(1, 7)]
    for part, chosen in (("train", videos), ("validation", ["P01_31", "P02_132"])):
        rows = [ek_row(v, n, 1.25 + 2 * n, n % 2, n % 3) for v in chosen for n in range(6)]
        write_rows(tmp_path / f"EPIC_100_{part}.csv", EK_HEADER, rows)
    every = [*videos, "P01_31", "P02_132"]
    write_rows(tmp_path / "EPIC_100_video_info.csv", "video_id,duration,fps,resolution",
               [[v, "20.5", "59.94", "1920x1080"] for v in every])  # fmt: skip
    return tmp_path


def describe_ek(folder: Path, **options):
    return benchmarks.describe("epic_kitchens", {"annotations": str(folder), "min_train": 1, "min_test": 1, **options})


def test_times_come_from_the_timestamps(ek):
    table = describe_ek(ek).table.frame
    row = table[table.sample_id == "P02_102_3"].iloc[0]
    assert (row.start, row.stop, row.file) == (7.25, 8.75, "P02/videos/P02_102.MP4")
    assert (row.verb, row.noun, row.action, row.group) == ("put", "tap", "put tap", "P02_102")
    groups = table.groupby("split").group.agg(set)
    assert groups["train"].isdisjoint(groups["valid"])
    assert groups["test"] == {"P01_31", "P02_132"}
    assert len(groups["valid"]) == 1


def test_folders_may_be_given_from_home_or_from_here(ek, monkeypatch):
    monkeypatch.setenv("HOME", str(ek.parent))
    monkeypatch.chdir(ek.parent)
    plain = describe_ek(ek)
    for folder in (Path("~") / ek.name, Path(ek.name)):
        assert describe_ek(folder).notes == plain.notes
        assert benchmarks.parse("epic_kitchens", {"annotations": str(folder)}).annotations == str(ek)


def test_bom_crlf_blank_lines_and_gzip_change_nothing(ek):
    plain = describe_ek(ek).table.hash
    path = ek / "EPIC_100_train.csv"
    text = path.read_text()
    path.write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode() + b"\r\n\r\n")
    assert describe_ek(ek).table.hash == plain
    path.unlink()
    (ek / "EPIC_100_train.csv.gz").write_bytes(gzip.compress(text.encode()))
    assert describe_ek(ek).table.hash == plain


def swap(text: str, first: str, second: str) -> str:
    """The header with two names exchanged."""
    head, _, rest = text.partition("\n")
    names = [{first: second, second: first}.get(name, name) for name in head.split(",")]
    return ",".join(names) + "\n" + rest


MUTATIONS = {
    "empty file": (lambda t: "", "is empty"),
    "header only": (lambda t: t.partition("\n")[0] + "\n", "no rows"),
    "cut in a row": (lambda t: t[: t.index("P01_11_3") + 40], "fields where the header has 15"),
    "cut in a quoted field": (lambda t: t + 'P01_11_9,P01,"P01_', "cannot be read as CSV"),
    "one field more": (lambda t: t.replace("[0]\n", "[0],7\n", 1), "16 fields"),
    "column gone": (lambda t: t.replace("start_timestamp", "begin", 1), "no column 'start_timestamp'"),
    "header twice": (lambda t: t.replace("verb_class", "verb", 1), "names 'verb' twice"),
    "text for a number": (lambda t: t.replace("take,0,", "take,zero,", 1), "verb_class 'zero' is no whole number"),
    "unknown class": (lambda t: t.replace("take,0,", "take,97,", 1), "verb_class '97' is above 1"),
    "negative class": (lambda t: t.replace("take,0,", "take,-1,", 1), "is no whole number"),
    "nan stop": (lambda t: t.replace("00:00:02.75", "NaN", 1), "stop_timestamp 'NaN' is no time"),
    "infinite": (lambda t: t.replace("00:00:02.75", "inf", 1), "stop_timestamp 'inf' is no time"),
    "empty time": (lambda t: t.replace("00:00:02.75", "", 1), "stop_timestamp '' is empty"),
    "61 minutes": (lambda t: t.replace("00:00:02.75", "00:61:02.75", 1), "is no time"),
    "later hour": (lambda t: t.replace("00:00:02.75", "01:00:02.75", 1), "stop_frame .* does not fit"),
    "times swapped": (lambda t: swap(t, "start_timestamp", "stop_timestamp"), "is not after start_timestamp"),
    "frames swapped": (lambda t: swap(t, "start_frame", "stop_frame"), "does not fit its start_timestamp"),
    "classes swapped": (lambda t: swap(t, "verb", "noun"), "are columns mixed up"),
    "ids swapped": (lambda t: swap(t, "participant_id", "video_id"), "is no video id"),
    "path in an id": (lambda t: t.replace("P01_11,", "../../etc/P01_11,", 1), "is no video id"),
    "other participant": (lambda t: t.replace("P01_11_0,P01", "P01_11_0,P02", 1), "participant_id 'P02' is not that"),
    "other video": (lambda t: t.replace("P01_11_0,P01,P01_11", "P01_11_0,P01,P01_12", 1), "not of the row's video_id"),
    "duplicate id": (lambda t: t + t.splitlines()[1] + "\n", "stands in an earlier row"),
    "video of the test part": (lambda t: t.replace("P01_11", "P01_31"), "in the train and in the validation file"),
    "quotes over lines": (
        lambda t: t.replace(",00:00:01.25,", ',",', 1).replace(",00:00:03.25,", ',",', 1),
        "goes on in",
    ),
    "not text": (lambda t: t.replace("take", "t\udcffke", 1), "cannot be read as CSV"),
}


@pytest.mark.parametrize("name", MUTATIONS)
def test_a_wrong_file_is_one_clear_line(ek, name):
    mutate, message = MUTATIONS[name]
    path = ek / "EPIC_100_train.csv"
    path.write_bytes(mutate(path.read_text()).encode("utf-8", "surrogateescape"))
    with pytest.raises(ValueError, match=message) as caught:
        describe_ek(ek)
    assert "\n" not in str(caught.value)
    assert str(ek) in str(caught.value) or "train" in str(caught.value)


def test_missing_files_are_named(ek):
    with pytest.raises(ValueError, match=r"needs benchmark.annotations=DIR"):
        benchmarks.describe("epic_kitchens", {})
    with pytest.raises(ValueError, match="is no folder"):
        describe_ek(ek / "none")
    (ek / "EPIC_100_noun_classes.csv").unlink()
    with pytest.raises(ValueError, match=r"lacks the noun classes: EPIC_100_noun_classes.csv"):
        describe_ek(ek)


def test_random_damage_never_gives_a_wrong_clip(ek):
    """Bytes changed, removed and doubled: an error of one line, or clips within the tolerance of the frame columns."""
    path = ek / "EPIC_100_train.csv"
    good, text = describe_ek(ek).table.frame.set_index("sample_id"), path.read_bytes()
    rng = np.random.default_rng(0)
    errors = []
    for _ in range(150):
        data = bytearray(text)
        place, length = int(rng.integers(len(data))), int(rng.integers(1, 30))
        kind = rng.integers(3)
        if kind == 0:
            data[place] = int(rng.choice(list(b'0123456789:.,_P"\n/')))
        elif kind == 1:
            del data[place : place + length]
        else:
            data[place:place] = data[place : place + length]
        path.write_bytes(data)
        try:
            frame = describe_ek(ek).table.frame.set_index("sample_id")
        except ValueError as error:
            errors.append(str(error))
            continue
        known = frame.loc[frame.index.intersection(good.index)]
        assert np.abs(known.start - good.start[known.index]).max() <= 3 / 50 + 1e-9
        assert not frame.file.str.contains("..", regex=False).any()
    assert len(errors) > 75
    assert not [error for error in errors if "\n" in error]


# ---- Kinetics


def kinetics_rows(split: str, first: int, count: int) -> list[list[str]]:
    return [[f"class {k % 4}", f"{k:011d}", str(k), str(k + 10), split] for k in range(first, first + count)]


@pytest.fixture
def kinetics(tmp_path) -> Path:
    header = "label,youtube_id,time_start,time_end,split"
    write_rows(tmp_path / "kinetics700_train.csv", header, kinetics_rows("train", 0, 40))
    write_rows(tmp_path / "kinetics700_validate.csv", header, kinetics_rows("validate", 100, 8))
    return tmp_path


def describe_kinetics(folder: Path, **options):
    return benchmarks.describe("kinetics", {"annotations": str(folder), **options})


@pytest.mark.parametrize(
    ("files", "header", "version"),
    [
        (("train.csv", "val.csv"), "label,youtube_id,time_start,time_end,split", "700"),
        (("kinetics_train.csv", "kinetics_val.csv"), "label,youtube_id,time_start,time_end,split,is_cc", "400"),
        (("k700-2020_train.csv", "k700-2020_val.csv"), "label,youtube_id,time_start,time_end", "700_2020"),
        (("kinetics600_train.csv", "kinetics600_validation.csv"), "label-name,youtube-id,time-start,time-end", 600),
    ],
)
def test_names_and_headers_of_all_versions_are_read(kinetics, tmp_path, files, header, version):
    folder = tmp_path / "other"
    folder.mkdir()
    for name, split, first, count in ((files[0], "train", 0, 40), (files[1], "val", 100, 8)):
        rows = [[*row, "0"][: header.count(",") + 1] for row in kinetics_rows(split, first, count)]
        write_rows(folder / name, header, rows)
    assert describe_kinetics(folder, version=version).table.hash == describe_kinetics(kinetics).table.hash


def test_versions_in_one_folder_are_kept_apart(kinetics):
    for part, first, count in (("train", 200, 8), ("val", 300, 4)):
        rows = kinetics_rows("train" if part == "train" else "val", first, count)
        write_rows(kinetics / f"k700_2020_{part}.csv", "label,youtube_id,time_start,time_end,split", rows)
    assert len(describe_kinetics(kinetics).table) == 48
    assert len(describe_kinetics(kinetics, version="700_2020").table) == 12
    with pytest.raises(ValueError, match="lacks the validation CSV of Kinetics-400"):
        describe_kinetics(kinetics, version="400")


def test_no_youtube_id_of_the_test_part_is_trained_on(kinetics):
    path = kinetics / "kinetics700_train.csv"
    path.write_text(path.read_text() + "class 1,00000000100,50,60,train\n")
    benchmark = describe_kinetics(kinetics)
    assert len(benchmark.table) == 48
    assert "1 training clips share a youtube id with the test part" in benchmark.notes[0]
    groups = benchmark.table.frame.groupby("split").group.agg(set)
    assert not groups["train"] & groups["valid"]
    assert not (groups["train"] | groups["valid"]) & groups["test"]


def test_class_names_lose_what_crawlers_added(kinetics):
    path = kinetics / "kinetics700_train.csv"
    path.write_text(path.read_text().replace("class 1", "Class_1").replace("class 2", '"""class  2"""'))
    assert set(describe_kinetics(kinetics).table.frame.action) == {"Class 1", "class 0", "class 2", "class 3"}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("00000000003,3,13", "../../../ab,3,13", "is no youtube id"),
        ("00000000003,3,13", "00000000003,13,3", "time_end '3' is not after time_start"),
        ("00000000003,3,13", "00000000003,nan,13", "time_start 'nan' is no time"),
        ("00000000003,3,13", "00000000002,2,12", "stands in an earlier row with the same times"),
        ("class 3,00000000003", ",00000000003", "label '' is empty"),
        ("3,13,train", "3,13,validate", "split 'validate' is not that of the train file"),
        ("3,13,train", "3,13", "4 fields where the header has 5"),
        ("youtube_id", "id", "no column 'youtube_id'"),
    ],
)
def test_a_wrong_kinetics_file_is_one_clear_line(kinetics, old, new, message):
    path = kinetics / "kinetics700_train.csv"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(ValueError, match=message) as caught:
        describe_kinetics(kinetics)
    assert "\n" not in str(caught.value)


# ---- video_csv


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,label\n../a.mp4,x\n", "is no path inside"),
        ("file,label\n/etc/a.mp4,x\n", "is no path inside"),
        ("file,start,stop\na.mp4,0,1\n", "has no label"),
        ("file,label,start,stop\na.mp4,x,2,1\n", "stop '1' is not after start"),
        ("file,label,split\na.mp4,x,exam\n", "split 'exam' is none of train, valid, test"),
        ("file,label\na.mp4,x\na.mp4,y\n", "earlier row with the same times"),
        ("file,label,group,split\na.mp4,x,g,train\nb.mp4,x,g,test\n", "groups are in train and in test"),
        ("label\nx\n", "no column 'file'"),
    ],
)
def test_a_wrong_csv_of_ones_own_is_one_clear_line(tmp_path, text, message):
    path = tmp_path / "mine.csv"
    path.write_text(text)
    with pytest.raises(ValueError, match=message) as caught:
        benchmarks.describe("video_csv", {"annotations": str(path)})
    assert "\n" not in str(caught.value)


def test_times_are_read_in_both_notations(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("t\n00:01:02.50\n1:02.5\n62.5\n10:00:00\n")
    assert Annotations(path, ("t",)).seconds("t").tolist() == [62.5, 62.5, 62.5, 36000.0]
