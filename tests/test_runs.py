"""Whole runs by the command line: equal seeds give equal records, however the run was carried out."""

import json
from pathlib import Path

import numpy as np
import pytest

from harness.run import main
from harness.storage.record import comparable, differences
from methods import find, native
from tests import tiny

BUILT_IN = native()


def records(out: Path, *words: str) -> dict[str, dict]:
    """Method -> record of a command line on the tiny stream."""
    assert main([*tiny.TINY, f"out={out}", *words]) == 0
    found = [json.loads(file.read_text()) for file in out.glob("*/record.json")]
    assert len(found) == len({record["method"]["name"] for record in found})
    return {record["method"]["name"]: record for record in found}


@pytest.fixture(scope="module")
def reference(tmp_path_factory) -> tuple[dict[str, dict], Path]:
    """Every method there is, two runs at a time."""
    out = tmp_path_factory.mktemp("reference")
    return records(out, "workers=2"), out


def same(one: dict[str, dict], other: dict[str, dict]) -> None:
    assert one.keys() == other.keys()
    for name in one:
        assert differences(comparable(one[name]), comparable(other[name])) == [], name


def test_every_method_gives_the_same_record_with_a_new_process_for_each_experience(reference, tmp_path):
    assert set(reference[0]) == set(BUILT_IN)
    same(records(tmp_path, "strict_state=true", "launcher=inline"), reference[0])


def test_other_counts_of_workers_give_the_same_record(reference, tmp_path):
    other = records(tmp_path, "methods=[cram,er]", "loader_workers=2", "workers=1")
    same(other, {name: reference[0][name] for name in other})


def test_another_seed_or_order_gives_another_record(reference, tmp_path):
    for word in ("seeds=[1]", "order_seeds=[1]"):
        record = records(tmp_path / word.partition("=")[0], "methods=cram", word)["cram"]
        found = differences(comparable(record), comparable(reference[0]["cram"]))
        assert any("accuracy" in place or "latent_shift" in place for place in found), word
    assert record["class_order"] != reference[0]["cram"]["class_order"]


@pytest.mark.parametrize("name", BUILT_IN)
def test_accuracy_in_the_record_is_that_of_the_predictions(reference, name):
    record, out = reference[0][name], reference[1]
    stored = np.load(out / record["run_id"] / "predictions.npz")
    right = stored["prediction"] == stored["target"]
    for i, row in enumerate(record["accuracy"]):
        for j, value in enumerate(row):
            at = (stored["task"] == j) & (stored["prediction"][i] >= 0)
            if value is None:
                assert not at.any()
                continue
            assert value == pytest.approx(right[i][at].mean())
            assert record["counts"][i][j] == at.sum() == (stored["task"] == j).sum()
    last = {str(stored["class_names"][c]) for c in np.unique(stored["prediction"][0][stored["prediction"][0] >= 0])}
    seen = record["class_order"][0] if not find(name).joint else None
    assert seen is None or last <= set(seen)  # classes to come are masked


def test_validation_is_another_part_of_the_same_classes(reference, tmp_path):
    record = records(tmp_path, "methods=naive", "evaluate=validation")["naive"]
    test = reference[0]["naive"]
    assert record["run_id"] != test["run_id"]
    assert record["classes"].keys() == test["classes"].keys()
    stored = np.load(tmp_path / record["run_id"] / "predictions.npz")
    other = np.load(reference[1] / test["run_id"] / "predictions.npz")
    assert not set(stored["sample_id"]) & set(other["sample_id"])
    assert record["work"] == test["work"]


def test_pretraining_stands_before_the_stream_for_every_method(reference, tmp_path):
    found = records(tmp_path, "setting=pretrained")
    for name, record in found.items():
        scratch = reference[0][name]
        assert record["class_order"] == scratch["class_order"]
        assert record["counts"] == scratch["counts"]
        assert record["work"]["steps"]["classifier"] == scratch["work"]["steps"]["classifier"] + 4
        assert record["memory"]["clips_stored"] == scratch["memory"]["clips_stored"]  # none of the pre-training part
    # a compressor that is frozen after pre-training and is not trained on the stream
    assert found["frozen"]["work"]["steps"]["compressor"] == 4
    assert all(value in (None, 0) for value in found["frozen"]["drift"]["changed"])


def test_a_run_that_stores_its_pretraining_part_is_refused(tmp_path, capsys):
    file = tmp_path / "hoards.py"
    file.write_text("""
from methods.contract import Phase, register
from methods.er import ER

@register("hoards")
class Hoards(ER):
    def phases(self, experience):
        store = Phase("store", lambda: experience.clips, self.store, epochs=1, shuffle=False)
        return [self.classifier_phase(experience), store]
""")
    words = [f"plugins={file}", "methods=hoards", "memory.budget=400kB"]
    assert main([*tiny.TINY, *words, f"out={tmp_path / 'runs'}", "setting=pretrained"]) == 1
    assert "method hoards stores clips of the pre-training part" in capsys.readouterr().err
