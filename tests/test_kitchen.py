"""A small synthetic EPIC-KITCHENS-100, real annotations on made videos: right frames, and a run to its table."""

import json
from pathlib import Path

import numpy as np
import pytest

import benchmarks
from harness.run import main
from tests import kitchen
from tests.test_real_streams import lay_out, shared


@pytest.fixture(scope="module")
def three(tmp_path_factory) -> kitchen.Kitchen:
    return kitchen.build(Path(shared("ek100")), tmp_path_factory.mktemp("kitchen"), kitchen.THREE, n_test=1)


def options(built: kitchen.Kitchen, **more) -> dict:
    return {"annotations": str(built.annotations), "videos": str(built.videos), "min_train": 1, "min_test": 0,
            "valid": 0, "tasks": 2, **more}  # fmt: skip


def test_clips_hold_the_frames_of_their_segments(three, tmp_path):
    made = benchmarks.load("epic_kitchens", options(three, size=64, candidates=3), tmp_path, workers=2)
    rng = np.random.default_rng(0)
    rows = rng.permutation(len(made.table))
    assert len(rows) == 39
    assert kitchen.decoded(three, made.table, rows[:12], 14) == []
    assert kitchen.cached(three, made.table, made.reader, rows, rng) == []
    assert kitchen.wrong_clips(three, made.table, {0: made.reader.read(np.array([1]))[0]},
                               {0: kitchen.clip_times(made.table, 0, 14)[:, 0]}, cropped=True)  # fmt: skip


@pytest.mark.parametrize("clips", ["one", "dense"])
def test_a_pretrained_run_comes_to_its_table(three, tmp_path, capsys, clips):
    """A test of the way: with two training videos of half a minute its accuracy means nothing."""
    given = options(three, size=16, frames=8, min_train=2, clips=clips, rate=8.0)
    words = [f"benchmark.{name}={value}" for name, value in given.items()]
    code = main(["protocol=ek100-noun-10", "methods=[cram,frozen,er,no_refresh]", "setting=pretrained", *words,
                 "compressor.steps=2", "classifier.steps=2", "memory.budget=300kB", f"out={tmp_path / 'runs'}",
                 "launcher=inline", f"paths.cache={tmp_path / 'cache'}"])  # fmt: skip
    shown = capsys.readouterr().out
    assert code == 0, shown
    records = [json.loads(path.read_text()) for path in (tmp_path / "runs").glob("*/record.json")]
    assert {record["method"]["name"] for record in records} == {"cram", "frozen", "er", "no_refresh"}
    assert all(name in shown for name in ("cram", "frozen", "er", "no_refresh", "noun"))
    # A dense item is a segment, not each of its clips.
    assert {sum(record["classes"].values()) for record in records} == {n_tested(three, records[0]["class_order"])}


def n_tested(built: kitchen.Kitchen, order: list[list[str]]) -> int:
    """Test segments of the streamed nouns."""
    table = benchmarks.describe("epic_kitchens", options(built)).table.frame
    return int(((table.split == "test") & table.noun.isin({name for task in order for name in task})).sum())


def test_real_clips_run_to_a_table(tmp_path, capsys):
    for name in ("bikes", "carphone_pristine", "cup"):
        for part in ("train", "test"):
            lay_out(tmp_path / "videos" / part / name, Path(shared("clips")) / f"{name}.mp4", [part], "{v}.mp4")
    words = ["benchmark=video_csv", f"benchmark.videos={tmp_path / 'videos'}", "benchmark.clips=dense", "methods=cram",
             "benchmark.rate=4", "benchmark.frames=8", "benchmark.size=32", "benchmark.tasks=3", "benchmark.valid=0.0",
             "memory.budget=300kB", "compressor.steps=2", "classifier.steps=2", "launcher=inline"]  # fmt: skip
    assert main([*words, f"out={tmp_path / 'runs'}", f"paths.cache={tmp_path / 'cache'}"]) == 0
    assert "cram" in capsys.readouterr().out
    (record,) = (json.loads(path.read_text()) for path in (tmp_path / "runs").glob("*/record.json"))
    assert record["counts"][-1] == [1, 1, 1]
