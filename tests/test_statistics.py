"""Paired tests: against brute force and by hand, and what `results.compare` says of them."""

import json
import math
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from results import compare, statistics
from tests.synthetic import attempt, record, replicates, run, write


def test_sign_flip_test_is_exact() -> None:
    rng = np.random.default_rng(0)
    for n in (1, 2, 5, 8):
        values = rng.normal(0.3, 1, n)
        sums = [abs(np.dot(signs, values)) for signs in product((1, -1), repeat=n)]
        brute = np.mean([total >= abs(values.sum()) - 1e-12 for total in sums])
        assert statistics.sign_flip_p(values) == pytest.approx(brute)
    assert statistics.sign_flip_p([0.1] * 5) == pytest.approx(2 / 32)
    assert statistics.sign_flip_p([0.0, 0.0]) == 1.0
    assert statistics.sign_flip_p([0.2] * 20) == pytest.approx(2 / 2**20)
    assert math.isnan(statistics.sign_flip_p([]))


def test_holm_by_hand() -> None:
    assert statistics.holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert statistics.holm([0.5, 0.9]) == pytest.approx([1.0, 1.0])
    assert [statistics.replicates_needed(k) for k in (1, 2, 6)] == [6, 7, 8]


def compared(out: Path, capsys: pytest.CaptureFixture, *words: str) -> dict[str, dict]:
    return {row["method"]: row for row in json.loads(run(compare, capsys, out, "format=json", *words))}


def test_compare_pairs_by_replicate_and_marks_only_what_n_can_show(out: Path, capsys: pytest.CaptureFixture) -> None:
    rng = np.random.default_rng(1)
    base = 0.8 + rng.normal(0, 0.03, 9)
    write(out, replicates("cram", list(base)) + replicates("worse", list(base - 0.1 - rng.random(9) / 100)))
    write(out, replicates("alike", list(base + rng.normal(0, 0.01, 9))) + replicates("joint", [0.95] * 9, bound=True))
    rows = compared(out, capsys)
    assert set(rows) == {"worse", "alike"}  # bounds only where named
    assert (rows["worse"]["n"], rows["worse"]["k"]) == (9, 2)
    assert rows["worse"]["p"] == pytest.approx(2 / 2**9)
    assert rows["worse"]["p_holm"] == pytest.approx(4 / 2**9)
    assert rows["worse"]["marked"]
    assert rows["worse"]["mean"] == pytest.approx(np.mean(rows["worse"]["differences"]))
    assert -0.09 < rows["worse"]["mean"] + rows["worse"]["half_width"] < -0.07
    assert not rows["alike"]["marked"]
    assert "does not show that there is none" in rows["alike"]["words"]
    assert set(compared(out, capsys, "methods=joint")) == {"joint"}
    text = run(compare, capsys, out)
    assert "not significant" not in text
    assert text.count("*") >= 2


def test_compare_says_what_too_few_replicates_cannot_show(out: Path, capsys: pytest.CaptureFixture) -> None:
    base = [0.8, 0.82, 0.79, 0.81, 0.8]
    write(out, replicates("cram", base) + replicates("er", [v - 0.3 - i / 100 for i, v in enumerate(base)]))
    write(out, replicates("late", [0.5, 0.5], first=104) + replicates("elsewhere", [0.5], first=7))
    rows = compared(out, capsys)
    assert rows["er"]["p"] == pytest.approx(rows["er"]["smallest_p"])
    assert not rows["er"]["marked"]  # 3 comparisons * 2 / 2^5 is .19
    assert "at least 7 replicates would be needed" in rows["er"]["words"]
    assert (rows["late"]["n"], rows["late"]["unpaired"]) == (1, 5)
    assert "in one replicate" in rows["late"]["words"]
    assert rows["elsewhere"]["n"] == 0
    assert "no pair of runs" in rows["elsewhere"]["words"]
    assert rows["elsewhere"]["mean"] is None
    write(out, replicates("low", [v - 0.1 for v in base]))
    text = run(compare, capsys, out, "methods=er,low,elsewhere")  # what holds for several is said once
    assert text.count("nothing can be concluded") == 1
    assert "er, low: nothing can be concluded about final accuracy against cram. With 5 pairs and 3 comparisons" in text
    assert "the smallest is 0.19); at least 7 replicates would be needed, or 6 for a single comparison" in text
    assert "elsewhere: no pair of runs with cram" in text


def test_compare_leaves_out_what_was_not_run_and_says_equal(out: Path, capsys: pytest.CaptureFixture) -> None:
    stress = {"compressor": {"reinit": "each_task"}}
    write(out, replicates("cram", [0.8, 0.7]) + replicates("twin", [0.8, 0.7]))
    write(out, replicates("cram", [0.8, 0.7], config=stress) + replicates("er", [0.5, 0.5], config=stress))
    for codec in ("raw", "jpeg"):
        write(out, replicates("er", [0.5, 0.5], settings={"codec": codec}, config={"setting": "pretrained"}))
    rows = json.loads(run(compare, capsys, out, "format=json"))
    assert sorted((row["method"], row["k"]) for row in rows) == [("er", 1), ("twin", 1)]
    text = run(compare, capsys, out)
    assert "twin: final accuracy equal to that of cram (to 0.1 points) on average over 2 pairs" in text
    assert "points less" in text
    assert "setting=pretrained, compressor.reinit=unset] cram was not run here, so nothing is compared" in text
    assert " 0.0 points" not in text


def test_compare_refuses_unknown_rows_and_other_class_orders(out: Path, capsys: pytest.CaptureFixture) -> None:
    write(out, replicates("cram", [0.8]) + replicates("er", [0.5]))
    code, _, error = attempt(compare, capsys, out, "reference=crem")
    assert code == 2
    assert "did you mean 'cram'?" in error
    other = record("no_refresh", 100)
    other["class_order"] = other["class_order"][::-1]
    write(out, [other])
    code, _, error = attempt(compare, capsys, out)
    assert code == 2
    assert "share order seed 100, but not the class order" in error
