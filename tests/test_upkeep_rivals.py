"""What keeps codes up, and rules that grow or distil: settings of the compressor, aqm, prd, memo, grcl, view_batch."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from harness.training.execute import run
from methods.shared.augmented import changed
from methods.shared.compressor import Compressor
from methods.shared.settings import CompressorSettings
from tests import tiny

CLIP = (8, 32, 32, 3)


# ---- settings of the compressor


def test_a_snapshot_in_fewer_bits_is_smaller_and_nearly_as_good():
    size, error, clips = {}, {}, torch.rand(4, *CLIP)
    whole = None
    for precision in ("float32", "float16", "int8"):
        torch.manual_seed(0)
        compressor = Compressor(CLIP, CompressorSettings(snapshot_precision=precision))
        compressor.loss(clips, torch.Generator().manual_seed(0), True)
        snapshot = compressor.snapshot()
        decoded = snapshot.decode(compressor.encode(clips))
        whole = decoded if whole is None else whole
        size[precision] = sum(t.nbytes for t in snapshot.state_dict().values())
        error[precision] = float((decoded - whole).abs().max())
    assert size["float16"] * 2 == size["float32"]
    assert size["int8"] < 0.3 * size["float32"]
    assert 0 == error["float32"] < error["float16"] < 2e-3
    assert error["float16"] < error["int8"] < 5e-2


def test_a_smaller_snapshot_leaves_room_for_clips():
    record, _ = tiny.done("cram", "compressor.snapshot_precision=int8")
    whole, _ = tiny.done("cram")
    assert record["memory"]["capacity"] > whole["memory"]["capacity"]


def test_first_steps_of_the_same_total():
    record, _ = tiny.done("cram", "compressor.first_steps=6", "compressor.same_total=true")
    assert record["work"]["steps"]["compressor"] == 6 + 2


def test_augmented_clips_are_a_share():
    clips, generator = torch.rand(400, 2, 4, 4, 3), torch.Generator().manual_seed(0)
    other = (changed(clips, 0.5, generator) != clips).flatten(1).any(1)
    assert 150 < int(other.sum()) < 250
    assert torch.equal(changed(clips, 0.0, generator), clips)
    plain, _ = tiny.done("frozen")
    assert tiny.done("frozen", "compressor.augment=0.5")[0]["config"] != plain["config"]


# ---- aqm


def errors_of_the_first_task(*words: str) -> tuple[float, float, object]:
    """Mean squared error of clips of the first experience, after it and after the second; and the run."""
    run = tiny.begun("aqm", "compressor.steps=60", "compressor.batch=12", "aqm.bound=1", *words)
    run.next_experience()
    first = [error_of(run)]
    run.next_experience()
    return first[0], error_of(run), run


def error_of(run) -> float:
    buffer, first = run.method.buffer, run.experiences[0]
    old = np.flatnonzero(np.isin(buffer.sample_id, list(first.own_ids)))
    clips = run.context.reader.read(np.array(buffer.sample_id)[old].astype(np.int64))
    return float(((buffer.take(old).clips.numpy() / 255.0 - clips / 255.0) ** 2).mean())


def test_aqm_freezes_and_old_clips_keep_their_meaning():
    before, after, run = errors_of_the_first_task("aqm.depth=1")
    assert run.method.frozen == [1]
    assert {payload[0] for payload in run.method.buffer.payloads} == {0}
    loose_before, loose_after, _ = errors_of_the_first_task("aqm.depth=1", "aqm.freeze=false")
    assert loose_after - loose_before > after - before


def test_aqm_holds_more_clips_after_the_freeze():
    words = ("aqm.bound=0.05", "aqm.enough=0.5", "compressor.steps=30")
    record, _ = tiny.done("aqm", *words)
    held, never = record["reported"], tiny.done("aqm", "aqm.bound=0.0001")[0]["reported"]
    assert held["frozen_modules"][-1] >= 1
    assert held["stored_clips"][-1] > 2 * never["stored_clips"][-1]
    assert never["stored_raw"] == never["stored_clips"]
    assert record["memory"]["carried_max"] <= record["memory"]["budget"]


# ---- rules that grow or distil

SMALL = ("classifier.width=32", "memory.budget=300kB")
RULED = [("er", "rule=memo"), ("er", "rule=memo", "form=codes", "upkeep=frozen"), ("naive", "rule=prd"),
         ("naive", "rule=grcl")]  # fmt: skip


@pytest.mark.parametrize("words", RULED)
def test_a_rule_stays_within_its_budget_and_goes_on_where_it_was_stopped(words):
    whole, _ = tiny.done(*words, *SMALL)
    assert whole["memory"]["carried_max"] <= 300_000
    begun = tiny.begun(*words, *SMALL)
    begun.next_experience()
    tiny.same(whole, tiny.Run(begun.config, begun.folder).to_the_end())


def test_blocks_of_memo_are_paid_for():
    rows = tiny.done("er", "rule=memo", *SMALL)[0]["memory"]["per_experience"]
    block = 4 * (32 * 32 * 9 + 3 * 32)  # a convolution of 3x3 with its bias, and a norm
    assert rows[-1]["holders"]["growth of the live model"] == block
    plain = tiny.begun("er", *SMALL).method.buffer.capacity
    assert tiny.begun("er", "rule=memo", *SMALL).method.buffer.capacity < plain


def test_gates_of_grcl_are_bits():
    holders = tiny.done("naive", "rule=grcl", *SMALL)[0]["memory"]["per_experience"][-1]["holders"]
    live = tiny.begun("naive", *SMALL).method
    n = sum(p.numel() for p in live.classifier.parameters())
    assert 4 * n + n // 8 <= holders["rule"] <= 4 * n + n // 8 + 64


# ---- all of them, in a new process for each experience


@pytest.mark.slow
@pytest.mark.parametrize("words", [("cram", "compressor.snapshot_precision=int8"), ("cram", "compressor.augment=0.5"),
                                   ("aqm", "aqm.bound=0.05", "aqm.enough=0.5", "compressor.steps=30")])  # fmt: skip
def test_a_new_process_for_each_experience_gives_the_same_record(words):
    config = tiny.config(*words)
    strict = replace(config, execution=replace(config.execution, strict_state=True))
    tiny.same(tiny.done(*words)[0], run(strict, tiny.new_folder()))
