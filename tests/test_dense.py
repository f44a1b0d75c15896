"""Segments cut into consecutive clips: which frames they hold, how they are tested, what the plan says of them."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks.stream import build_stream
from harness.config.compose import request
from harness.planning.plan import print_plan
from harness.training.execute import run
from tests.test_annotations import describe_ek, ek  # noqa: F401  a fixture
from tests.test_real_streams import film, lay_out, load_ek, numbers, videos_of, write_video  # noqa: F401

GREY = """
import torch
from methods.contract import Method, register

@register("grey")
class Grey(Method):
    '''class 1 where a clip is bright'''
    def phases(self, experience):
        return []

    def predict(self, clips):
        grey = clips.float().mean((1, 2, 3, 4))
        return torch.stack([torch.full_like(grey, 60), grey], 1)
"""


def test_dense_clips_follow_each_other_through_their_segment(ek, film, tmp_path):  # noqa: F811
    root = lay_out(tmp_path / "videos", film, videos_of(ek), "{v}.MP4")
    benchmark = load_ek(ek, root, tmp_path / "cache", clips="dense", rate=10.0)
    frame = benchmark.table.frame
    assert len(frame) == 84 * 3  # 1.5 s at 10 a second are three clips of five frames
    part = frame[frame.item == "P01_31_2"]
    assert part.sample_id.tolist() == [f"P01_31_2/{k:05d}" for k in range(3)]
    shown = [numbers(clip) for clip in benchmark.reader.read(part.index.to_numpy())]
    assert np.concatenate(shown).tolist() == [int(t * 10 + 1e-5) for t in 5.25 + 0.05 + np.arange(15) / 10]
    one = describe_ek(ek)
    assert one.table.hash != benchmark.table.hash
    orders = [build_stream(table, "noun", 3, 0).class_order for table in (one.table, benchmark.table)]
    assert orders[0] == orders[1]


def test_short_segments_are_one_clip_and_ends_are_left_out(ek):  # noqa: F811
    table = describe_ek(ek, clips="dense", rate=10.0, frames=14).table.frame
    assert len(table) == 84
    assert (table.stop - table.start).round(6).unique().tolist() == [1.4]
    benchmark = describe_ek(ek, clips="dense", rate=5.0, frames=14)
    assert (benchmark.table.frame.stop - benchmark.table.frame.start).round(6).unique().tolist() == [1.5]
    assert any("84 segments are cut into 84 clips" in note for note in benchmark.notes)
    with pytest.raises(ValueError, match=r"benchmark\.clips=dens is not allowed; did you mean 'dense'"):
        describe_ek(ek, clips="dens")


def test_a_test_item_is_scored_by_the_mean_of_its_clips(tmp_path):
    """Two of three clips are dark, their mean is bright: neither a vote nor the first clip would say so."""
    for name, levels in {"a": (0, 0, 0), "b": (255, 255, 255), "mixed": (0, 0, 255)}.items():
        write_video(tmp_path / f"{name}.mp4", shown=[level for level in levels for _ in range(4)])
    (tmp_path / "mine.csv").write_text("file,label,split\na.mp4,dark,train\nb.mp4,light,train\nmixed.mp4,light,test\n")
    path = tmp_path / "grey.py"
    path.write_text(GREY)
    words = ["benchmark=video_csv", f"benchmark.annotations={tmp_path / 'mine.csv'}", f"benchmark.videos={tmp_path}",
             f"plugins={path}", "methods=grey", "benchmark.clips=dense", "benchmark.rate=10", "benchmark.frames=4",
             "benchmark.size=32", "benchmark.tasks=1", "benchmark.valid=0", "memory.budget=1MB",
             f"paths.cache={tmp_path / 'cache'}"]  # fmt: skip
    (config,) = request(words).runs.values()
    record = run(config, Path(tmp_path))
    saved = np.load(tmp_path / "predictions.npz")
    assert saved["sample_id"].tolist() == ["mixed.mp4"]
    assert saved["class_names"][saved["prediction"][0]].tolist() == ["light"]
    assert record["counts"] == [[1]]


def test_long_videos_have_their_own_budget_and_the_plan_tells_hours(ek, capsys):  # noqa: F811
    words = ["protocol=ek100-noun-10", "methods=[er,naive]", f"benchmark.annotations={ek}", "benchmark.min_train=1",
             "benchmark.min_test=1", "benchmark.tasks=3", "benchmark.frames=8", "benchmark.size=32"]  # fmt: skip
    one = request([*words, "memory.budget=1MB"])
    print_plan(one.runs)
    text = capsys.readouterr().out
    assert "er: keeps 40 clips, about 0.02 h, 60.6% of 66 clips, 0.03 h of video" in text
    assert "naive: keeps none of 66 clips" in text
    dense = request([*words, "benchmark.clips=dense"])
    assert {config.memory.budget for config in dense.runs.values()} == {2 * 10**9}
    print_plan(dense.runs)
    assert "its budget does not bind" in capsys.readouterr().out
    official = ["protocol=ek100-noun-10-dense", "methods=er", f"benchmark.annotations={ek}", "benchmark.min_test=1"]
    assert {config.protocol for config in request([*official, "benchmark.min_train=1"]).runs.values()} == {"custom"}
