"""Pooling and tables, from synthetic run folders through the commands that a user types."""

import csv
import io
import json
import math
import re
import subprocess
import sys
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from benchmarks.protocols import PROTOCOLS
from results import plots, tables
from results.load import load
from results.pooling import summarise
from results.reference import published
from tests.synthetic import attempt, predictions, record, replicates, run, sweep, write


def cells_of(text: str) -> dict[tuple[str, str, str], dict[str, str]]:
    """CSV rows by (condition, method, quantity)."""
    return {(row["condition"], row["method"], row["quantity"]): row for row in csv.DictReader(io.StringIO(text))}


def test_main_table_shows_means_intervals_bytes_missing_and_bounds(out: Path, capsys: pytest.CaptureFixture) -> None:
    finals = [0.85, 0.83, 0.86, 0.84]
    crams = replicates("cram", [*finals, 0.8])
    joints = replicates("joint", [0.95] * 5, bound=True)
    for made in joints:
        made["accuracy"][:-1] = [[None] * 5] * 4
    ids = write(out, crams[:4]) + write(out, crams[4:], "failed", "NaN loss in task 3")
    ids += write(out, joints) + write(out, replicates("er", [0.6] * 5))
    ids += [made["run_id"] for made in replicates("no_refresh", [0.5] * 2)]
    sweep(out, ids, ["joint", "cram", "er", "no_refresh"])
    text = run(tables, capsys, out)
    lines = {line.split()[0]: line for line in text.splitlines() if line.strip()}
    # By hand: finals -> task means (4 f + .95) / 5 = .87 .854 .878 .862; s = .01033; t(.975, 3) = 3.182.
    assert lines["cram"].split()[:5] == ["cram", "4/5", "86.6", "±", "1.6"]  # no best among unequal replicates
    assert "Unequal replicates (cram 4, er 5; 4 are in all rows)" in text
    assert lines["cram"].split()[-9:] == ["650", "kB", "900", "kB", "1.55", "MB", "500", "1,500", "162"]
    assert lines["er"].split()[:5] == ["er", "5", "67.0", "±", "0.0"]
    assert lines["no_refresh"].split()[:3] == ["no_refresh", "0/2", "missing"]
    assert " 0.0 " not in lines["no_refresh"]
    assert lines["joint"].split()[:7] == ["joint", "5", "95.0", "±", "0.0", "–", "–"]
    order = [name for name in lines if name in ("cram", "er", "no_refresh", "joint")]
    assert order == ["cram", "er", "no_refresh", "joint"]
    rule = next(i for i, line in enumerate(text.splitlines()) if line.strip().startswith("joint")) - 1
    assert set(text.splitlines()[rule].strip()) == {"─"}
    assert f"failed: {crams[4]['run_id']}: NaN loss in task 3" in text
    assert "moving-digits-5/v1 (0123456789ab)" in text
    assert "700 kB carried" in text
    title = "moving-digits-5/v1 (action, scratch): 4 methods, memory of 700 kB (carried), n=4 to 5"
    assert text.startswith(title)
    assert "95 % t-interval over n=4 to 5 replicates" in text
    assert "Chance after the last task: 10 % (1 of 10 classes)." in text
    assert "mean over j < T-1 of R[j, j] - R[T-1, j].\nR[i, j]: accuracy on task j after task i" in text
    assert load(out).digest in text


def test_print_table_shows_only_the_runs_asked_for_and_where_they_lie(out: Path, capsys: pytest.CaptureFixture) -> None:
    ids = write(out, replicates("cram", [0.8, 0.8]))
    write(out, replicates("er", [0.6]))
    sweep(out, ids, ["cram", "er"])
    tables.print_table(out, [*ids, "moving-digits-5-v1-cram-s102-o102-0123456789"])
    text = capsys.readouterr().out
    assert " cram 2/3 " in " ".join(text.split())
    assert " er 1 " not in " ".join(text.split())
    assert f"records: 2 in {out}" in text


def test_where_nothing_is_done_the_reason_stands_there_once_and_no_table(
    out: Path, capsys: pytest.CaptureFixture
) -> None:
    ids = write(out, replicates("cram", [0.8] * 5), "failed", "no space left")
    sweep(out, ids, ["cram"])
    text = run(tables, capsys, out)
    assert "No run is done: 5 failed." in text
    assert "missing" not in text
    assert text.count("no space left") == 1
    assert f"failed: 5 runs, {ids[0]}, {ids[1]}, {ids[2]} and 2 more: no space left" in text
    tables.print_table(out)  # at the end of a run, which says itself why and where the log lies
    assert "no space left" not in capsys.readouterr().out


def test_cells_pool_equal_configurations_only(out: Path, capsys: pytest.CaptureFixture) -> None:
    for codec, setting in product(("raw", "jpeg"), ("scratch", "pretrained")):
        write(out, replicates("er", [0.6, 0.6], settings={"codec": codec}, config={"setting": setting}))
    write(out, replicates("cram", [0.9, 0.9], config={"execution": {"workers": 7}}))
    write(out, replicates("cram", [0.7, 0.7], config={"execution": {"workers": 1}}, first=102))
    cells = cells_of(run(tables, capsys, out, "layout=grid", "columns=final_accuracy", "format=csv"))
    key = ("setting=scratch", "cram", "final accuracy")
    assert cells[key]["n"] == "4"
    assert float(cells[key]["mean"]) == pytest.approx((0.91 + 0.75) / 2)
    assert cells["setting=pretrained", "cram", "final accuracy"]["text"] == "not run"
    rows = {method for _, method, _ in cells}
    assert rows == {"cram", "er codec=raw", "er codec=jpeg"}
    assert all(cells[c, m, q]["n"] == "2" for c, m, q in cells if m.startswith("er"))


def test_keys_that_differ_together_are_shown_once_and_bounds_stand_at_every_budget(
    out: Path, capsys: pytest.CaptureFixture
) -> None:
    for budget, steps in ((400_000, 50), (2_000_000, 60)):
        config = {"memory": {"budget": budget}, "classifier": {"steps": steps}}
        write(out, replicates("cram", [0.8, 0.7], config=config))
    for budget in (400_000, 2_000_000):
        write(out, replicates("joint", [0.9, 0.9], config={"memory": {"budget": budget}}, bound=True))
    cells = cells_of(run(tables, capsys, out, "layout=grid", "columns=final_accuracy", "format=csv"))
    assert {condition for condition, method, _ in cells if method == "cram"} >= {"budget=400 kB", "budget=2 MB"}
    write(out, replicates("er", [0.5, 0.5], config={"memory": {"budget": 400_000}}))
    joint = [row for (_, method, _), row in cells.items() if method.startswith("joint")]
    assert {row["n"] for row in joint} == {"2"}


def test_a_block_leaves_out_what_nobody_asked_for_there(out: Path, capsys: pytest.CaptureFixture) -> None:
    stress = {"compressor": {"reinit": "each_task"}}
    ids = write(out, replicates("cram", [0.8, 0.7]) + replicates("er", [0.5]) + replicates("frozen", [0.6]))
    ids += write(out, replicates("cram", [0.7, 0.8], config=stress))
    ids += write(out, replicates("frozen", [0.7], config=stress), "failed", "no memory")
    sweep(out, ids, ["cram", "er", "frozen"])
    text = run(tables, capsys, out)
    natural, stressed = text[: text.index("each_task")], text[text.index("each_task") :]
    assert "not run here" not in natural
    assert stressed.count("not run here: er\n") == 1
    assert "\ner " not in stressed
    assert "frozen 0/1 missing" in " ".join(stressed.split())
    for form in ("markdown", "latex"):
        assert run(tables, capsys, out, f"format={form}").count("not run here: er") == 1
    # A column of the grid has the word in its cells, for the row stands in other columns.
    cells = cells_of(run(tables, capsys, out, "layout=grid", "columns=final_accuracy", "format=csv"))
    assert cells["compressor.reinit=each_task", "er", "final accuracy"]["text"] == "not run"


def test_methods_choose_rows_and_what_the_caption_speaks_of(out: Path, capsys: pytest.CaptureFixture) -> None:
    write(out, replicates("cram", [0.8, 0.7]) + replicates("frozen", [0.6, 0.6], sources="cd" * 32))
    for codec in ("raw", "jpeg"):
        write(out, replicates("er", [0.5, 0.5], settings={"codec": codec}))
    write(out, replicates("frozen", [0.6], first=102))
    rows = {method for _, method, _ in cells_of(run(tables, capsys, out, "methods=cram,er", "format=csv"))}
    assert rows == {"cram", "er codec=raw", "er codec=jpeg"}  # the mixed cell of frozen is not asked for
    text = run(tables, capsys, out, "methods=er codec=raw")
    assert "2 records" in text
    assert "er codec=raw" in text  # named as among all runs
    assert "frozen" not in text
    code, _, error = attempt(tables, capsys, out, "methods=frosen")
    assert code == 2
    assert "did you mean 'frozen'?" in error


@pytest.mark.parametrize(
    ("field", "word"), [("sources", "sources"), ("device", "device"), ("precision_used", "precision")]
)
def test_mixing_is_refused_unless_asked_for_and_then_said(
    out: Path, capsys: pytest.CaptureFixture, field: str, word: str
) -> None:
    write(out, replicates("cram", [0.8, 0.8]))
    write(out, replicates("cram", [0.8], first=102, **{field: "cd" * 32}))
    code, _, error = attempt(tables, capsys, out)
    assert code == 2
    assert f"runs of different {word} in one cell" in error
    assert "mixed=true" in error
    assert f"Mixed: cram: 3 runs of different {word}" in run(tables, capsys, out, "mixed=true")
    tables.print_table(out)
    assert "Mixed: cram" in capsys.readouterr().out


def test_crossed_grids_average_seeds_within_an_order_first(out: Path, capsys: pytest.CaptureFixture) -> None:
    assert summarise([(0, 0, 0.1), (0, 1, 0.3), (1, 0, 0.6), (1, 1, 0.8)]).mean == pytest.approx(0.45)
    crossed = summarise([(0, 0, 0.1), (0, 1, 0.3), (1, 0, 0.6), (1, 1, 0.8)])
    # Orders .2 and .7: s = .3536, t(.975, 1) = 12.706.
    assert (crossed.n, crossed.over) == (2, "orders")
    assert crossed.half_width == pytest.approx(12.7062 * 0.25, rel=1e-4)
    uneven = summarise([(0, 0, 0.0), (0, 1, 0.0), (0, 2, 0.0), (1, 0, 0.6)])
    assert uneven.mean == pytest.approx(0.3)  # not .15: an order with more seeds weighs no more
    assert summarise([(0, 0, 0.1), (0, 1, 0.3)]).over == "seeds"
    assert math.isnan(summarise([(0, 0, 0.5), (1, 1, math.nan)]).mean)
    write(out, [record("cram", seed, order_seed=order) for seed in (0, 1) for order in (0, 1, 2)])
    text = run(tables, capsys, out)
    assert "n=3 class orders (seeds averaged within an order)" in text


def test_formats_agree_and_latex_is_balanced(out: Path, capsys: pytest.CaptureFixture) -> None:
    write(out, replicates("no_refresh", [0.8, 0.7]) + replicates("joint", [0.9, 0.9], bound=True))
    rows = cells_of(run(tables, capsys, out, "format=csv"))
    mean = float(rows["", "no_refresh", "final accuracy"]["mean"])
    parsed = json.loads(run(tables, capsys, out, "format=json"))
    assert next(c for c in parsed["cells"] if c["method"] == "no_refresh")["mean"] == mean
    markdown = run(tables, capsys, out, "format=markdown").splitlines()
    table = [line for line in markdown if line.startswith("|")]
    assert len({line.replace("\\|", "").count("|") for line in table}) == 1
    latex = run(tables, capsys, out, "format=latex")
    assert latex.count("{") == latex.count("}")
    assert r"no\_refresh & 2 & " in latex
    body = latex[latex.index(r"\toprule") : latex.index(r"\bottomrule")]
    lines = [line for line in body.splitlines() if line.endswith(r"\\")]
    columns = latex[latex.index("{tabular}{") + 10 :].split("}")[0]
    assert {line.count(" & ") + 1 for line in lines} == {len(columns)}
    assert latex.count(r"\midrule") == 2


def test_explain_lists_the_runs_and_values_behind_a_cell(out: Path, capsys: pytest.CaptureFixture) -> None:
    ids = write(out, replicates("cram", [0.8, 0.7])) + write(out, replicates("er", [0.5]))
    text = run(tables, capsys, out, "explain=cram,forgetting")
    for name, value in zip(ids[:2], ("15.00", "25.00"), strict=True):
        line = next(line for line in text.splitlines() if line.strip().startswith(name))
        assert line.split()[-1] == value
    assert ids[2] not in text
    assert " ".join(next(line for line in text.splitlines() if "pooled" in line).split()).endswith("20.00 ± 63.53")
    assert "forgetting" in text
    assert "%" in text
    assert "Memory budget" not in text  # of the table's caption, which is not repeated
    cells = cells_of(run(tables, capsys, out, "explain=cram,forgetting", "format=csv"))
    assert float(cells["cram", ids[0], "forgetting %"]["mean"]) == pytest.approx(0.15)
    several = run(tables, capsys, out, "explain=er,forgetting,final_accuracy,bytes_carried")
    assert next(line for line in several.splitlines() if ids[2] in line).split()[-3:] == ["45.00", "59.00", "650,000"]
    whole = run(tables, capsys, out, "explain=er")  # the accuracies where no column is named
    assert len(next(line for line in whole.splitlines() if ids[2] in line).split()) == 7
    code, _, error = attempt(tables, capsys, out, "explain=crem")
    assert code == 2
    assert "did you mean 'cram'?" in error


def test_columns_from_predictions(out: Path, capsys: pytest.CaptureFixture) -> None:
    made = record(final=0.5)
    write(out, [made])
    arrays = predictions(made)
    wrong_task = arrays["prediction"][-1] // 2 != arrays["task"]
    text = run(tables, capsys, out, "columns=task_identification,within_task_accuracy", "format=csv")
    cells = cells_of(text)
    expected = np.mean([1 - wrong_task[arrays["task"] == t].mean() for t in range(5)])
    assert float(cells["", "cram", "task identified"]["mean"]) == pytest.approx(expected)
    assert float(cells["", "cram", "within-task accuracy"]["mean"]) == 1.0
    (out / made["run_id"] / "predictions.npz").write_bytes(b"not a zip")
    cells = cells_of(run(tables, capsys, out, "columns=task_identification", "format=csv"))
    assert cells["", "cram", "task identified"]["text"] == "missing"


def test_bad_input_is_one_line_and_exit_code_2(out: Path, capsys: pytest.CaptureFixture) -> None:
    for words, expected in (
        ([out], "no runs in"),
        ([], "no out folder given"),
        ([f"{out}x"], f"is not a folder; did you mean '{out.name}'?"),
        ([out, "format=latx"], "did you mean 'latex'?"),
        ([out, "columns=forgeting"], "did you mean 'forgetting'?"),
        ([out, "mixed=yes"], "true, false"),
        ([out, "layot=grid"], "did you mean 'layout'?"),
    ):
        code, _, error = attempt(tables, capsys, *words)
        assert code == 2
        assert expected in error
        assert error.count("\n") == 1


def test_the_command_needs_no_torch(out: Path) -> None:
    write(out, replicates("cram", [0.8, 0.8]))
    code = (
        "import sys, runpy; sys.argv = ['tables', sys.argv[1]]\n"
        "try: runpy.run_module('results.tables', run_name='__main__')\n"
        "except SystemExit as stop: assert stop.code == 0\n"
        "import results.compare, results.load\n"
        "assert not {'torch', 'methods', 'benchmarks'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code, str(out)], capture_output=True, text=True, cwd=Path.cwd())
    assert done.returncode == 0, done.stderr
    assert "cram" in done.stdout


# ---------------------------------------------------------------- published numbers


def test_published_numbers_stand_only_beside_runs_on_the_same_stream(out: Path, capsys: pytest.CaptureFixture) -> None:
    write(out, replicates("cram", [0.8, 0.8]))
    text = run(tables, capsys, out, "reference=true")
    assert "No published number known here was measured on the stream of moving-digits-5/v1" in text
    assert "iCaRL" not in text
    protocol = {"id": "vclimb-ucf101-10/v1", "hash": "0123456789ab", "primary": "final_accuracy"}
    write(out, replicates("er", [0.8, 0.8], protocol=protocol, config={"protocol": protocol["id"]}))
    text = run(tables, capsys, out, "reference=true")
    assert "same stream, different model: vclimb-ucf101-10/v1" in text
    line = " ".join(next(line for line in text.splitlines() if "iCaRL (vCLIMB" in line).split())
    assert "81.0 18.1 369,000 frames not known TSN ResNet-34, 8 segments ImageNet https://" in line
    ours = " ".join(next(line for line in text.splitlines() if "ours: er" in line).split())
    assert "83.0 ± 0.0" in ours
    assert "1,900 clips 650 kB profile small scratch" in ours
    assert "ours: cram" not in text


def test_every_published_number_has_a_protocol_that_can_run() -> None:
    rows = published()
    assert len(rows) > 200
    assert {row["protocol"] for row in rows} <= set(PROTOCOLS)
    for row in rows:
        rule = PROTOCOLS.get(row["protocol"])
        assert int(row["tasks"]) == rule.tasks, row
        assert row["dataset"].partition("-")[0] in (rule.benchmark, rule.options.get("dataset")), row


def test_a_changed_file_of_a_method_is_a_row_of_its_own(out: Path, capsys: pytest.CaptureFixture) -> None:
    older, newer = ({"plugins": [{"path": "mine.py", "sha256": digest * 64}]} for digest in "ab")
    made = [
        *replicates("er", [0.5]), *replicates("mine", [0.6], config=older), *replicates("mine", [0.7], config=newer)
    ]  # fmt: skip
    sweep(out, write(out, made), ["er", "mine"])
    text = run(tables, capsys, out)
    assert re.findall(r"^ (er|mine plugin=\w+) +1 ", text, flags=re.MULTILINE) == ["er", "mine plugin=aaaaaa",
                                                                                 "mine plugin=bbbbbb"]  # fmt: skip
    assert "not run here" not in text


# ---------------------------------------------------------------- settings that a method does not use


def test_a_setting_that_a_method_does_not_use_parts_nothing(out: Path, capsys: pytest.CaptureFixture) -> None:
    long = {"compressor": {"steps": 150}}
    er = {"used_groups": ["classifier", "replay"], "config": {}}
    crams = {"used_groups": ["compressor", "classifier", "replay"]}
    write(out, replicates("er", [0.5, 0.6], **er) + replicates("cram", [0.8, 0.7], config=long, **crams))
    cells = cells_of(run(tables, capsys, out, "columns=final_accuracy", "format=csv"))
    assert {key[:2] for key in cells} == {("", "cram"), ("", "er")}  # one block, and nothing to tell in the names
    write(out, replicates("cram", [0.9, 0.9], **crams))
    cells = cells_of(run(tables, capsys, out, "columns=final_accuracy", "layout=grid", "format=csv"))
    conditions = ("compressor.steps=100", "compressor.steps=150")
    assert [cells[c, "er", "final accuracy"]["n"] for c in conditions] == ["2", "2"]
    # Asked for at both values it is the same run twice, and counts once a seed; a run without a record goes along.
    write(out, replicates("er", [0.5, 0.6], **(er | {"config": long})))
    write(out, replicates("er", [0.5], first=102, **(er | {"config": long})), "failed", "no memory")
    cells = cells_of(run(tables, capsys, out, "columns=final_accuracy", "layout=grid", "format=csv"))
    assert {cells[c, "er", "final accuracy"]["n"] for c in conditions} == {"2"}
    assert {cells[c, "er", "final accuracy"]["runs"] for c in conditions} == {"2/3"}


def test_clips_that_were_skipped_are_counted_in_the_caption(out: Path, capsys: pytest.CaptureFixture) -> None:
    write(out, replicates("cram", [0.8]) + replicates("er", [0.5], bad_files=["a.mp4"]))
    write(out, replicates("frozen", [0.5], skipped_clips=3))
    assert "Without clips that cannot be read: up to 3 in 2 of the runs." in run(tables, capsys, out)


# ---------------------------------------------------------------- plug-ins

PLUGIN = """
from matplotlib.figure import Figure

from results import COLUMNS, METRICS, PLOTS


@METRICS.register("worst_task", heading="worst task", definition="min_j R[T-1, j]: the worst task", names_matrix=True)
def worst_task(record):
    return min(value for value in record.accuracy[-1] if value is not None)


@COLUMNS.register("double", heading="twice the seed", definition="twice the seed", kind="count")
def double(run):
    return 2 * run.seed


@PLOTS.register("seeds", "the seeds of the runs")
def seeds(runs, pooled):
    figure = Figure()
    data = __import__("pandas").DataFrame({"method": ["a"], "condition": [""], "seed": [1]})
    figure.subplots().plot(data["seed"])
    return figure, data
"""


def test_a_plugin_brings_metrics_columns_and_plots(out: Path, tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    file = tmp_path / "mine.py"
    file.write_text(PLUGIN)
    write(out, replicates("cram", [0.8, 0.7]))
    word = f"plugins=[{file}]"
    text = run(tables, capsys, out, word, "columns=worst_task,double", "explain=worst_task")
    assert "min_j R[T-1, j]: the worst task" in text
    assert "R[i, j]: accuracy on task j" in text
    cells = cells_of(run(tables, capsys, out, word, "columns=worst_task,double", "format=csv"))
    assert float(cells["", "cram", "worst task"]["mean"]) == pytest.approx(0.75)
    assert cells["", "cram", "twice the seed"]["text"] == "201"
    run(plots, capsys, out, word, "plots=seeds")
    assert (out / "plots" / "seeds.svg").exists()
    assert load(out).plot("seeds").axes
    file.write_text(PLUGIN.replace("worst_task", "forgetting"))
    code, _, error = attempt(tables, capsys, out, word)
    assert code == 2
    assert "forgetting" in error
