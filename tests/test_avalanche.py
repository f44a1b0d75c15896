"""Avalanche both ways: our streams as its benchmarks, and its strategies run by name on our streams."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks.avalanche import to_avalanche
from harness import check
from harness.config.compose import request
from harness.launching.signals import Interrupted, Stop
from harness.run import main
from harness.training.execute import run
from harness.training.own_loop import OpaqueRun
from methods import find
from methods.shared import avalanche_strategies
from tests import tiny

STRATEGIES = ("ER_ACE", "EWC")  # two in this process; python -m tests.stress runs all of them


class CountingReader:
    def __init__(self, reader):
        self.reader, self.rows = reader, []

    def read(self, rows):
        self.rows += list(rows)
        return self.reader.read(rows)


def opaque(strategy: str, *words: str) -> OpaqueRun:
    return OpaqueRun(tiny.config(f"avalanche:{strategy}", *words), tiny.new_folder())


def own_evaluation(walk: OpaqueRun, benchmark, after: int) -> list[float]:
    """Accuracy of each experience so far by Avalanche's evaluation."""
    said = walk.method.strategy.eval(benchmark.test_stream[: after + 1])
    return [said[f"Top1_Acc_Exp/eval_phase/test_stream/Task000/Exp{j:03d}"] for j in range(after + 1)]


# ---- our streams in Avalanche


def test_a_stream_is_a_benchmark_of_avalanche_that_decodes_nothing_until_asked():
    walk = tiny.begun("er")
    reader, stream = CountingReader(walk.context.reader), walk.stream
    benchmark = to_avalanche(stream, reader)
    assert len(benchmark.train_stream) == len(benchmark.test_stream) == stream.n_experiences
    for ours, theirs in zip(stream.train_stream, benchmark.train_stream, strict=True):
        assert list(theirs.dataset.targets) == ours.targets.tolist()
        assert theirs.current_experience == ours.current_experience
        assert set(theirs.classes_in_this_experience) == set(ours.classes_in_this_experience)
        assert set(theirs.classes_seen_so_far) == set(ours.classes_seen_so_far)
    assert reader.rows == []
    clip, target, task = benchmark.test_stream[1].dataset[3]
    row = stream.test_stream[1].indices[3]
    assert reader.rows == [row]
    assert torch.equal(clip, torch.from_numpy(walk.context.reader.read(np.array([row]))[0]))
    assert (int(target), int(task)) == (stream.test_stream[1].targets[3], 0)


def test_a_stream_can_be_given_a_transform():
    walk = tiny.begun("er")
    benchmark = to_avalanche(walk.stream, walk.context.reader, lambda clip: clip.permute(3, 0, 1, 2).float() / 255)
    clip = benchmark.valid_stream[0].dataset[0][0]
    assert clip.shape == (3, 8, 32, 32)
    assert 0 <= clip.min() <= clip.max() <= 1


# ---- its strategies on our streams


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_record_says_what_avalanche_evaluates(strategy):
    walk = opaque(strategy, "classifier.steps=12", "memory.enforce=false")
    benchmark = to_avalanche(walk.stream, walk.context.reader)
    for after in range(walk.stream.n_experiences):
        walk.next_experience()
        recorded = walk.evaluation.fields()["accuracy"][after][: after + 1]
        assert recorded == pytest.approx(own_evaluation(walk, benchmark, after), abs=1e-12)
    assert any(value > 0 for value in recorded)
    record = walk.finish()
    assert record["opaque"]
    assert record["accuracy"][-1] == recorded


def test_half_precision_learns_as_well():
    learnt = {}
    for precision in ("float32", "bfloat16"):
        walk = opaque("EWC", "memory.enforce=false", "classifier.steps=30", f"precision={precision}")
        walk.next_experience()
        learnt[precision] = walk.evaluation.fields()["accuracy"][0][0]
    assert learnt["float32"] > 0.4  # chance is a twelfth
    assert learnt["bfloat16"] > learnt["float32"] - 0.2


def test_steps_and_clips_a_step_are_those_of_our_own_methods():
    ours, theirs = tiny.done("er")[0]["work"], tiny.done("avalanche:ER_ACE")[0]["work"]
    assert theirs == {kind: {"classifier": ours[kind]["classifier"]} for kind in ours}


def test_the_budget_sizes_the_buffer_and_all_that_is_carried_is_counted():
    memory = tiny.done("avalanche:ER_ACE")[0]["memory"]
    clip = 8 * 32 * 32 * 3 + 8  # with label and id
    assert memory["budget"] // clip == 16
    assert memory["carried"]["buffer"] == 16 * clip
    assert memory["clips_stored"] == memory["capacity"] == 16
    with pytest.raises(ValueError, match=r"avalanche:EWC is over its budget: .* holders: EWCPlugin"):
        tiny.done("avalanche:EWC")
    record = tiny.done("avalanche:EWC", "memory.enforce=false")[0]
    penalty = record["memory"]
    # Its importances are gradients too: every clip once more, and the harness has counted them.
    assert record["counted"]["samples"]["classifier"] == record["work"]["samples"]["classifier"] + 2 * 50
    assert penalty["clips_stored"] is penalty["capacity"] is None
    assert penalty["carried"] == {"EWCPlugin": 2 * 2 * penalty["live"]}  # weights and importances of two experiences


def test_a_clip_that_the_buffer_does_not_hold_is_gone_with_its_experience():
    walk = opaque("ER_ACE")
    walk.next_experience()
    held = walk.method.clips
    assert len(held.stored) == 16
    assert held.clip(next(iter(held.stored))).shape == (8, 32, 32, 3)
    gone = set(walk.stream.train_stream[0].indices.tolist()) - set(held.stored)
    with pytest.raises(RuntimeError, match=r"avalanche:ER_ACE asks for clip \d+ of an earlier experience"):
        held.clip(gone.pop())


def test_a_run_that_was_cut_off_starts_again_and_strict_state_does_not_apply():
    reference, _ = tiny.done("avalanche:ER_ACE")
    config, folder = tiny.config("avalanche:ER_ACE"), tiny.new_folder()
    stop = Stop()

    def tell(position):
        stop.asked = (position["experience"], position["step"]) == (1, 2)

    with pytest.raises(Interrupted):
        run(config, folder, tell, stop)
    assert not (folder / "checkpoint").exists()
    strict = replace(config, execution=replace(config.execution, strict_state=True))
    tiny.same(run(strict, folder), reference)


def test_settings_of_one_strategy_reach_it():
    walk = opaque("EWC", "memory.enforce=false", "avalanche.EWC.ewc_lambda=7", "avalanche.EWC.mode=online")
    assert walk.config.method.settings["ewc_lambda"] == 7
    walk.next_experience()
    plugin = next(p for p in walk.method.strategy.plugins if type(p).__name__ == "EWCPlugin")
    assert (plugin.ewc_lambda, plugin.mode) == (7, "online")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["methods=[avalanche:ER_ACD]"], r"unknown strategy 'avalanche:ER_ACD'; did you mean 'avalanche:ER_ACE'\?"),
        (["methods=[avalanche:BiC]"], r"avalanche:BiC does not run here: it calls MultiStepLR"),
        (["methods=[avalanche:EWC]", "avalanche.EWC.ewc_lamda=1"], r"did you mean 'EWC.ewc_lambda'\?"),
        (["methods=[er]", "avalanche.EWC.ewc_lambda=1"], r"method.avalanche.EWC.\* is set, but 'avalanche:EWC' is not"),
        (["methods=[avalanche:EWC]", "avalanche.EWC.mode=both"], r"mode=both is not allowed.*separate, online"),
    ],
)
def test_wrong_names_are_told_in_a_line(words, said):
    with pytest.raises(ValueError, match=said) as error:
        request(["preset=smoke", *words])
    assert "\n" not in str(error.value)


def test_the_plan_and_the_check_know_them(capsys):
    assert main(["preset=smoke", "methods=[avalanche:ER_ACE,avalanche:EWC]", "plan=true"]) == 0
    plan = capsys.readouterr().out
    assert re.search(r"avalanche:ER_ACE.*classifier 8 .*24,576 \(1x\) .* 16 ", plan), plan
    assert check.main(["method=avalanche:EWC"]) == 2
    assert "has a loop of its own" in capsys.readouterr().err


def test_pre_training_is_refused_and_all_means_our_own_methods():
    with pytest.raises(ValueError, match=r"method avalanche:EWC runs with setting=scratch alone"):
        opaque("EWC", "setting=pretrained")
    assert not any(config.method.name.startswith("avalanche:") for config in request(["preset=smoke"]).runs.values())


def test_every_strategy_of_avalanche_is_known_or_refused_with_a_reason():
    import avalanche.training.supervised as supervised
    from avalanche.training.templates import SupervisedTemplate

    there = {
        name for name, cls in vars(supervised).items()
        if isinstance(cls, type) and issubclass(cls, SupervisedTemplate) and not re.match(r"Online|Supervised", name)
    }  # fmt: skip
    assert set(avalanche_strategies.STRATEGIES) <= there
    assert there <= {*avalanche_strategies.STRATEGIES, *avalanche_strategies.REFUSED}
    assert len(avalanche_strategies.STRATEGIES) >= 10
    assert all(find(f"avalanche:{name}").opaque for name in avalanche_strategies.STRATEGIES)
