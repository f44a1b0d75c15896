"""A part of a benchmark, clips that were skipped, videos that are not there, and what decoding will take."""

import os
import shutil

import numpy as np
import pytest

import benchmarks
from benchmarks import protocols
from benchmarks.frames.cache import BadClip
from benchmarks.stream import build_stream
from harness.config.compose import request
from tests.test_annotations import describe_ek, ek  # noqa: F401  a fixture
from tests.test_real_streams import film, lay_out, load_ek, videos_of  # noqa: F401

TINY = {"clips_per_class": 2, "actions": 20}


def test_classes_and_limit_take_a_part_of_moving_digits(tmp_path):
    whole = benchmarks.describe("moving_digits", {}, tmp_path).table
    names = ["left digit 0", "left digit 1", "right digit 0"]
    part = benchmarks.describe("moving_digits", {"classes": names, "limit": 3}, tmp_path)
    frame = part.table.frame
    assert sorted(set(frame["action"][frame["split"] != "pretrain"])) == names
    assert set(frame.groupby(["split", "action"]).size()) == {3}
    assert set(frame["sample_id"]) < set(whole.frame["sample_id"])
    smaller = benchmarks.describe("moving_digits", {"classes": names, "limit": 2}, tmp_path).table.frame
    assert set(smaller["sample_id"]) < set(frame["sample_id"])
    assert part.table.hash != whole.hash
    assert any("a part of the benchmark" in note for note in part.notes)
    assert build_stream(part.table, "action", 3, 0).n_classes == 3
    two = benchmarks.describe("moving_digits", {"classes": 2}, tmp_path).table
    assert build_stream(two, "action", 2, 0).classes == ("down digit 2", "down digit 3")


def test_a_part_is_read_from_the_frames_of_the_whole(tmp_path):
    whole = benchmarks.load("moving_digits", TINY, tmp_path)
    part = benchmarks.load("moving_digits", {**TINY, "classes": ["digit 0", "digit 3"], "limit": 1}, tmp_path)
    assert len(list(tmp_path.glob("*-frames"))) == 1
    place = {name: row for row, name in enumerate(whole.table.frame["sample_id"])}
    rows = np.array([place[name] for name in part.table.frame["sample_id"]])
    assert (part.reader.read(np.arange(len(rows))) == whole.reader.read(rows)).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": ["left digit 0", "lft digit 1"]}, "label action has no class 'lft digit 1'; did you mean 'left"),
        ({"classes": 50}, "label action has 40 classes"),
        ({"classes": 0}, "classes=0 is not allowed"),
        ({"classes": 2.5}, "give a number of classes, or names"),
        ({"classes": {"a": 1}}, "give a number of classes, or names"),
        ({"classes": []}, "give a number of classes, or names"),
        ({"limit": -1}, "limit=-1 is not allowed: it must be 0 or more"),
        ({"limit": True}, "limit must be a whole number"),
    ],
)
def test_a_part_that_is_not_there_is_one_clear_line(options, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        benchmarks.describe("moving_digits", options, tmp_path)


def test_a_part_is_no_protocol_and_the_whole_keeps_its_run_ids(tmp_path):
    words = ["methods=[er]", f"paths.cache={tmp_path}", "memory.budget=100kB"]
    (run_id,) = request(words).runs
    assert list(request([*words, "benchmark.classes=null", "benchmark.limit=0"]).runs) == [run_id]
    part = request([*words, "benchmark.classes=left digit 0,left digit 1", "benchmark.tasks=2"]).runs
    ((name, config),) = part.items()
    assert config.protocol == "custom"
    assert config.benchmark.options["classes"] == ("left digit 0", "left digit 1")
    assert name != run_id
    assert protocols.identify("moving_digits", "action", 10, {"limit": 5}) == "custom"


def test_only_the_clips_of_a_part_are_decoded(ek, film, tmp_path):  # noqa: F811
    root = lay_out(tmp_path / "videos", film, videos_of(ek), "{v}.mp4")
    part = load_ek(ek, root, tmp_path / "cache", classes=["tap"], limit=2)
    assert len(part.table) == part.reader.verify()[0] == 6
    assert set(part.table.frame["noun"]) == {"tap"}
    dense = describe_ek(ek, classes=["tap"], limit=2, clips="dense", frames=5)
    assert dense.table.frame["item"].nunique() == 6


def test_a_run_with_skipped_clips_is_another_run(ek, film, tmp_path):  # noqa: F811
    root = lay_out(tmp_path / "videos", film, videos_of(ek), "{v}.mp4")
    whole = load_ek(ek, root, tmp_path / "cache")
    assert whole.clips_hash == whole.table.hash
    content = (root / "P05_05.mp4").read_bytes()
    (root / "P05_05.mp4").write_bytes(b"damaged")
    options = {"videos": str(root), "frames": 5, "size": 32, "on_bad": "skip"}
    before = describe_ek(ek, **options)
    assert not before.settled
    skipping = load_ek(ek, root, tmp_path / "cache", on_bad="skip")
    assert skipping.settled
    assert skipping.clips_hash not in (whole.clips_hash, skipping.table.hash)
    assert set(skipping.changed.values()) == {""}
    replacing = load_ek(ek, root, tmp_path / "cache", on_bad="replace")
    assert len({whole.clips_hash, skipping.clips_hash, replacing.clips_hash}) == 3
    (root / "P05_05.mp4").unlink()
    missing = describe_ek(ek, **options)
    assert missing.clips_hash == skipping.clips_hash
    assert any("6 skipped" in note for note in missing.notes)
    (root / "P05_05.mp4").write_bytes(content)


def test_a_run_is_asked_for_anew_when_its_skipped_clips_arrive(ek, film, tmp_path):  # noqa: F811
    root = lay_out(tmp_path / "videos", film, videos_of(ek), "{v}.mp4")
    content = (root / "P05_05.mp4").read_bytes()
    words = ["methods=[er]", "benchmark=epic_kitchens", "protocol=none", "memory.budget=1MB", "benchmark.on_bad=skip",
             f"benchmark.annotations={ek}", f"benchmark.videos={root}", "benchmark.frames=5", "benchmark.size=32",
             "benchmark.min_train=1", "benchmark.min_test=1", f"paths.cache={tmp_path / 'cache'}"]  # fmt: skip
    (root / "P05_05.mp4").write_bytes(b"damaged")
    planned = list(request([*words, "plan=true"]).runs)
    skipped = list(request(words).runs)
    assert skipped != planned  # decoding has shown what is damaged
    assert list(request([*words, "plan=true"]).runs) == skipped
    (root / "P05_05.mp4").write_bytes(content)
    os.utime(root / "P05_05.mp4", (2e9, 2e9))
    assert any("1 videos of bad clips have changed" in note for note in load_ek(
        ek, root, tmp_path / "cache", on_bad="skip").notes)  # fmt: skip
    shutil.rmtree(tmp_path / "cache")
    whole = list(request(words).runs)
    assert whole == planned != skipped


def test_headers_written_before_clips_had_kinds_are_read():
    assert BadClip.of(["why", "skipped"]) == BadClip("why", "skipped")
    assert BadClip.of(["why", "kept, its last frame repeats"]) == BadClip("why", "kept")
    assert BadClip.of(["why", "replaced by P01_01_3"]) == BadClip("why", "replaced", "P01_01_3")
    assert BadClip.of(["why", "replaced", "a"]).done == "replaced by a"


def test_videos_that_are_not_there_are_told_beside_what_is(ek, tmp_path):  # noqa: F811
    root = tmp_path / "videos"
    (root / "P01").mkdir(parents=True)
    (root / "P01" / "P01_01.rar").touch()
    (root / "notes.txt").touch()
    with pytest.raises(ValueError, match=r"it holds notes.txt, P01/P01_01.rar \(1 .txt, 1 .rar\)"):
        describe_ek(ek, videos=str(root))


def test_what_decoding_will_take_is_known_before(ek, film, tmp_path):  # noqa: F811
    assert describe_ek(ek).decoding.hours is None
    root = lay_out(tmp_path / "videos", film, videos_of(ek), "{v}.mp4")
    todo = describe_ek(ek, videos=str(root), frames=5, size=32, codec="raw").decoding
    assert (todo.clips, todo.bytes) == (84, 84 * 5 * 32 * 32 * 3)
    assert 0 < todo.hours < 0.1
    load_ek(ek, root, tmp_path / "cache")
    options = {"annotations": str(ek), "videos": str(root), "min_train": 1, "min_test": 1, "frames": 5, "size": 32}
    assert benchmarks.describe("epic_kitchens", options, tmp_path / "cache").decoding is None
