"""Records: what is valid, and loading folders of good, partial and hostile ones."""

import json
import math
from pathlib import Path

import pytest

from results import METRICS, tables
from results.load import load
from results.schema import SCHEMA_FILE, comparable, schema_text, validate
from tests.synthetic import record, replicates, run, sweep, write


def test_a_record_of_the_right_shape_is_valid_and_circumstance_is_not_compared() -> None:
    made = record()
    validate(made)
    validate(record("joint", bound=True))
    other = json.loads(json.dumps(made)) | {"seconds": {}, "device": "cuda", "restarts": 3, "execution": {"workers": 9}}
    other["config"]["execution"] = {"workers": 9}
    other["memory"]["peak_process"] = 1
    assert comparable(other) == comparable(made)
    other["accuracy"][0][0] = 0.0
    assert comparable(other) != comparable(made)


BAD = {
    "accuracy.0.0": lambda r: r["accuracy"][0].__setitem__(0, 1.5),
    "accuracy": lambda r: r["accuracy"][0].pop(),
    "class_order": lambda r: r["class_order"][0].append("class 3"),
    "counts.1.0": lambda r: r["counts"][1].__setitem__(0, 0),
    "memory.carried": lambda r: r["memory"].__setitem__("carried_max", 1),
    "per_class.class 0": lambda r: r["per_class"]["class 0"].pop(),
    "per_class": lambda r: r["per_class"].__setitem__("<b>x</b>", [None] * 5),
    "seconds.total": lambda r: r["seconds"].__setitem__("total", math.nan),
    "drift.psnr.1": lambda r: r["drift"]["psnr"].__setitem__(1, math.inf),
    "run_id": lambda r: r.__setitem__("run_id", "../../etc/passwd"),
    "seed": lambda r: r.__setitem__("seed", "0"),
    "config.seed": lambda r: r["config"].__setitem__("seed", 7),
    "memory.live": lambda r: r["memory"].__setitem__("live", 10**30),
    "record": lambda r: r.__setitem__("extra", 1),
}


@pytest.mark.parametrize("path", BAD)
def test_validation_names_the_bad_field(path: str) -> None:
    made = record()
    BAD[path](made)
    with pytest.raises(ValueError, match=f"^{path}: "):
        validate(made)


def test_the_schema_file_is_the_one_that_the_class_gives() -> None:
    assert SCHEMA_FILE.read_text(encoding="utf-8") == schema_text(), "run: python -m results.schema"


def test_new_fields_are_optional_and_checked() -> None:
    made = record(reported={"beta": [0.1, None, 0.3, 0.4, 0.5]}, used_groups=["classifier"], skipped_clips=3)
    made["work"]["kinds"] = {"compressor": "compressor"}
    made["memory"]["per_experience"][0]["task_local"] = {"teacher": 8}
    assert validate(made).n_skipped == 3
    for field, bad in (("reported", {"beta": [0.1]}), ("used_groups", ["magic"]), ("skipped_clips", -1)):
        with pytest.raises(ValueError, match=f"^{field}"):
            validate(made | {field: bad})


def test_steps_and_seconds_go_by_the_kind_of_a_phase() -> None:
    made = record()
    made["work"]["steps"]["second stage"] = 7
    made["seconds"]["by_phase"]["second stage"] = 0.5
    assert validate(made).steps_of("refresh") == 50
    made["work"]["kinds"] = {"second stage": "refresh"}
    assert validate(made).steps_of("refresh") == 57
    assert validate(made).seconds_of("refresh") == 3.0
    assert validate(made).seconds_of("rehearsal") is None


def test_a_frame_has_a_row_a_run_and_every_column(out: Path) -> None:
    ids = write(out, replicates("cram", [0.8, 0.7], reported={"beta": [None, 1, 2, 3, 4.5]}))
    sweep(out, [*ids, "moving-digits-5-v1-cram-s1-o1-0123456789"], ["cram"])
    loaded = load(out)
    runs = loaded.frame()
    assert list(runs["state"]) == ["done", "done", "missing"]
    assert runs["final_accuracy"].tolist()[:2] == pytest.approx([(0.8 * 4 + 0.95) / 5, (0.7 * 4 + 0.95) / 5])
    assert set(METRICS) <= set(runs.columns)
    assert runs["reported.beta"].tolist()[:2] == [4.5, 4.5]
    table = loaded.table(columns=["reported.beta", "forgetting"])
    assert "beta" in str(table)
    assert "<td>cram</td>" in table._repr_html_()
    assert table.frame().query("quantity == 'beta'")["mean"].tolist() == [4.5]


def test_hostile_and_partial_records_are_named_and_not_counted(out: Path, capsys: pytest.CaptureFixture) -> None:
    good = write(out, replicates("cram", [0.8, 0.8]))
    texts = {
        "truncated": json.dumps(record())[:400],
        "nan": json.dumps(record(seconds={**record()["seconds"], "total": math.nan})),
        "huge": json.dumps(record()).replace("60.0", "1e999"),
        "deep": "[" * 100_000,
        "types": json.dumps(record() | {"accuracy": "<script>alert(1)</script>", "counts": []}),
        "elsewhere": json.dumps(record()),  # says another run id than its folder's
        "empty": "",
        "list": "[]",
        "binary": "\x00\xff",
    }
    for name, text in texts.items():
        (out / name).mkdir()
        (out / name / "record.json").write_text(text, encoding="latin-1")
    (out / "claims").mkdir()
    (out / "claims" / "status.json").write_text('{"state": "done"}')
    (out / "oddstate").mkdir()
    (out / "oddstate" / "status.json").write_text('{"state": "<b>"}')
    sweep(out, [*good, "../../etc", 7], ["cram"])
    (out / "sweeps" / "bad.json").write_text("{")
    loaded = load(out)
    assert [run.run_id for run in loaded.done] == good
    assert {run.run_id for run in loaded.runs if run.state == "bad"} == {*texts, "claims", "oddstate"}
    text = run(tables, capsys, out)
    assert " cram 2 " in " ".join(text.split())
    for name in [*texts, "claims", "oddstate"]:
        assert f"bad: {name}" in text
    assert "not a run id: '../../etc'" in text
    assert "bad.json: not a sweep" in text


def test_html_and_control_characters_in_names_stay_text(out: Path, capsys: pytest.CaptureFixture) -> None:
    evil = "<img src=x>|[bold red]&_%"
    made = record(config={"profile": "small"}, settings={"note": evil})
    twin = record(seed=1, settings={"note": "plain"})
    write(out, [made, twin])
    assert evil in run(tables, capsys, out)
    assert "<img" not in run(tables, capsys, out, "format=markdown").replace("\\<", "")
    assert r"\textless{}img src=x\textgreater{}\textbar{}[bold red]\&\_\%" in run(tables, capsys, out, "format=latex")
