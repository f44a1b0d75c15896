"""What keeps codes up, and rules that grow or distil: settings of the compressor, aqm, prd, memo, grcl, view_batch."""

from dataclasses import replace

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


def test_a_smaller_snapshot_leaves_room_for_clips_and_continues_from_a_checkpoint():
    record, _ = tiny.done("cram", "compressor.snapshot_precision=int8")
    strict = tiny.config("cram", "compressor.snapshot_precision=int8")
    tiny.same(record, run(replace(strict, execution=replace(strict.execution, strict_state=True)), tiny.new_folder()))
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
