"""A step at the size of the paper, as the loop takes it, against the bare step of the same networks; wants a GPU."""

import tempfile
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from benchmarks import BENCHMARKS, Benchmark, BenchmarkSettings, BenchmarkSource
from benchmarks.clips import ClipTable
from benchmarks.memory import MemoryReader
from harness.benchmarking.timing import row, spread
from harness.common.settings import setting
from harness.training.experiences import CurrentExperience
from harness.training.loop import Run
from methods.contract import Batch, Phase
from methods.shared.code_method import CodeMethod
from methods.shared.compressor import to_float
from methods.shared.replay_method import ReplayMethod

WARM_UP, BEFORE = 10, 8  # steps that are not measured; steps of each phase of the experience before


@dataclass(frozen=True)
class NoiseSettings(BenchmarkSettings):
    """Settings of noise."""

    tasks: int = setting(2, "tasks of the stream", minimum=1)
    clips: int = setting(16, "training clips of a class", minimum=1)
    size: int = setting(224, "height and width of a frame", minimum=16)


class Noise(BenchmarkSource):
    """Random clips of 14 frames in memory, four classes: for measuring speed alone."""

    Settings = NoiseSettings

    def describe(self) -> Benchmark:
        sizes = {"train": self.settings.clips, "valid": 1, "test": 1}
        names = [f"{split}/{label}/{n}" for split, most in sizes.items() for label in range(4) for n in range(most)]
        split, label, _ = zip(*(name.split("/") for name in names), strict=True)
        rows = pd.DataFrame({"sample_id": names, "split": split, "label": label, "start": 0, "stop": 1})
        rows = rows.assign(file=rows["sample_id"], group=rows["sample_id"])
        table = ClipTable.of(rows, root=self.cache, labels=("label",))
        size = self.settings.size
        return Benchmark(self.name, table, "label", frames=14, height=size, width=size, reader=None)

    def load(self, workers: int) -> Benchmark:
        found = self.describe()
        drawn = np.random.default_rng(0).integers(
            0, 256, (len(found.table.frame), 14, found.height, found.width, 3), dtype=np.uint8
        )
        return replace(found, reader=MemoryReader(drawn))


def bench_paper(words: list[str], steps: int = 50) -> list[dict[str, Any]]:
    """Rows of cram's compressor and classifier steps and of er's step on replayed clips; `words` change the run."""
    from harness.config.compose import request

    if "noise" not in BENCHMARKS:
        BENCHMARKS.add("noise", Noise)
    rows = []
    for name, measured in (("cram", ("compressor", "classifier")), ("er", ("classifier",))):
        given = [f"methods=[{name}]", "benchmark=noise", "profile=paper", "memory.budget=600MB", "classifier.views=1",
                 f"compressor.steps={BEFORE}", f"classifier.steps={BEFORE}", *words]  # fmt: skip
        run = Run(next(iter(request(given).runs.values())), Path(tempfile.mkdtemp(prefix="bench-")))
        run.next_experience()  # so that there is something to rehearse
        experience = run.experiences[1]
        for phase in run.method.phases(experience):
            if phase.name in measured:
                rows.append(_row(run, experience, phase, steps))
            elif phase.kind != "store":
                _through(run, experience, phase)
    return rows


def _row(run: Run, experience: CurrentExperience, phase: Phase, steps: int) -> dict[str, Any]:
    """Milliseconds of a step in the loop, of the bare step, and how often the loop waited for the device."""
    began: list[float] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")

        def step(batch: Batch) -> Any:
            if len(began) == WARM_UP:
                _wait(run)
                _count_waits(run, "warn")
            began.append(time.perf_counter())
            log = phase.step(batch)
            if len(began) == WARM_UP + steps:
                _count_waits(run, "default")
            return log

        _through(run, experience, replace(phase, steps=WARM_UP + steps, step=step))
        _wait(run)
        ours = 1e3 * (time.perf_counter() - began[WARM_UP]) / steps
        waits = sum("synchronizing" in str(each.message) for each in caught)
    step_alone = _bare(run, experience, phase)
    with FlopCounterMode(display=False) as counter:
        step_alone()
    taken = []
    for _ in range(WARM_UP + steps):
        step_alone()
    for _ in range(5):
        _wait(run)
        start = time.perf_counter()
        for _ in range(max(1, steps // 5)):
            step_alone()
        _wait(run)
        taken.append(1e3 * (time.perf_counter() - start) / max(1, steps // 5))
    bare, flops = spread(taken), counter.get_total_flops()
    more = {"TFLOP": flops / 1e12, "TFLOP/s": flops / ours / 1e9, "waits for the device": waits, "steps": steps,
            "bare": bare}  # fmt: skip
    name = f"{run.method.name}, a step of {phase.name} at paper size"
    return row(name, "ms", ours, bare["median"], ours / bare["median"], "at most 1.05", more)


def _bare(run: Run, experience: CurrentExperience, phase: Phase) -> Callable[[], None]:
    """The step of the same networks on a batch that lies on the device: forward, backward, AdamW, and nothing else."""
    method = run.method
    assert isinstance(method, ReplayMethod)
    if phase.kind == "compressor":
        assert isinstance(method, CodeMethod)
        parameters, loss = list(method.compressor.parameters()), _loss_of_compressor(method, experience, phase)
    else:
        parameters, loss = list(method.classifier.parameters()), _loss_of_classifier(method, phase)
    optimizer = torch.optim.AdamW(parameters, lr=1e-5, weight_decay=0.0, fused=True)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with run.precision():
            loss().backward()
        torch.nn.utils.clip_grad_norm_(parameters, 5.0)
        optimizer.step()

    return step


def _loss_of_compressor(method: CodeMethod, experience: CurrentExperience, phase: Phase) -> Callable[[], Tensor]:
    fresh = experience.clips.take(np.arange(phase.batch) % len(experience.clips)).clips
    before = method.compressor.snapshot()
    codes = method.buffer.sample(method.spec.compressor.batch - phase.batch).codes

    def loss() -> Tensor:
        clips = torch.cat([to_float(fresh), before.decode(codes)])
        return method.compressor.loss(clips, method.generator, replace=True)

    return loss


def _loss_of_classifier(method: ReplayMethod, phase: Phase) -> Callable[[], Tensor]:
    whole = phase.data().take(np.zeros(method.spec.classifier.batch, np.int64))
    return lambda: F.cross_entropy(method.classifier(method.inputs(whole)).float(), whole.target)


def _through(run: Run, experience: CurrentExperience, phase: Phase) -> None:
    run.one_phase(experience, phase)
    run.position["step"] = 0


def _wait(run: Run) -> None:
    if run.context.device.startswith("cuda"):
        torch.cuda.synchronize()


def _count_waits(run: Run, mode: str) -> None:
    """Have torch warn wherever the program waits for the GPU, or not."""
    if run.context.device.startswith("cuda"):
        torch.cuda.set_sync_debug_mode(mode)
