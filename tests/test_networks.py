"""The networks of full-size clips: sizes of codes, one real step of each on the CPU, and how steps are computed."""

import copy
import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from harness.config.compose import request
from harness.training.execute import run
from methods import find
from methods.contract import Batch, Spec, evaluating
from methods.shared.code_size import code_bytes, code_grid, compression_rate
from methods.shared.compressor import Compressor
from methods.shared.optimizer import Optimizer
from methods.shared.settings import ClassifierSettings, CompressorSettings, TrainingSettings, steps_of
from tests import tiny

CLIP = (14, 224, 224, 3)
SMALL = ("profile=paper", "compressor.patch=[2,4,4]", "compressor.width=16", "compressor.epochs=1",
         "classifier.epochs=1", "classifier.views=2", "precision=float32")  # fmt: skip


def paper(**changes) -> CompressorSettings:
    """The compressor of the profile."""
    config = next(iter(request(["methods=[cram]", "profile=paper"]).runs.values()))
    return replace(config.compressor, **changes)


def full_size(method: str = "cram", n_codebooks: int = 6, **training):
    """A method on two classes of full-size clips, two a step."""
    spec = Spec(CLIP, n_classes=2, budget=100_000_000, compressor=paper(batch=2, n_codebooks=n_codebooks),
                classifier=ClassifierSettings(network="s3d", batch=2),
                training=TrainingSettings(**training))  # fmt: skip
    torch.manual_seed(0)
    built = find(method)(spec, find(method).Settings(), torch.Generator().manual_seed(0))
    built.phase_steps = 1
    return built


def clips(n: int = 2) -> Batch:
    drawn = torch.randint(256, (n, *CLIP), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    return Batch(target=torch.arange(n) % 2, sample_id=torch.arange(n, dtype=torch.int32), clips=drawn)


@pytest.mark.parametrize(("n_codebooks", "rate", "size"), [(12, 128, 16_464), (6, 256, 8_232), (3, 512, 4_116)])
def test_the_profile_of_the_paper_compresses_exactly(n_codebooks, rate, size):
    settings = paper(n_codebooks=n_codebooks)
    assert (code_bytes(CLIP, settings), compression_rate(CLIP, settings)) == (size, rate)
    assert code_grid(CLIP, settings) == (7, 14, 14)


def test_one_step_of_the_compressor_and_of_s3d_on_its_codes_at_full_size():
    method = full_size()
    before = copy.deepcopy(method.state())
    method.begin_compressor()
    log = method.train_compressor(clips())
    assert math.isfinite(log["loss"])
    after = method.state()["compressor"]
    changed = {name for name, value in after.items() if not value.equal(before["compressor"][name])}
    assert {"encoder.space.0.weight", "decoder.space.7.weight", "quantizer.codebook"} <= changed
    method.codes.grow(2)
    method.encode(clips())
    codes = method.codes.take(range(2)).codes
    assert codes.shape == (2, 7, 14, 14, 6)
    assert method.codes.state()["data"].shape == (2, 8_232)
    method.begin_classifier()
    log = method.train_classifier(Batch(target=torch.arange(2), sample_id=torch.arange(2), codes=codes), n_current=2)
    assert math.isfinite(log["loss"])
    norms = [m for m in method.classifier.modules() if isinstance(m, nn.BatchNorm3d)]
    assert all(norm.momentum == 0.1 for norm in norms)
    assert all(norm.running_mean.abs().sum() > 0 for norm in norms)
    assert method.predict(clips().clips).shape == (2, 2)


def test_methods_run_with_the_networks_of_the_profile(tmp_path):
    """On small clips, through the harness; pre-training changes the head of S3D and a new process builds it again."""
    words = ("benchmark.tasks=1", "benchmark.clips_per_class=1", "setting=pretrained", *SMALL)
    record, _ = tiny.done("cram", *words)
    assert record["profile"] == "paper"
    own = tiny.begun("cram", *words)
    for phase in ("compressor", "classifier"):
        sizes = [len(own.stream.pretraining.indices), *(len(e.indices) for e in own.stream.train_stream)]
        assert record["work"]["steps"][phase] == sum(-(-n // getattr(own.config, phase).batch) for n in sizes)
    strict = tiny.config("cram", *words)
    tiny.same(run(replace(strict, execution=replace(strict.execution, strict_state=True)), tmp_path), record)


def test_pixels_are_classified_by_s3d():
    record, _ = tiny.done("er", "benchmark.tasks=2", *SMALL, "classifier.epochs=0", "classifier.steps=1")
    assert record["work"]["steps"]["classifier"] == 2
    assert any("layers" in name for name in tiny.begun("er", *SMALL).method.state()["classifier"])


def test_epochs_count_passes_over_current_clips_for_all_methods_alike():
    settings = ClassifierSettings(steps=7, batch=10)
    assert steps_of(settings, 95) == 7
    assert steps_of(ClassifierSettings(epochs=3, batch=10), 95) == 30
    assert steps_of(ClassifierSettings(epochs=3, batch=10), 190, n_merged=2) == 30  # of each of two experiences
    words = ("classifier.epochs=2", "compressor.epochs=1")
    steps = {name: tiny.done(name, *words)[0]["work"]["steps"]["classifier"] for name in ("cram", "er")}
    assert set(steps.values()) == {2 * (math.ceil(60 / 12) + math.ceil(40 / 12))}  # experiences of 60 and 40 clips


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))


def losses(module: nn.Module, parts: int) -> list[torch.Tensor]:
    x = torch.randn(12, 4, generator=torch.Generator().manual_seed(2))
    return [module(part).square().mean() for part in x.chunk(parts)]


def test_gradients_of_several_batches_are_those_of_one_of_all():
    whole, split = network(), network()
    Optimizer(["m"], [whole], 0.01, 1).step(losses(whole, 1)[0])
    optimizer = Optimizer(["m"], [split], 0.01, 3, accumulate=3)
    for loss in losses(split, 3):
        assert split[0].weight.equal(network()[0].weight)
        optimizer.step(loss)
    assert not split[0].weight.equal(network()[0].weight)
    for a, b in zip(whole.parameters(), split.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-6)


def test_a_resume_between_two_batches_of_a_step_changes_nothing():
    alone, stopped = network(), network()
    one, two = (Optimizer(["m"], [m], 0.01, 4, accumulate=2) for m in (alone, stopped))
    for k in range(4):
        one.step(losses(alone, 4)[k])
        two.step(losses(stopped, 4)[k])
        again = network()
        again.load_state_dict(stopped.state_dict())
        stopped, two = again, Optimizer.loaded(copy.deepcopy(two.state()), [again])
    assert all(a.equal(b) for a, b in zip(alone.parameters(), stopped.parameters(), strict=True))


def test_channels_last_is_another_layout_of_the_same_network():
    plain, other = (full_size("frozen", channels_last=last) for last in (False, True))
    assert other.compressor.encoder.space[2].weight.is_contiguous(memory_format=torch.channels_last)
    small = clips(1).clips[:, :2, :32, :32]
    with evaluating(plain.compressor, other.compressor):
        outputs = [m.compressor.encoder.space(small.flatten(0, 1).permute(0, 3, 1, 2) / 255) for m in (plain, other)]
    assert torch.allclose(*outputs, atol=1e-5)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"patch": [2, 8, 16]}, r"compressor.patch=\[2, 8, 16\] must have equal rows and columns"),
        ({"patch": [2, 7, 7]}, r"compressor.patch=\[2, 7, 7\] must have equal rows and columns"),
        ({"n_codebooks": 5}, r"compressor.n_codebooks=5 does not divide compressor.dim=96"),
    ],
)
def test_what_the_convolutional_compressor_cannot_be_is_said(changes, said):
    with pytest.raises(ValueError, match=said):
        Compressor(CLIP, paper(**changes))


def test_an_unknown_network_is_named():
    with pytest.raises(ValueError, match=r"classifier.network=s3 is not allowed; did you mean 's3d'"):
        request(["methods=[cram]", "classifier.network=s3"])
