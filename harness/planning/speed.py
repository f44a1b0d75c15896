"""Seconds a clip of each kind of step on this machine, kept in the cache folder for the plan's estimate."""

import hashlib
import json
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from harness.common.files import write_json
from harness.config.compose import benchmark_of
from harness.config.run_config import RunConfig
from harness.training.context import Context
from harness.training.experiences import CurrentExperience
from methods import find
from methods.contract import Batch, Method
from methods.shared.code_method import CodeMethod
from methods.shared.pixel_method import PixelMethod
from methods.shared.pretrained import FITTING
from methods.shared.settings import steps_of

MOST_BYTES = 4_000_000  # of the clips of a step that is measured; larger batches are taken to cost in proportion


def measure(config: RunConfig, rounds: int = 3) -> dict[str, float]:
    """Measure, keep and return seconds a clip: processor seconds on a CPU, wall seconds on a GPU."""
    context = Context(config, benchmark_of(config))
    spec = context.spec
    n = max(2, min(spec.compressor.batch, spec.classifier.batch, MOST_BYTES // spec.raw_bytes))
    spec = replace(spec, budget=8 * spec.raw_bytes + 200_000_000, weights=None,
                   compressor=replace(spec.compressor, batch=n, load=""),
                   classifier=replace(spec.classifier, batch=n, views=1))  # fmt: skip
    codes, pixels = (find(name)(spec, find(name).Settings(), torch.Generator()) for name in ("frozen", "er"))
    assert isinstance(codes, CodeMethod)
    assert isinstance(pixels, PixelMethod)
    codes.phase_steps = pixels.phase_steps = 100

    def clock(step: Callable[[], Any]) -> float:
        def one_step() -> None:
            half = config.precision == "bfloat16"
            with torch.autocast(spec.device, torch.bfloat16, enabled=half, cache_enabled=False):
                step()

        return _clock(one_step, spec.device, rounds) / n

    clips = torch.randint(256, (n, *spec.clip_shape), dtype=torch.uint8).to(spec.device)
    batch = Batch(torch.zeros(n, dtype=torch.int64, device=spec.device), torch.arange(n), clips)
    codes.begin_compressor()
    seconds = {"compressor": clock(lambda: codes.train_compressor(batch))}
    code = codes.compressor.encode(clips)
    seconds["encode"] = clock(lambda: codes.compressor.encode(clips))
    seconds["decode"] = clock(lambda: codes.compressor.decode(code))
    codes.begin_classifier()
    of_codes = Batch(batch.target, batch.sample_id, codes=code)
    seconds["codes"] = clock(lambda: codes.train_classifier(of_codes, n))
    pixels.begin_classifier()
    seconds["pixels"] = clock(lambda: pixels.train_classifier(batch, n))
    seconds["predict codes"] = clock(lambda: codes.predict(clips))
    seconds["predict pixels"] = clock(lambda: pixels.predict(clips))
    _file(config).parent.mkdir(parents=True, exist_ok=True)
    write_json(_file(config), _read(config) | {_key(context): seconds})
    return seconds


def known(context: Context) -> dict[str, float] | None:
    """What was measured here for a run's networks, clips and precision; None where nothing was."""
    return _read(context.config).get(_key(context))


def hours(context: Context, method: Method, steps: dict[str, int], seconds: dict[str, float]) -> float:
    """Hours of one run: its steps and clips times the seconds of each; loading of videos is not in it."""
    spec, stream = context.spec, context.stream
    sizes = [len(e.indices) for e in stream.train_stream]
    tests = np.cumsum([len(e.indices) for e in context.items()])
    evaluated = int(tests[-1] if method.joint else tests.sum())
    work = steps.get("classifier", 0) * spec.classifier.batch
    if not isinstance(method, CodeMethod):
        return (work * seconds["pixels"] + evaluated * seconds["predict pixels"]) / 3600
    trained = steps.get("compressor", 0) * spec.compressor.batch
    total = trained * seconds["compressor"] + work * seconds["codes"] + evaluated * seconds["predict codes"]
    total += sum(sizes) * spec.classifier.views * seconds["encode"]
    if method.rehearses():
        total += trained * spec.replay.compressor_share * seconds["decode"]
    last = stream.train_stream[-1]
    at_last = CurrentExperience(last, stream.n_experiences, context.clips(last), opens_run=False)
    if "refresh" in {phase.kind for phase in method.phases(at_last)}:
        most = sum(sizes) if method.bound or method.buffer is None else method.buffer.capacity
        stored = np.minimum(np.cumsum(sizes)[:-1], most).sum()
        total += int(stored) * (seconds["encode"] + seconds["decode"])
    return total / 3600


def steps_of_opaque(context: Context) -> dict[str, int]:
    """Steps of a method with a loop of its own, which has no table of phases."""
    return {"classifier": sum(steps_of(context.spec.classifier, len(e.indices)) for e in context.stream.train_stream)}


def _clock(step: Callable[[], Any], device: str, rounds: int) -> float:
    """Median seconds of a step."""
    taken = []
    for _ in range(rounds + 1):  # the first one warms up
        start = _now(device)
        step()
        taken.append(_now(device) - start)
    return statistics.median(taken[1:])


def _now(device: str) -> float:
    if device == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def _key(context: Context) -> str:
    spec, config = context.spec, context.config
    shape = [asdict(spec.compressor)[name] for name in FITTING]
    parts = [spec.clip_shape, shape, spec.classifier.network, spec.classifier.width, config.precision,
             asdict(spec.training), context.device, platform.node()]  # fmt: skip
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def _file(config: RunConfig) -> Path:
    return Path(config.execution.paths["cache"]) / "speed.json"


def _read(config: RunConfig) -> dict[str, dict[str, float]]:
    try:
        return json.loads(_file(config).read_text())
    except (OSError, ValueError):
        return {}
