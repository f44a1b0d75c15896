"""Machines and files that fail: little shared memory, processes ended from outside, damage, names from outside."""

import contextlib
import json
import os
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import torch

from harness.training.batches import ClipSource, Plan, batches
from harness.training.journal import Journal, silent
from methods import METHODS
from methods.contract import Phase
from methods.naive import Naive
from results.predictions import _load, usable
from results.read import read
from results.schema import check_known, signed, validate
from tests import tiny


class Reader:
    """Clips that show their row; reading row 99 ends the process."""

    n_frames = 2

    def read(self, rows, *_):
        if 99 in rows:
            os.kill(os.getpid(), signal.SIGKILL)
        return np.repeat(np.asarray(rows, np.uint8), 2 * 4 * 4 * 3).reshape(-1, 2, 4, 4, 3)


def taken(rows: np.ndarray, workers: int) -> list[tuple]:
    source = ClipSource(Reader(), rows, rows % 2, {"label": np.arange(100)}, "cpu")
    phase = Phase("a", lambda: source, lambda batch: {}, steps=4, batch=3)
    found = batches(source, Plan.of(phase, source, (0, 0, "a")), 0, 4, workers)
    return [(b.clips.tolist(), b.target.tolist(), b.sample_id.tolist(), b.labels["label"].tolist()) for b in found]


def test_loader_workers_do_without_shared_memory(monkeypatch):
    alone = taken(np.arange(10), 0)

    def full(_):
        raise RuntimeError("unable to allocate shared memory(shm): No space left on device (28)")

    monkeypatch.setattr(torch.Tensor, "share_memory_", full)
    assert taken(np.arange(10), 1) == alone


def test_a_loader_worker_that_is_ended_from_outside_says_what_to_do():
    with pytest.raises(RuntimeError, match=r"ended from outside: .*; give the run more memory, or fewer of them"):
        taken(np.arange(90, 100), 1)


# ---- files that a power failure or a disk changed


@pytest.fixture(scope="module")
def finished() -> Path:
    return tiny.done("naive")[1]


def states(out: Path, columns: tuple[str, ...] = ()) -> list[tuple[str, str]]:
    return [(run.state, run.reason) for run in usable(read(out), columns).runs]


def test_a_record_that_was_changed_is_named_and_another_layout_is_not(finished, tmp_path):
    copy = tmp_path / finished.name
    shutil.copytree(finished, copy)
    name = json.loads((copy / "record.json").read_text())["run_id"]
    copy = copy.rename(tmp_path / name)
    assert states(tmp_path, ("task_identification",)) == [("done", "")]
    text = (copy / "record.json").read_text()
    (copy / "record.json").write_text(json.dumps(json.loads(text)))
    assert states(tmp_path) == [("done", "")]
    (copy / "record.json").write_text(text.replace('"restarts": 0', '"restarts": 1'))
    ((state, reason),) = states(tmp_path)
    assert state == "bad"
    assert "checksum: this is not what the run wrote" in reason
    (copy / "record.json").write_text(text)
    predictions = (copy / "predictions.npz").read_bytes()
    for damaged in (predictions[:-40], predictions[:200] + b"\0" * 20 + predictions[220:], b""):
        (copy / "predictions.npz").write_bytes(damaged)
        assert states(tmp_path) == [("done", "")]  # tables of other columns do not need them
        ((state, reason),) = states(tmp_path, ("task_identification",))
        assert (state, reason.partition(":")[0]) == ("bad", "predictions.npz")


def test_damaged_predictions_of_older_records_raise_no_bare_error(finished, tmp_path):
    content = (finished / "predictions.npz").read_bytes()
    file = tmp_path / "predictions.npz"
    rng = np.random.default_rng(0)
    for k in range(60):
        damaged = bytearray(content)
        for place in rng.integers(0, len(content), 4):
            damaged[place] = rng.integers(256)
        file.write_bytes(damaged)
        with contextlib.suppress(ValueError):
            _load(file, k, 2, None)


def test_a_journal_shorter_than_its_checkpoint_says_so_and_holds_no_zeros(tmp_path, capsys):
    journal = Journal(tmp_path, 1, silent, lambda name, line: None)
    for k in range(4):
        journal.experience({"experience": k})
    state, file = journal.state(), tmp_path / "experiences.jsonl"
    file.write_bytes(file.read_bytes()[:-9])
    journal.load(state)
    assert [json.loads(line)["experience"] for line in file.read_text().splitlines()] == [0, 1, 2]
    assert "lines from before the checkpoint are lost" in capsys.readouterr().err
    journal.experience({"experience": 3})
    journal.load(state)
    assert len(file.read_text().splitlines()) == 4
    assert capsys.readouterr().err == ""


# ---- names that come from outside


def test_a_label_of_any_text_and_names_that_no_record_can_hold(finished):
    record = json.loads((finished / "record.json").read_text())
    for label in ("my label", "Aktivität", "class(id)"):
        validate(signed({**record, "label": label}))
        check_known({"label": label, "class_order": [["a b", "日本"]]})
    for field, value in {"label": "", "class_order": [["x" * 501]], "seed": -1}.items():
        with pytest.raises(ValueError, match=f"no record could hold {field}"):
            check_known({field: value})


@pytest.mark.parametrize("name", ["my-method", "größe", "class", "a:b:c", "a b", "../x", ""])
def test_a_method_whose_name_cannot_be_set_is_refused_in_one_line(name):
    with pytest.raises(ValueError, match=r"^method .*a name is made of letters, digits"):
        METHODS.add(name, Naive, "x")
