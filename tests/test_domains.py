"""Domain-incremental streams: tasks made of participants, in which every class counts as seen."""

import json

import numpy as np
import pytest

from benchmarks import protocols
from benchmarks.stream import build_stream
from harness.config.compose import request
from harness.training.execute import run
from results.load import load
from results.predictions import prediction_metrics
from tests.test_annotations import describe_ek, ek  # noqa: F401  a fixture
from tests.test_real_streams import film, lay_out, shared, videos_of  # noqa: F401

DARK = """
import torch
from methods.contract import Method, register

@register("constant")
class Constant(Method):
    '''class 1, always'''
    def phases(self, experience):
        return []

    def predict(self, clips):
        return torch.nn.functional.one_hot(torch.ones(len(clips), dtype=torch.int64), self.spec.n_classes).float()
"""


@pytest.fixture
def official():
    return describe_ek(shared("ek100"), min_train=100, min_test=10, tasks_by="participants", tasks=30)


def test_thirty_participants_are_thirty_tasks_of_all_92_nouns(official):
    stream = build_stream(official.table, "noun", 30, 0, "pretrained")
    rule = protocols.identify("epic_kitchens", "noun", 30, {"tasks_by": "participants"})
    assert (rule, stream.n_classes, stream.n_experiences) == ("ek100-participant-30/v1", 92, 30)
    people = sorted(name for part in stream.domain_order for name in part)
    assert len(set(people)) == 30
    assert not set(people) & {"P18", "P32", "P35", "P37"}
    frame = official.table.frame
    for part in ("train", "valid", "test"):
        for task, each in enumerate(getattr(stream, f"{part}_stream")):
            assert each.classes_seen_so_far == each.classes_in_this_experience == tuple(range(92))
            rows = frame.iloc[each.indices]
            assert set(rows.file.str[:3]) <= set(stream.domain_order[task])
            assert set(rows.split) <= {part}
    trained = frame[(frame.split != "test") & frame.noun.isin(stream.classes) & frame.domain.isin(people)]
    assert len(trained) == sum(len(e.indices) for e in (*stream.train_stream, *stream.valid_stream)) == 55_945
    assert any("P17 18" in note for note in stream.notes)
    assert any("P35 (2,631 clips)" in note for note in stream.notes)
    others = build_stream(official.table, "noun", 30, 1)
    assert others.domain_order != stream.domain_order == build_stream(official.table, "noun", 30, 0).domain_order


def test_a_run_over_participants_has_a_valid_record(ek, film, tmp_path):  # noqa: F811
    root = lay_out(tmp_path / "videos", film, videos_of(ek), "{v}.MP4")
    (tmp_path / "constant.py").write_text(DARK)
    words = ["benchmark=epic_kitchens", f"benchmark.annotations={ek}", f"benchmark.videos={root}", "memory.budget=1MB",
             "benchmark.min_train=1", "benchmark.min_test=1", "benchmark.frames=2", "benchmark.size=16",
             "benchmark.tasks_by=participants", "benchmark.valid=0", f"plugins={tmp_path / 'constant.py'}",
             "methods=constant", f"paths.cache={tmp_path / 'cache'}"]  # fmt: skip
    ((name, config),) = request([*words, "benchmark.tasks=2"]).runs.items()
    folder = tmp_path / "runs" / name
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config.plain()))
    record = run(config, folder)
    assert sorted(name for part in record["domains"] for name in part) == ["P01", "P02"]
    assert record["class_order"] == [["plate", "spoon", "tap"], []]
    assert record["counts"] == [[6, None], [6, 6]]
    assert record["accuracy"][1] == [pytest.approx(1 / 3)] * 2
    assert set(np.load(folder / "predictions.npz")["prediction"][1]) == {1}
    (loaded,) = load(tmp_path / "runs").runs
    assert np.isnan(prediction_metrics(loaded)["task_identification"])
    with pytest.raises(ValueError, match="3 tasks asked for, but there are 2 domains"):
        build_stream(describe_ek(ek, tasks_by="participants").table, "noun", 3, 0)
