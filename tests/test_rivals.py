"""Rivals: each rule does what its paper says, and what it keeps beside the clips is counted."""

import numpy as np
import pytest
import torch

from tests import tiny

BUDGET = "memory.budget=300kB"
RIVALS = (("er_ace",), ("derpp",), ("gdumb",), ("naive", "rule=lwf"))
SHORT = ("classifier.width=32", BUDGET)


@pytest.mark.parametrize("words", RIVALS)
def test_a_rival_stays_within_its_budget_and_goes_on_where_it_was_stopped(words):
    whole, _ = tiny.done(*words, *SHORT)
    assert whole["memory"]["carried_max"] <= 300_000
    run = tiny.begun(*words, *SHORT)
    run.next_experience()
    other = tiny.Run(run.config, run.folder)
    tiny.same(whole, other.to_the_end())


def test_logits_of_derpp_are_stored_beside_each_clip_and_counted():
    run = tiny.begun("derpp", *SHORT)
    run.next_experience()
    method = run.method
    taken = method.buffer.take(np.arange(3))
    assert taken.extra["logits"].shape == (3, method.spec.n_classes)
    assert torch.allclose(taken.extra["logits"], method.rule.extra_of(taken)["logits"], atol=1e-4)
    beside = [tiny.begun(name, *SHORT, "form=jpeg").method.buffer.beside for name in ("derpp", "er_ace")]
    assert beside[0] - beside[1] == 4 * method.spec.n_classes


def test_gdumb_learns_from_the_buffer_alone():
    run = tiny.begun("gdumb", *SHORT)
    names = [[phase.name for phase in run.method.phases(experience)] for experience in run.experiences]
    assert all(each.index("store") < each.index("classifier") for each in names)


def test_a_teacher_is_counted_from_the_second_experience_on():
    rows = tiny.done("naive", "rule=lwf", *SHORT)[0]["memory"]["per_experience"]
    teachers = {row["experience"]: row["holders"].get("rule", 0) for row in rows if row["at"] == "end"}
    assert teachers == {0: 0, 1: rows[0]["live"]}
