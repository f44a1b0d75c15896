"""A small synthetic EPIC-KITCHENS-100, real annotations on made videos: right frames, and a run to its table."""

from pathlib import Path

import numpy as np
import pytest

import benchmarks
from harness.run import main
from tests import kitchen
from tests.test_real_streams import shared


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
    code = main(["protocol=ek100-noun-10", "methods=[cram,er]", "setting=pretrained", *words, "compressor.steps=2",
                 "classifier.steps=2", "memory.budget=300kB", f"out={tmp_path / 'runs'}", "launcher=inline",
                 f"paths.cache={tmp_path / 'cache'}"])  # fmt: skip
    shown = capsys.readouterr().out
    assert code == 0, shown
    assert "cram" in shown
    assert "noun" in shown
