"""The contract of a method: a user's unusual methods pass harness.check, and those that cheat or err are told why."""

import re
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from harness import check
from harness.run import main
from harness.training.execute import run
from methods import METHODS
from results.load import load
from results.pooling import pool, select
from results.registries import PLOTS
from tests import tiny

HONEST = ("grows", "branch_a_name", "one_sample", "two_views", "from_buffer", "dark", "tells")
CHEATS = {
    "hides_state": r"strict state.*record is not that of the run left alone",
    "hides_in_a_view": r"over its budget.*holders: row 2000000",
    "over_budget": r"over_budget is over its budget: \d+ bytes of memory.budget=260000 .*holders: everything \d+",
    "stale_copy": r"live\(\) names teacher",
    "renewed_copy": r"live\(\) names teacher",
    "wrong_shape": r"method wrong_shape: predict gave \(\d+, 21\), expected .*\(\d+, 20\)",
    "changing_phases": r"phases\(experience\) is not pure",
    "writing_phases": r"phases\(experience\) is not pure",
    "late": r"experience 0 is over",
    "late_experience": r"experience 0 is over",
    "diverges": r"method diverges, experience 0, phase classifier, step 2: the loss is nan",
    "diverges_alone": r"method diverges_alone, experience 0, phase classifier, step 2: the loss is nan",
    "logs_text": r"method logs_text: what a step of phase classifier logs mood is 'good': a number is expected",
    "reports_nan": r"method reports_nan, experience 0: what report\(experience\) gives: beta is nan",
    "uses_what_is_not": r"uses_what_is_not: unknown shared setting in uses 'replay.shar'.*did you mean 'replay.share'",
    "learns_in_predict": r"predict\(clips\) changes the method's state",
}


@pytest.fixture(scope="module")
def plugin(tmp_path_factory):
    """The toys as a file outside the project; their names are free again afterwards."""
    file = tmp_path_factory.mktemp("mine") / "my_methods.py"
    shutil.copy(Path(__file__).parent / "toys.py", file)
    before = set(METHODS)
    yield f"plugins=[{file}]"
    for name in set(METHODS) - before:
        sys.modules.pop(METHODS.entries.pop(name).target.__module__, None)


def checked(words: list[str], capsys) -> tuple[int, dict[str, str]]:
    """Exit code of harness.check and what it says of each method."""
    code = check.main([*words, tiny.TINY[1]])
    said = re.split(r"^(\w+):\n", capsys.readouterr().out, flags=re.MULTILINE)[1:]
    return code, dict(zip(said[::2], said[1::2], strict=True))


def test_unusual_methods_of_a_user_pass_the_check(plugin, capsys):
    code, said = checked([plugin, f"method={','.join(HONEST)}"], capsys)
    assert set(said) == set(HONEST)
    assert "FAILED" not in "".join(said.values()), said
    for name, text in said.items():
        assert text.count("  ok ") == 5, text
        stores = name in ("from_buffer", "dark")
        reason = "stores clips of the pre-training part" if stores else "cannot run with setting=pretrained"
        assert re.search(f"scratch only: .*{name} {reason}", text), text
    assert code == 0


def test_methods_that_break_the_contract_are_told_how(plugin, capsys):
    code, said = checked([plugin, f"method={','.join(CHEATS)}"], capsys)
    assert code == 1
    for name, reason in CHEATS.items():
        assert re.search(f"FAILED .*{reason}", said[name]), f"{name}: {said[name]}"


def test_a_growing_network_pays_for_its_growth(plugin):
    record = run(tiny.config("grows", plugin, "benchmark.tasks=3"), tiny.new_folder())
    grown = [row["holders"].get("growth of the live model", 0) for row in record["memory"]["per_experience"]]
    branch = (8 * 48 * 8 + 8) * 4  # weights and biases of one more branch
    assert [grown[k] for k in (0, 2, 3, 5, 6, 8)] == [0, 0, branch, branch, 2 * branch, 2 * branch]


def test_what_a_method_tells_reaches_record_table_and_plot(plugin, out):
    words = [*tiny.TINY, plugin, "benchmark.tasks=3", "methods=[tells]", f"out={out}", "launcher=inline"]
    assert main(words) == 0
    loaded = load(out)
    (record,) = (run.record for run in loaded.done)
    clip = 8 * 32 * 32 * 3
    assert record.reported == {"classes": [8, 16, 20], "held": [clip] * 3}
    assert record.logged == {"my.size": [8] * 3}
    assert record.used_groups == ["classifier"]
    assert record.work.kinds == {"classifier": "classifier"}
    rows = record.memory.per_experience
    assert [row.task_local for row in rows[:3]] == [{}, {"kept": clip}, {}]
    assert record.memory.scratch_peak == clip
    table = loaded.table(columns=["logged.my.size", "reported.classes"]).frame()
    assert table["mean"].tolist() == [8, 20]
    drawn = PLOTS.get("reported")(*select(loaded))[1]
    assert set(drawn["quantity"]) == {"my.size", "classes", "held"}


def test_a_setting_that_a_method_does_not_use_parts_no_table(out):
    er = [*tiny.TINY, f"out={out}", "launcher=inline", "methods=[er]"]
    assert main(er) == 0
    assert main([*er[:-1], "methods=[cram]", "compressor.steps=5"]) == 0
    assert main([*er, "compressor.steps=6"]) == 0  # the same run once more, as far as er is concerned
    pooled = pool(load(out))
    assert len(pooled.conditions) == 1
    assert {row: len(cell.done) for (row, _), cell in pooled.cells.items()} == {("er",): 1, ("cram",): 1}
    assert main([*er, "compressor.dim=4"]) == 0  # its classifier's stem is made with it
    assert ("er", "compressor.dim=4") in {(*row, *(f"{k}={v}" for k, v in c)) for row, c in pool(load(out)).cells}


def test_vectors_beside_clips_are_counted_and_stay_with_their_clips(plugin):
    walk = tiny.begun("dark", plugin, "memory.budget=260kB")
    walk.next_experience()
    walk.next_experience()
    buffer, row = walk.method.buffer, 8 * 32 * 32 * 3 + 4 * 20 + 8
    assert walk.memory.rows[-1]["holders"]["buffer"] >= len(buffer) * row
    assert len(buffer) == buffer.capacity == 260_000 // row
    # The logits of the clips stored last are those of the classifier as it is.
    stored = buffer.take(np.arange(len(buffer)))
    latest = torch.isin(stored.sample_id.long(), torch.from_numpy(walk.stream.train_stream[1].indices))
    assert latest.any()
    now = walk.method.predict(stored.clips)
    assert torch.allclose(now[latest], stored.extra["logits"][latest], atol=1e-4)
    assert not torch.allclose(now[~latest], stored.extra["logits"][~latest], atol=1e-4)


def test_the_first_of_two_views_is_the_clip_and_the_other_is_moved(plugin, monkeypatch):
    seen = []
    walk = tiny.begun("two_views", plugin)
    learn = type(walk.method).train
    monkeypatch.setattr(type(walk.method), "train", lambda self, batch: seen.append(batch) or learn(self, batch))
    walk.next_experience()
    assert len(seen) == 4
    own = walk.context.clips(walk.stream.train_stream[0])
    place = {int(row): k for k, row in enumerate(own.rows)}
    for batch in seen:
        plain = own.take([place[int(row)] for row in batch.sample_id]).clips
        assert (batch.clips[:, 0] == plain).all()
        assert (batch.clips[:, 1] != plain).any()


def test_built_in_methods_pass_the_check_of_a_user(capsys):
    """One of codes and one of payloads; test_runs.py interrupts every method there is."""
    code, said = checked(["method=cram,er", "er.codec=h264"], capsys)
    assert code == 0, said
    assert all(text.count("  ok ") == 6 for text in said.values()), said


def test_the_check_refuses_what_it_cannot_check(capsys):
    assert check.main([]) == 2
    assert check.main(["method=crom"]) == 2
    assert "did you mean 'cram'" in capsys.readouterr().err
    assert check.main(["preset=smoke"]) == 2
    assert "method=NAME is missing" in capsys.readouterr().err
