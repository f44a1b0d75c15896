"""Views of recorded clips in training: other times, crops, mirroring, the same whoever asks and how often."""

import shutil

import numpy as np
import pytest
import torch

from harness.config.compose import request
from harness.training.batches import Plan, batches
from harness.training.context import Context
from methods.contract import Phase
from tests.test_real_streams import film, numbers  # noqa: F401  a fixture


@pytest.fixture
def context(film, tmp_path):  # noqa: F811
    """Clips of three seconds of a film, of a class that may be mirrored and one that may not."""

    def made(*words: str) -> Context:
        (tmp_path / "videos").mkdir(exist_ok=True)
        shutil.copy(film, tmp_path / "videos" / "a.mp4")
        rows = [f"a.mp4,{('pour', 'turn Left')[k % 2]},{k},{k + 3},train" for k in range(12)]
        (tmp_path / "mine.csv").write_text("\n".join(["file,action,start,stop,split", *rows]) + "\n")
        given = ["benchmark=video_csv", f"benchmark.annotations={tmp_path / 'mine.csv'}", "benchmark.valid=0",
                 f"benchmark.videos={tmp_path / 'videos'}", "methods=naive", "benchmark.frames=4", "benchmark.tasks=1",
                 "benchmark.size=32", "memory.budget=1MB", f"paths.cache={tmp_path / 'cache'}", *words]  # fmt: skip
        (config,) = request(given).runs.values()
        return Context(config)

    return made


def test_views_show_other_times_and_the_plain_clip_first(context):
    made = context("benchmark.candidates=5")
    source = made.clips(made.stream.train_stream[0]).drawn_by((0, 0, "train"))
    start = made.table.frame.start.to_numpy()[source.rows]
    plain = source.take(np.arange(12)).clips.numpy()
    assert [numbers(clip) for clip in plain] == [[int(10 * s + 7.5 * k + 3.75) for k in range(4)] for s in start]
    views = source.take(np.arange(12), np.arange(3)[None].repeat(12, 0)).clips.numpy()
    assert views.shape == (12, 3, 4, 32, 32, 3)
    assert (views[:, 0] == plain).all()
    shown = np.array([[numbers(view) for view in clip] for clip in views]) - 10 * start[:, None, None].astype(int)
    allowed = [{int(7.5 * k + 1.5 * j + 0.75) for j in range(5)} for k in range(4)]
    assert all(set(shown[..., k].flat) == allowed[k] for k in range(4))
    assert (source.take(np.array([5]), np.array([2])).clips.numpy()[0] == views[5, 2]).all()


def test_crops_move_within_the_margin_and_sides_are_kept_where_they_mean_something(context):
    made = context("benchmark.margin=16", "benchmark.flip=undirected")
    assert made.spec.clip_shape == (4, 32, 32, 3)
    source = made.clips(made.stream.train_stream[0]).drawn_by((0, 0, "train"))
    stored = made.reader.read(source.rows, corner=np.zeros((12, 2), int))
    assert (source.take(np.arange(12)).clips.numpy() == made.reader.read(source.rows)).all()
    assert (stored != made.reader.read(source.rows)).any()
    label = made.table.frame.action.to_numpy()[source.rows]
    found = {"pour": set(), "turn Left": set()}
    for view in range(1, 9):
        for b, clip in enumerate(source.take(np.arange(12), np.full(12, view)).clips.numpy()):
            corners = [made.reader.read(source.rows[[b]], corner=np.array([[0, left]]))[0] for left in range(17)]
            for mirrored in (False, True):  # the picture is the same in every row: only `left` can be told
                same = [left for left, each in enumerate(corners)
                        if (clip[:, 8:24] == (each[:, :, ::-1] if mirrored else each)[:, 8:24]).all()]  # fmt: skip
                found[label[b]] |= {(mirrored, left) for left in same}
    assert {mirrored for mirrored, _ in found["turn Left"]} == {False}
    assert {mirrored for mirrored, _ in found["pour"]} == {False, True}
    assert len({left for _, left in found["pour"]}) > 8


def test_training_sees_other_views_each_epoch_in_any_number_of_workers(context):
    made = context("benchmark.candidates=5", "benchmark.flip=all")
    source = made.clips(made.stream.train_stream[0])

    def shown(workers: int, **how) -> torch.Tensor:
        phase = Phase("train", lambda: source, lambda batch: None, epochs=2, batch=12, **how)
        plan = Plan(phase, 12, (0, 0, "train"), augmented=source.augmentation is not None)
        taken = list(batches(source, plan, 0, 2, workers))
        return torch.stack([batch.clips[batch.sample_id.argsort()] for batch in taken])

    first, second = shown(0)
    assert (first != second).any()
    assert (shown(2)[1] == second).all()
    plain = source.take(np.arange(12)).clips
    assert (shown(0, shuffle=False) == plain).all()  # a phase that walks the clips in order sees them as they are
