"""A run is known by what decides its result, not by where files lie."""

import json
from pathlib import Path

import pytest

from harness.config.compose import request
from harness.config.run_config import RunConfig

WORDS = ["benchmark=video_csv", "methods=[naive]", "benchmark.tasks=2", "benchmark.frames=8", "benchmark.size=32",
         "memory.budget=1MB"]  # fmt: skip


def annotations(folder: Path, classes: tuple[str, ...] = ("jump", "run")) -> Path:
    """A CSV of two clips a class and part, in a new folder; a plan does not open the videos."""
    folder.mkdir()
    clips = [(f"{name}-{part}{k}.mp4", part, name) for name in classes for part in ("train", "test") for k in (0, 1)]
    rows = [f"{file},0,2,{part},{name}" for file, part, name in clips]
    for file, _, _ in clips:
        (folder / file).touch()
    (folder / "clips.csv").write_text("\n".join(["file,start,stop,split,action", *rows]) + "\n")
    return folder / "clips.csv"


def run_ids(csv: Path) -> list[str]:
    return list(request([*WORDS, f"benchmark.annotations={csv}", f"benchmark.videos={csv.parent}"]).runs)


def test_the_same_clips_in_another_folder_are_the_same_run(tmp_path):
    first = run_ids(annotations(tmp_path / "here"))
    assert run_ids(annotations(tmp_path / "there")) == first
    assert run_ids(annotations(tmp_path / "other", ("jump", "walk"))) != first


def test_config_json_gives_back_the_run_that_it_was_written_for():
    words = ["methods=[er,avalanche:EWC]", "profile=paper", "benchmark.classes=[left digit 0,left digit 1]",
             "benchmark.tasks=2", "memory.budget=1MB", "log.to=[tensorboard]", "slurm.extra.mail_type=END"]  # fmt: skip
    for run_id, config in request(words).runs.items():
        written = json.loads(json.dumps(config.plain()))
        read = RunConfig.of(written)
        assert json.loads(json.dumps(read.plain())) == written
        assert read.run_id("0123456789ab") == config.run_id("0123456789ab")
        assert read.execution.slurm.extra == {"mail_type": "END"}
        del written["execution"]["lock"], written["execution"]["threads"], written["execution"]["log"]["to"]
        assert RunConfig.of(written).execution.lock == config.execution.lock  # of an earlier version
        assert run_id.startswith("moving_digits-")
    for wrong in ({}, [], {**written, "method": {"name": "er"}}, {**written, "surprise": 1}):
        with pytest.raises(ValueError, match="is no config of a run of this version"):
            RunConfig.of(wrong)
