"""Codecs and compressor: what they store costs and gives back what they say."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from methods.contract import Spec
from methods.forms import FORMS
from methods.forms.codes import CodeRows
from methods.shared.code_size import code_bytes, code_grid, code_shape, compression_rate, index_bits
from methods.shared.compressor import Compressor
from methods.shared.quantizer import ProductQuantizer
from methods.shared.settings import CompressorSettings
from tests import tiny

CLIP = (8, 32, 32, 3)


# ---- codecs


@pytest.mark.parametrize(("codec", "floor"), [("jpeg", 25), ("h264", 25)])
def test_stored_clips_are_really_decoded_when_drawn(codec, floor):
    run = tiny.begun("er", f"er.codec={codec}")
    run.next_experience()
    buffer = run.method.buffer
    drawn = buffer.sample(16)
    original = run.context.reader.read(drawn.sample_id.numpy().astype(np.int64)).astype(float)
    error = ((drawn.clips.numpy() - original) / 255) ** 2
    psnr = -10 * np.log10(error.mean((1, 2, 3, 4)))
    assert drawn.clips.dtype == torch.uint8
    assert psnr.mean() > floor
    assert error.any()  # not the pixels themselves
    assert all(len(p) < original[0].size / 8 for p in buffer.payloads)
    assert run.memory.rows[-1]["carried"] <= 400_000


@pytest.mark.parametrize("codec", ["jpeg", "h264"])
def test_a_codec_gives_the_same_bytes_each_time_and_shares_its_header(codec):
    run = tiny.begun("naive")
    clips = run.context.reader.read(np.arange(60))
    one, other = FORMS.get(codec)(CLIP, 0), FORMS.get(codec)(CLIP, 0)
    payloads = [one.encode(clip) for clip in clips]
    for _ in range(2):
        order = np.random.default_rng(0).permutation(60)
        assert all(other.encode(clips[k]) == payloads[k] for k in order)
    assert one.header == other.header
    assert len(one.header) > 20
    assert not any(one.header[:16] in payload for payload in payloads)
    apart = np.concatenate([other.decode([payload]) for payload in payloads])
    assert (one.decode(payloads) == apart).all()


def test_quality_trades_bytes_for_psnr():
    clips = tiny.begun("naive").context.reader.read(np.arange(10))
    for codec, (coarse, fine) in {"jpeg": (20, 90), "h264": (40, 15)}.items():
        sizes, errors = [], []
        for quality in (coarse, fine):
            made = FORMS.get(codec)(CLIP, quality)
            payloads = [made.encode(clip) for clip in clips]
            sizes.append(sum(map(len, payloads)))
            errors.append(np.square(made.decode(payloads).astype(float) - clips).mean())
        assert sizes[0] < sizes[1] / 2
        assert errors[0] > 2 * errors[1]


@pytest.mark.parametrize(("codec", "quality"), [("jpeg", 96), ("h264", 52), ("jpeg", -1)])
def test_a_quality_outside_the_codec_is_refused(codec, quality):
    with pytest.raises(ValueError, match=f"er.quality={quality}: .* 0?1? ?to|er.quality={quality}"):
        FORMS.get(codec)(CLIP, quality)


# ---- compressor


@pytest.mark.parametrize("n_codebooks", [1, 2, 4])
def test_quantizer_gives_back_its_own_entries(n_codebooks):
    quantizer = ProductQuantizer(CompressorSettings(n_codebooks=n_codebooks, entries=16))
    quantizer.codebook.normal_(generator=torch.Generator().manual_seed(0))
    codes = torch.randint(16, (5, 2, 3, 3, n_codebooks))
    vectors = quantizer.look_up(quantizer.codebook, codes)
    assert vectors.shape == (5, 2, 3, 3, 8)
    assert torch.equal(quantizer.nearest(vectors), codes)
    part = 8 // n_codebooks
    assert torch.equal(vectors[0, 0, 0, 0, -part:], quantizer.codebook[-1, codes[0, 0, 0, 0, -1]])


def test_more_codebooks_are_trained_and_stored_as_they_are_counted():
    two = "compressor.n_codebooks=2"
    memory = tiny.done("cram", two)[0]["memory"]
    assert memory["carried"]["buffer"] == 100 * (256 + 8) + 20 * 16
    run = tiny.begun("cram", two)
    run.next_experience()
    codes = run.method.buffer.take(np.arange(60)).codes
    assert codes.shape == (60, 2, 8, 8, 2)
    assert len(codes[..., 0].unique()) > 1
    assert len(codes[..., 1].unique()) > 1
    with pytest.raises(ValueError, match=r"compressor.n_codebooks=3 does not divide compressor.dim=8"):
        tiny.begun("cram", "compressor.n_codebooks=3")


def test_the_codebook_moves_by_averages_of_what_it_is_given():
    quantizer = ProductQuantizer(CompressorSettings(entries=2, dim=1, decay=0.5))
    quantizer.codebook.copy_(torch.tensor([[[0.0], [10.0]]]))
    quantizer.total.copy_(quantizer.codebook)
    quantizer.initialized.fill_(True)
    quantizer.learn(torch.tensor([[1.0], [3.0]]), torch.Generator(), replace=False)
    # entry 0: count .5 + .5*2, total 0 + .5*4; entry 1 saw nothing and stays put
    assert quantizer.codebook.flatten().tolist() == pytest.approx([2 / 1.5, 10.0])
    assert quantizer.count.flatten().tolist() == [1.5, 0.5]


SMALL = CompressorSettings()
PAPER = CompressorSettings(patch=[2, 16, 16], n_codebooks=6, dim=48)


@pytest.mark.parametrize(
    ("clip", "settings", "size", "rate"),
    [
        (CLIP, SMALL, 128, 192),
        ((14, 224, 224, 3), PAPER, 8_232, 256),
        ((14, 224, 224, 3), replace(PAPER, n_codebooks=12), 16_464, 128),
        ((14, 224, 224, 3), replace(PAPER, n_codebooks=3), 4_116, 512),
        (CLIP, CompressorSettings(entries=1024), 160, 153.6),
    ],
)
def test_the_rate_is_that_of_the_real_bytes(clip, settings, size, rate):
    rows = CodeRows(code_shape(clip, settings), index_bits(settings))
    codes = torch.randint(settings.entries, (3, *code_shape(clip, settings)))
    packed = rows.to_rows(codes)
    assert packed.nbytes == 3 * size == 3 * code_bytes(clip, settings)
    assert torch.equal(rows.from_rows(packed, "cpu")["codes"], codes)
    assert compression_rate(clip, settings) == rate == np.prod(clip) / size


def test_a_patch_that_does_not_divide_the_clip_is_refused():
    assert code_grid((14, 224, 224, 3), PAPER) == (7, 14, 14)
    with pytest.raises(ValueError, match=r"compressor.patch=\[4, 4, 4\] does not divide frames=6"):
        code_grid((6, 32, 32, 3), SMALL)


def test_patches_come_back_where_they_were():
    """With weights that copy, decoder(encoder(x)) is x: no axis is swapped on the way."""
    settings = CompressorSettings(patch=[1, 1, 1], width=3, dim=3)
    compressor = Compressor((2, 4, 4, 3), settings)
    for net in (compressor.encoder, compressor.decoder):
        for layer in (net.inward, net.outward):
            torch.nn.init.eye_(layer.weight)
            torch.nn.init.zeros_(layer.bias)
        for layer in (net.residual.conv, net.residual.mix):
            torch.nn.init.zeros_(layer.weight)
            torch.nn.init.zeros_(layer.bias)
    clips = torch.rand(2, 2, 4, 4, 3)
    assert torch.equal(compressor.decoder(compressor.encoder(clips)), clips)


def test_settings_of_compressor_reach_the_method():
    spec = Spec(clip_shape=CLIP, n_classes=4, budget=10**6, compressor=CompressorSettings(width=16, entries=64))
    assert spec.raw_bytes == 24_576
    compressor = Compressor(CLIP, spec.compressor)
    assert compressor.encoder.inward.out_features == 16
    assert compressor.quantizer.codebook.shape == (1, 64, 8)
    clips = torch.randint(256, (2, *CLIP), dtype=torch.uint8)
    assert compressor.encode(clips).shape == (2, 2, 8, 8, 1)
    assert compressor.decode(compressor.encode(clips)).shape == (2, *CLIP)


def test_compiling_makes_graphs_of_encoder_and_decoder():
    torch.manual_seed(0)
    clips = torch.rand(2, *CLIP)
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    losses = []
    for compiled in (False, True):
        torch.manual_seed(1)
        compressor = Compressor(CLIP, CompressorSettings(n_codebooks=2))
        if compiled:
            compressor.compile(backend="eager")
        losses.append(compressor.loss(clips, torch.Generator().manual_seed(0), replace=False).item())
        graphs = torch._dynamo.utils.counters["stats"]["unique_graphs"]
        assert graphs == (2 if compiled else 0)
    assert losses[0] == pytest.approx(losses[1])
    assert compressor.snapshot().decoder._compiled_call_impl is not None
