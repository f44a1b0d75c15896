"""Speed of training: steps, refresh, loader and waiting of a small run against bare loops; models for the plan."""

import tempfile
import time
from pathlib import Path
from typing import Any

from harness.benchmarking.timing import interleaved, row, spread, tiny


def bench_step(rounds: int = 15) -> list[dict[str, Any]]:
    """One step of er, replay included: harness loop (data, step, log, progress) against a hand-written loop."""
    import torch
    import torch.nn.functional as F

    from harness.training.loop import Run
    from methods.networks.small import PixelClassifier

    steps = 20
    config = tiny("er", f"classifier.steps={steps}")
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    run = Run(config, folder)
    run.next_experience()
    spec, clips, reader = run.context.spec, run.experiences[1].clips, run.context.reader
    assert reader is not None  # the benchmark is decoded, not described
    memory = torch.from_numpy(reader.read(clips.rows[:28]))
    old = torch.from_numpy(clips.targets[:28])
    model = PixelClassifier(spec.clip_shape, spec.compressor, spec.classifier.width, spec.n_classes)
    bare = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.0, fused=True)
    generator = torch.Generator().manual_seed(0)

    def bare_loop() -> None:
        for _ in range(steps):
            index = torch.randint(len(clips), (16,), generator=generator).numpy()
            drawn = torch.randint(28, (32,), generator=generator)
            x = torch.cat([torch.from_numpy(reader.read(clips.rows[index])), memory[drawn]])
            y = torch.cat([torch.from_numpy(clips.targets[index]), old[drawn]])
            loss = F.cross_entropy(model(x), y)
            bare.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            bare.step()

    experience = run.experiences[1]
    phase = run.method.phases(experience)[0]

    def harness_loop() -> None:
        run.position["step"] = 0
        run.one_phase(experience, phase)

    times = interleaved({"harness": harness_loop, "bare": bare_loop}, rounds)
    ours, other = times["harness"]["median"] / steps, times["bare"]["median"] / steps
    goal = "at most 1 ms and 3 % more"
    return [row("a step of er", "ms", ours, other, ours / other, goal, {"more_ms": ours - other, **times})]


def bench_refresh(rounds: int = 15) -> list[dict[str, Any]]:
    """The refresh of a whole buffer against decode and encode of the same codes in chunks of the same size."""
    import numpy as np
    import torch

    from harness.training.loop import Run
    from methods.cram import CRAM

    run = Run(tiny("cram", "compressor.steps=5", "classifier.steps=5"),
              Path(tempfile.mkdtemp(prefix="bench-")))  # fmt: skip
    for _ in range(3):
        run.next_experience()
    method, experience = run.method, run.experiences[3]
    assert isinstance(method, CRAM)
    snapshot = method.snapshot = method.compressor.snapshot()
    phase = next(p for p in method.phases(experience) if p.name == "refresh")
    buffer = method.buffer
    assert buffer is not None
    codes = buffer.take(np.arange(len(buffer))).codes

    def ours() -> None:
        run.position["step"] = 0
        run.one_phase(experience, phase)

    def forward() -> None:
        with torch.no_grad():
            for chunk in codes.split(method.spec.chunk):
                method.compressor.encode(snapshot.decode(chunk))

    times = interleaved({"harness": ours, "bare": forward}, rounds)
    a, b = times["harness"]["median"], times["bare"]["median"]
    return [row(f"refresh of {len(codes)} codes", "ms", a, b, a / b, "at most 1.1", times)]


def bench_loader(rounds: int = 7) -> list[dict[str, Any]]:
    """Clips a second from the cache against decoding the same clips from their files."""
    from benchmarks.frames.decode import decode, frame_times
    from harness.training.context import Context

    context = Context(tiny("naive"))
    rows = context.stream.train_stream[0].indices[:48]
    frame, root, reader = context.table.frame, context.table.root, context.reader
    assert reader is not None  # the benchmark is decoded, not described

    def bare() -> None:
        for _, clip in frame.iloc[rows].iterrows():
            decode(root / clip["file"], frame_times(clip["start"], clip["stop"], context.benchmark.frames).tolist())

    times = interleaved({"harness": lambda: reader.read(rows), "bare": bare}, rounds)
    ours, other = (len(rows) / times[name]["median"] * 1e3 for name in ("harness", "bare"))
    return [row("loader (cached) against the decoder", "clips/s", ours, other, ours / other, "at least 0.9", times)]


def bench_waiting(rounds: int = 5) -> list[dict[str, Any]]:
    """Share of er's steps on cached moving digits spent waiting for data, with a loader worker or none."""
    import torch

    from harness.training.batches import Plan, batches
    from harness.training.loop import Run

    torch.set_num_threads(1)
    run = Run(tiny("er", "classifier.steps=40"), Path(tempfile.mkdtemp(prefix="bench-")))
    experience = run.experiences[0]
    phase = run.method.phases(experience)[0]
    source = phase.data()
    plan = Plan(phase, len(source), (0, 0, phase.name))
    run.method.phase_steps = 40 * (rounds + 1) * 2
    if phase.start is not None:
        phase.start()

    def share(workers: int) -> float:
        waited, began = 0.0, time.perf_counter()
        taken = batches(source, plan, 0, 40, workers)
        for _ in range(40):
            asked = time.perf_counter()
            batch = next(taken)
            waited += time.perf_counter() - asked
            phase.step(batch)
        return waited / (time.perf_counter() - began)

    shares: dict[int, list[float]] = {0: [], 1: []}
    for number in range(rounds + 1):
        for workers in shares:
            value = share(workers)
            if number:
                shares[workers].append(value)
    none, one = (spread(values)["median"] for values in shares.values())
    return [row("share of er's steps spent waiting for data (bare: with a loader worker)", "%", 100 * none, 100 * one,
                none / one, "at most 5 %", {str(k): v for k, v in shares.items()})]  # fmt: skip


def bench_models(words: list[str]) -> list[dict[str, Any]]:
    """Milliseconds a clip of training, encoding, decoding and predicting with the networks of a profile."""
    from harness.config.compose import request
    from harness.planning import speed

    config = next(iter(request(["methods=[frozen]", "memory.budget=64MB", *words]).runs.values()))
    seconds = speed.measure(config)
    return [
        row(f"{name}, a clip", "ms", 1e3 * value, None, None, "kept for the plan") for name, value in seconds.items()
    ]
