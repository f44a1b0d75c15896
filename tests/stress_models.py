"""Long checks of models: the strategies of Avalanche, and the networks of full-size clips."""

import time

import torch

from benchmarks.avalanche import to_avalanche
from harness.training.own_loop import OpaqueRun
from methods.shared.avalanche_strategies import STRATEGIES
from tests import test_networks, tiny
from tests.test_avalanche import own_evaluation


def avalanche(number: float = len(STRATEGIES)) -> None:
    """The first strategies of Avalanche: accuracy in our record equal to Avalanche's own, buffers within the budget."""
    for name in list(STRATEGIES)[: int(number)]:
        # Nearest class means need a clip of each class.
        words = ("classifier.steps=40", *(["memory.budget=1MB"] if name == "ICaRL" else []))
        walk = OpaqueRun(tiny.config(f"avalanche:{name}", *words), tiny.new_folder())
        benchmark = to_avalanche(walk.stream, walk.context.reader)
        for after in range(walk.stream.n_experiences):
            walk.next_experience()
            theirs = own_evaluation(walk, benchmark, after)
            ours = walk.evaluation.fields()["accuracy"][after][: after + 1]
            assert all(abs(a - b) < 1e-12 for a, b in zip(ours, theirs, strict=True)), (name, ours, theirs)
        memory, shown = walk.finish()["memory"], " ".join(f"{100 * a:5.1f}" for a in ours)
        assert memory["budget"] is None or memory["carried"].get("buffer", 0) <= memory["budget"], (name, memory)
        held = f"carried {memory['carried_max']:,} B, live {memory['live']:,} B"
        print(f"{name:22} {shown}  equal to Avalanche's own; {held}")


def full_size(number: float = 3) -> None:
    """Seconds of the first steps at 14x224x224, two clips a step, on this machine: 128x, 256x, 512x; S3D on pixels."""
    for n_codebooks in (12, 6, 3)[: int(number)]:
        method = test_networks.full_size(n_codebooks=n_codebooks)
        method.begin_compressor()
        _timed(f"compressor, {n_codebooks} codebooks", lambda: method.train_compressor(test_networks.clips()))
        method.codes.grow(2)
        _timed("encode", lambda: method.encode(test_networks.clips()))
        codes = method.codes.take(range(2))
        method.begin_classifier()
        _timed("S3D on codes", lambda: method.train_classifier(codes, 2))
    pixels = test_networks.full_size("er")
    pixels.begin_classifier()
    _timed("S3D on pixels", lambda: pixels.train_classifier(test_networks.clips(), 2))


def compiled(number: float = 1) -> None:
    """torch.compile of compressor and classifier: the same losses as without it, to rounding."""
    losses = []
    for compile_ in (False, True):
        method = test_networks.full_size(compile=compile_)
        method.begin_compressor()
        compiled_ = [method.compressor.encoder, method.compressor.decoder, method.compressor.snapshot().decoder]
        assert [part._compiled_call_impl is not None for part in compiled_] == [compile_] * 3
        losses.append(_timed(f"compile={compile_}", lambda: method.train_compressor(test_networks.clips(2))))
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] >= 2
    assert abs(losses[0]["loss"] - losses[1]["loss"]) < 1e-3 * losses[0]["loss"], losses


def _timed(what: str, step) -> dict[str, float] | None:
    start = time.process_time()
    log = step()
    print(f"{what:28} {time.process_time() - start:6.2f} CPU s")
    return log


CHECKS = {"avalanche": avalanche, "full_size": full_size, "compiled": compiled}
