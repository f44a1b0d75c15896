"""The methods do what they say: mechanisms are proved by breaking them, variants by what differs from cram."""

import copy

import numpy as np
import pytest
import torch

from harness.training.drift import probe
from methods.shared.compressor import Compressor
from methods.shared.quantizer import ProductQuantizer
from methods.shared.replay import replayed_part
from methods.shared.settings import ReplaySettings
from tests import tiny

CLIP = (8, 32, 32, 3)
LEARNT = ("compressor.steps=40", "compressor.batch=12")  # enough for codes that mean something


def walked(method: str, *words: str, phases: int):
    """A run in its second experience with `phases` of its table done, and the rest of the table."""
    run = tiny.begun(method, *words)
    run.next_experience()
    experience = run.experiences[1]
    table = run.method.phases(experience)
    for phase in table[:phases]:
        run.one_phase(experience, phase)
        run.position["step"] = 0
    return run, table[phases:]


def weights(module) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def equal(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


# ---- the refresh, broken


@pytest.fixture(scope="module")
def before_refresh():
    """cram in its second experience: compressor trained, codes not refreshed."""
    run, table = walked("cram", *LEARNT, phases=1)
    assert [phase.name for phase in table] == ["refresh", "encode", "classifier", "store"]
    return run


def shift(run, refresh) -> float:
    """Latent shift of all stored codes after a refresh by the given function, on a copy."""
    method = copy.deepcopy(run.method)
    refresh(method)
    return probe(method, np.arange(len(method.buffer)), run.context.reader, "cpu")["latent_shift"]


def refreshed(method) -> None:
    for start in range(0, len(method.buffer), 16):
        method.refresh(method.buffer.take(np.arange(start, min(start + 16, len(method.buffer)))))


def skipped(method) -> None: ...


def current_decoder_and_codebook(method) -> None:
    method.snapshot = method.compressor.snapshot()
    refreshed(method)


def wrong_codebook(method) -> None:
    method.snapshot.codebook = method.snapshot.codebook.roll(1, dims=1)
    refreshed(method)


def wrong_decoder(method) -> None:
    spec = method.spec
    method.snapshot.decoder = Compressor(spec.clip_shape, spec.compressor).decoder
    refreshed(method)


@pytest.mark.parametrize("broken", [skipped, wrong_decoder, wrong_codebook, current_decoder_and_codebook])
def test_each_way_to_break_the_refresh_raises_the_latent_shift(before_refresh, broken):
    assert shift(before_refresh, broken) > 1.1 * shift(before_refresh, refreshed)


def test_the_phase_refreshes_with_the_decoder_and_codebook_of_before(before_refresh):
    method = before_refresh.method
    assert not torch.equal(method.snapshot.codebook, method.compressor.quantizer.codebook)
    assert not equal(weights(method.snapshot.decoder), weights(method.compressor.decoder))
    batch = method.buffer.take(np.arange(len(method.buffer)))
    with torch.no_grad():
        vectors = method.snapshot.codebook[0][batch.codes[..., 0]]
        expected = method.compressor.encode(method.snapshot.decoder(vectors).clamp(0, 1))
    again = copy.deepcopy(method)
    again.refresh(batch)
    stored = again.buffer.take(np.arange(len(method.buffer)))
    assert torch.equal(stored.codes, expected)
    assert torch.equal(stored.target, batch.target)
    assert (stored.codes != batch.codes).any()


def test_snapshot_is_what_the_experience_before_ended_with():
    run = tiny.begun("cram")
    run.next_experience()
    codebook, decoder = run.method.compressor.quantizer.codebook.clone(), weights(run.method.compressor.decoder)
    experience = run.experiences[1]
    run.one_phase(experience, run.method.phases(experience)[0])
    assert torch.equal(run.method.snapshot.codebook, codebook)
    assert equal(weights(run.method.snapshot.decoder), decoder)
    assert not torch.equal(run.method.compressor.quantizer.codebook, codebook)


def test_the_record_tells_of_the_drift_and_of_the_refresh():
    record, _ = tiny.done("cram", *LEARNT)
    drift = record["drift"]
    assert drift["latent_shift_before"][0] is drift["latent_shift_after"][0] is None
    assert 0 < drift["latent_shift_after"][1] < drift["latent_shift_before"][1]
    stale, _ = tiny.done("no_refresh", *LEARNT)
    assert stale["drift"]["latent_shift_after"][1] == stale["drift"]["latent_shift_before"][1]
    assert stale["drift"]["latent_shift_before"][1] == drift["latent_shift_before"][1]  # nothing else differs
    frozen, _ = tiny.done("frozen", *LEARNT)
    assert frozen["drift"]["latent_shift_after"][1] == frozen["drift"]["changed"][1] == 0


def test_latent_shift_is_zero_for_fresh_codes_and_one_for_those_of_other_clips():
    run = tiny.begun("frozen")
    run.next_experience()
    method, slots = run.method, np.arange(len(run.method.buffer))
    values = probe(method, slots, run.context.reader, "cpu")
    assert values["latent_shift"] == values["changed"] == 0
    codes = method.buffer.take(slots).codes
    mixed = np.random.default_rng(0).permutation(codes.numpy().reshape(-1)).reshape(codes.shape)
    method.buffer.write(slots, torch.from_numpy(mixed))
    assert probe(method, slots, run.context.reader, "cpu")["latent_shift"] == pytest.approx(1, abs=0.1)


# ---- variants


def stored_codes(run) -> dict[int, torch.Tensor]:
    buffer = run.method.buffer
    taken = buffer.take(np.arange(len(buffer)))
    return dict(zip(taken.sample_id.tolist(), taken.codes, strict=True))


def rewritten(method: str) -> float:
    """Share of the stored indices of the first experience that the second one changes."""
    run = tiny.begun(method)
    run.next_experience()
    first = stored_codes(run)
    run.next_experience()
    second = stored_codes(run)
    assert set(first) < set(second)  # all fit
    return float(np.mean([(first[k] != second[k]).float().mean() for k in first]))


@pytest.mark.parametrize(
    ("method", "rewrites"),
    [("cram", True), ("refresh_only", True), ("current_decoder", True), ("all_decoders", True),
     ("no_refresh", False), ("no_snapshot", False), ("frozen", False)],
)  # fmt: skip
def test_stored_codes_are_rewritten_by_a_refresh_alone(method, rewrites):
    assert (rewritten(method) > 0) == rewrites


def test_frozen_is_bit_equal_after_its_first_experience():
    run = tiny.begun("frozen", "benchmark.tasks=3")
    run.next_experience()
    first = weights(run.method.compressor)
    assert {"quantizer.codebook", "quantizer.count", "quantizer.total"} <= set(first)
    run.to_the_end()
    assert equal(first, weights(run.method.compressor))


@pytest.mark.parametrize("method", ["cram", "no_snapshot", "refresh_only"])
def test_the_others_go_on_learning_their_compressor(method):
    run = tiny.begun(method)
    run.next_experience()
    first = weights(run.method.compressor)
    run.next_experience()
    assert not any(torch.equal(first[name], value) for name, value in run.method.compressor.encoder.state_dict().items()
                   if name in first)  # fmt: skip
    assert not torch.equal(first["quantizer.codebook"], run.method.compressor.quantizer.codebook)


def test_rehearsal_is_half_of_a_compressor_batch_and_refresh_only_does_without():
    samples = {name: tiny.done(name)[0]["work"]["samples"] for name in ("cram", "refresh_only", "no_refresh")}
    assert samples["cram"]["compressor"] == samples["no_refresh"]["compressor"] == 2 * 4 * 8
    assert samples["refresh_only"]["compressor"] == 2 * 4 * 8
    phase = {name: tiny.begun(name).method for name in ("cram", "refresh_only", "no_snapshot")}
    second = tiny.begun("cram").experiences[1]
    assert phase["cram"].phases(second)[0].batch == 4
    assert phase["refresh_only"].phases(second)[0].batch == phase["no_snapshot"].phases(second)[0].batch == 8
    assert "refresh" not in samples["no_refresh"]
    assert samples["cram"]["refresh"] == samples["refresh_only"]["refresh"] == 60


def test_current_decoder_rehearses_by_the_old_and_refreshes_by_the_new_decoder():
    run, _ = walked("current_decoder", phases=1)
    method, batch = run.method, run.method.buffer.take(np.arange(8))
    assert torch.equal(method.decode_old(batch), method.compressor.decode(batch.codes))
    assert not torch.equal(method.decode_old(batch), method.snapshot.decode(batch.codes))
    drawn = method.generator.get_state()
    rehearsed = method.rehearsed_clips(8)
    method.generator.set_state(drawn)
    assert torch.equal(rehearsed, method.snapshot.decode(method.buffer.sample(8).codes))


def test_no_snapshot_pays_for_none_and_holds_more_clips():
    tight = "memory.budget=147kB"
    without, cram = tiny.done("no_snapshot", tight)[0]["memory"], tiny.done("cram", tight)[0]["memory"]
    assert set(without["carried"]) == {"buffer"}
    assert set(cram["carried"]) == {"buffer", "snapshot"}
    assert without["capacity"] > 20 * cram["capacity"]
    assert without["clips_stored"] > cram["clips_stored"]


def test_all_decoders_reads_each_code_by_the_decoder_that_wrote_it():
    run = tiny.begun("all_decoders", "benchmark.tasks=3")
    run.next_experience()
    first, written = stored_codes(run), weights(run.method.compressor.snapshot())
    run.next_experience()
    run.next_experience()
    method = run.method
    assert len(method.decoders) == 2  # with the one in use: as many as experiences
    assert equal(weights(method.decoders[0]), written)
    slots = np.array([k for k, row in enumerate(method.buffer.sample_id.tolist()) if row in first])
    codes = torch.stack([first[row] for row in method.buffer.sample_id[slots].tolist()])
    assert torch.equal(method.decode_old(method.buffer.take(slots)), method.decoders[0].decode(codes))
    holders = run.memory.rows[-1]["holders"]
    assert holders["decoders"] == 2 * 140_096


def test_joint_methods_see_everything_once_with_the_steps_of_all_experiences():
    run = tiny.begun("joint")
    (only,) = run.experiences
    assert len(only.clips) == 100
    assert set(only.clips.targets.tolist()) == set(range(20))
    record = run.to_the_end()
    assert record["work"]["steps"] == {"classifier": 2 * 4}
    assert record["bound"]
    assert [[value is None for value in row] for row in record["accuracy"]] == [[True, True], [False, False]]
    steps = tiny.done("joint_codes")[0]["work"]["steps"]
    assert steps == {"compressor": 2 * 4, "encode": 1, "classifier": 2 * 4}


def test_equal_work_of_all_methods_but_the_bounds():
    work = {name: tiny.done(name)[0]["work"] for name in ("naive", "er", "cram", "no_snapshot", "frozen")}
    for each in work.values():
        assert each["steps"]["classifier"] == 2 * 4
        assert each["samples"]["classifier"] == 2 * 4 * 12
        assert each["steps"].get("compressor", 8) in (4, 8)
    assert work["frozen"]["steps"]["compressor"] == 4


# ---- settings


def test_reinit_draws_the_codebook_anew_from_the_batch():
    run = tiny.begun("no_refresh", "compressor.reinit=each_task")
    run.next_experience()
    compressor = run.method.compressor
    drawn = []
    draw = ProductQuantizer._draw
    compressor.quantizer._draw = lambda parts, where, generator: (
        drawn.append(where.float().mean().item()) or draw(compressor.quantizer, parts, where, generator)
    )
    experience = run.experiences[1]
    run.one_phase(experience, run.method.phases(experience)[0])
    assert drawn[0] == 1  # every entry, in the first step
    assert all(share < 1 for share in drawn[1:])
    kept = tiny.begun("no_refresh")
    kept.next_experience()
    kept.method.begin_compressor()
    assert kept.method.compressor.quantizer.initialized


def test_replace_first_task_never_replaces_later():
    replaced = {}
    for setting in ("always", "first_task"):
        run = tiny.begun("no_snapshot", f"compressor.replace={setting}", "compressor.decay=0.1", "compressor.steps=12")
        quantizer = run.method.compressor.quantizer
        draw, replaced[setting] = quantizer._draw, [0, 0]

        def counting(parts, where, generator, draw=draw, counts=replaced[setting], run=run):
            counts[run.position["experience"]] += int(where.sum())
            draw(parts, where, generator)

        quantizer._draw = counting
        run.to_the_end()
    assert replaced["always"][0] == replaced["first_task"][0] > 256  # beyond the first filling
    assert replaced["always"][1] > 0
    assert replaced["first_task"][1] == 0


def test_first_steps_lengthen_the_first_experience_alone():
    record, _ = tiny.done("frozen", "compressor.first_steps=9")
    assert record["work"]["steps"]["compressor"] == 9
    record, _ = tiny.done("cram", "compressor.first_steps=9")
    assert record["work"]["steps"]["compressor"] == 9 + 4


def test_share_and_iid_of_a_classifier_batch():
    assert tiny.begun("er").method.phases(tiny.begun("er").experiences[1])[0].batch == 4  # a third of 12
    iid = tiny.begun("er", "replay.iid=true")
    assert iid.method.phases(iid.experiences[1])[0].batch == 12
    iid.next_experience()
    batch = iid.context.clips(iid.stream.train_stream[1]).take(np.arange(12))
    parts = [replayed_part(batch, 12, ReplaySettings(iid=True), iid.method.buffer, 40)[1] for _ in range(300)]
    drawn = [0 if part is None else len(part) for part in parts]
    stored = len(iid.method.buffer)
    assert np.mean(drawn) == pytest.approx(12 * stored / (stored + 40), abs=0.4)
    record = iid.to_the_end()
    assert record["work"]["samples"]["classifier"] == 2 * 4 * 12
