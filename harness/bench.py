"""Speed of this machine, measured side by side: `python -m harness.bench [only=step,refresh,...] [out=bench.json]`.

Each comparison interleaves its two sides in one run and reports medians and quartiles of processor milliseconds, so
that a noisy neighbour meets both alike.
"""

import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness import check_packages

HELP = """usage: python -m harness.bench [only=NAME[,NAME...]] [out=FILE.json] [budget=2GB]

step      a training step of er in the harness against the same step in a bare PyTorch loop
refresh   cram's refresh phase against its decode and encode forward passes
loader    the cached loader against the bare decoder, clips a second
videos    long 1080p and short 340x256 videos, decoded once and read from the cache, against the bare decoder
waiting   share of a training step that is spent waiting for data
models    seconds a clip of each kind of step with settings of harness.run (profile=...); kept for plan=true's hours
storage   bytes of stored codes against their information
fill      a buffer of 8,232-byte clips filled, sampled and rewritten at `budget`
start     start-up of `python -m harness.run --help`"""


def interleaved(sides: dict[str, Callable[[], None]], rounds: int) -> dict[str, dict[str, float]]:
    """Processor milliseconds of each side: median and quartiles over `rounds`, taken in turn after one warm-up."""
    taken: dict[str, list[float]] = {name: [] for name in sides}
    for round_number in range(rounds + 1):
        for name, side in sides.items():
            start = time.process_time()
            side()
            if round_number:
                taken[name].append((time.process_time() - start) * 1e3)
    return {name: spread(values) for name, values in taken.items()}


def spread(values: list[float]) -> dict[str, float]:
    quartiles = statistics.quantiles(values, n=4)
    return {"median": statistics.median(values), "low": quartiles[0], "high": quartiles[2]}


def row(
    name: str, unit: str, ours: float, other: float | None, ratio: float | None, goal: str, more: Any = None
) -> dict[str, Any]:
    return {"name": name, "unit": unit, "harness": ours, "bare": other, "ratio": ratio, "goal": goal, "detail": more}


def _tiny(method: str, *words: str) -> dict[str, Any]:
    """Config of one run of the small profile on twenty actions."""
    from harness.config.compose import request

    words = (
        f"methods=[{method}]",
        "benchmark.tasks=5",
        "benchmark.actions=20",
        "benchmark.clips_per_class=100",
        *words,
    )
    return next(iter(request(list(words)).runs.values()))


def bench_step(rounds: int = 15) -> list[dict[str, Any]]:
    """One step of er, replay included: harness loop (data, step, log, progress) against a hand-written loop."""
    import torch
    import torch.nn.functional as F

    from harness.training.loop import Run
    from methods.networks.small import PixelClassifier

    steps = 20
    config = _tiny("er", f"classifier.steps={steps}")
    folder = Path(tempfile.mkdtemp(prefix="bench-"))
    run = Run(config, folder)
    run.next_experience()
    spec, clips = run.context.spec, run.experiences()[1].clips
    memory = torch.from_numpy(clips.reader.read(clips.rows[:28]))
    old = torch.from_numpy(clips.targets[:28])
    model = PixelClassifier(spec.clip_shape, spec.compressor, spec.classifier.width, spec.n_classes)
    bare = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=0.0, fused=True)
    generator = torch.Generator().manual_seed(0)

    def bare_loop() -> None:
        for _ in range(steps):
            index = torch.randint(len(clips), (16,), generator=generator).numpy()
            drawn = torch.randint(28, (32,), generator=generator)
            x = torch.cat([torch.from_numpy(clips.reader.read(clips.rows[index])), memory[drawn]])
            y = torch.cat([torch.from_numpy(clips.targets[index]), old[drawn]])
            loss = F.cross_entropy(model(x), y)
            bare.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            bare.step()

    experience = run.experiences()[1]
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
    import torch

    from harness.training.loop import Run

    run = Run(_tiny("cram", "compressor.steps=5", "classifier.steps=5"),
              Path(tempfile.mkdtemp(prefix="bench-")))  # fmt: skip
    for _ in range(3):
        run.next_experience()
    method, experience = run.method, run.experiences()[3]
    method.snapshot = method.compressor.snapshot()
    phase = next(p for p in method.phases(experience) if p.name == "refresh")
    codes = method.buffer.take(range(len(method.buffer))).codes

    def ours() -> None:
        run.position["step"] = 0
        run.one_phase(experience, phase)

    def forward() -> None:
        with torch.no_grad():
            for chunk in codes.split(method.spec.chunk):
                method.compressor.encode(method.snapshot.decode(chunk))

    times = interleaved({"harness": ours, "bare": forward}, rounds)
    a, b = times["harness"]["median"], times["bare"]["median"]
    return [row(f"refresh of {len(codes)} codes", "ms", a, b, a / b, "at most 1.1", times)]


def bench_loader(rounds: int = 7) -> list[dict[str, Any]]:
    """Clips a second from the cache against decoding the same clips from their files."""
    from benchmarks.frames.decode import decode, frame_times
    from harness.training.context import Context

    context = Context(_tiny("naive"))
    rows = context.stream.train_stream[0].indices[:48]
    frame, root = context.table.frame, context.table.root

    def bare() -> None:
        for _, clip in frame.iloc[rows].iterrows():
            decode(root / clip["file"], frame_times(clip["start"], clip["stop"], context.benchmark.frames))

    times = interleaved({"harness": lambda: context.reader.read(rows), "bare": bare}, rounds)
    ours, other = (len(rows) / times[name]["median"] * 1e3 for name in ("harness", "bare"))
    return [row("loader (cached) against the decoder", "clips/s", ours, other, ours / other, "at least 0.9", times)]


def bench_storage() -> list[dict[str, Any]]:
    """Stored bytes a clip against its information, n * log2(entries) / 8, labels and ids apart."""
    import numpy as np
    import torch

    from methods.contract import Batch
    from methods.forms.codes import CodeRows
    from methods.shared.buffers import Buffer

    rows = []
    for shape, entries in (((2, 8, 8, 1), 256), ((7, 14, 14, 6), 256), ((7, 14, 14, 1), 1024), ((7, 14, 14, 1), 4096)):
        bits, n = math.ceil(math.log2(entries)), 64
        buffer = Buffer(CodeRows(shape, bits), n, torch.Generator())
        ids = torch.arange(n, dtype=torch.int32)
        buffer.offer(Batch(target=ids.long() % 4, sample_id=ids), torch.randint(entries, (n, *shape)))
        stored = buffer.state()["data"].nbytes / n
        information = int(np.prod(shape)) * math.log2(entries) / 8
        what = f"code {'x'.join(map(str, shape))}, {entries} entries"
        rows.append(row(what, "bytes", stored, information, stored / information, "at most 1.01"))
    return rows


def bench_fill(budget: int) -> list[dict[str, Any]]:
    """Fill, sample and rewrite a buffer of 8,232-byte clips; growth of resident memory against the budget."""
    code = f"from harness.bench import fill; fill({budget})"
    text = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    seen = json.loads(text)
    more = {key: seen[key] for key in ("clips", "fill_s", "sample_ms", "rewrite_s")}
    ratio = seen["growth"] / budget
    return [row("resident growth of a full buffer", "bytes", seen["growth"], budget, ratio, "at most 1.1", more)]


def fill(budget: int) -> None:
    """Run in a process of its own; prints JSON. The re-encoder returns given indices: its own cost is not measured."""
    import psutil
    import torch

    from methods.contract import Batch
    from methods.forms.codes import CodeRows
    from methods.shared.buffers import LABEL_BYTES, Buffer

    torch.set_num_threads(1)
    rows, chunk = CodeRows((7, 14, 14, 6), 8), 256
    generator = torch.Generator().manual_seed(0)
    given = torch.randint(256, (chunk, *rows.shape), generator=generator)
    ids = torch.arange(chunk, dtype=torch.int32)
    before = psutil.Process().memory_info().rss
    buffer = Buffer(rows, budget // (rows.row_bytes + LABEL_BYTES), generator)
    start = time.process_time()
    while len(buffer) < buffer.capacity:
        n = min(chunk, buffer.capacity - len(buffer))
        buffer.offer(Batch(target=ids[:n].long() % 40, sample_id=ids[:n]), given[:n])
    filled = time.process_time()
    for _ in range(100):
        buffer.sample(32)
    sampled = time.process_time()
    for first in range(0, len(buffer), chunk):
        batch = buffer.take(range(first, min(first + chunk, len(buffer))))
        buffer.write(batch.slots, given[: len(batch)])
    done = time.process_time()
    growth = psutil.Process().memory_info().rss - before  # memory is kept to the end, so this is the peak too
    print(json.dumps({"growth": growth, "clips": len(buffer), "fill_s": filled - start,
                      "sample_ms": (sampled - filled) * 10, "rewrite_s": done - sampled}))  # fmt: skip


def bench_start(rounds: int = 7) -> list[dict[str, Any]]:
    """Wall milliseconds of --help against a bare start of Python."""
    taken: dict[str, list[float]] = {"help": [], "python": []}
    commands = {"help": [sys.executable, "-m", "harness.run", "--help"], "python": [sys.executable, "-c", "pass"]}
    for _ in range(rounds):
        for name, command in commands.items():
            start = time.perf_counter()
            subprocess.run(command, capture_output=True, check=True)
            taken[name].append((time.perf_counter() - start) * 1e3)
    ours, other = (statistics.median(taken[name]) for name in ("help", "python"))
    return [row("start-up of --help", "ms", ours, other, ours / other, "well under 1,000 ms")]


def bench_models(words: list[str]) -> list[dict[str, Any]]:
    """Milliseconds a clip of training, encoding, decoding and predicting with the networks of a profile."""
    from harness.config.compose import request
    from harness.planning import speed

    config = next(iter(request(["methods=[frozen]", "memory.budget=64MB", *words]).runs.values()))
    seconds = speed.measure(config)
    return [
        row(f"{name}, a clip", "ms", 1e3 * value, None, None, "kept for the plan") for name, value in seconds.items()
    ]


def main(words: list[str]) -> int:
    """Run the comparisons asked for, print a table, write the JSON."""
    if words and words[0] in ("--help", "-h"):
        print(HELP)
        return 0
    check_packages()
    from harness.benchmarking.videos import bench_videos, bench_waiting
    from harness.common.units import parse_bytes
    from harness.common.words import nearest

    given = dict(word.partition("=")[::2] for word in words)
    own = ("only", "out", "budget")
    every = {"step": bench_step, "refresh": bench_refresh, "loader": bench_loader, "videos": bench_videos,
             "waiting": bench_waiting, "storage": bench_storage, "start": bench_start,
             "fill": lambda: bench_fill(parse_bytes(given.get("budget", "2GB")))}  # fmt: skip
    wanted = given.get("only", ",".join(every)).strip("[]").split(",")
    settings = [word for word in words if word.partition("=")[0] not in own]
    every["models"] = lambda: bench_models(settings)
    wrong = [name for name in wanted if name not in every] + ([] if wanted == ["models"] else settings)
    for name in wrong:
        print(f"harness.bench: unknown '{name}'{nearest(name.partition('=')[0], [*every, *own])}", file=sys.stderr)
        return 2
    try:
        rows = [line for name in wanted for line in every[name]()]
    except ValueError as error:
        print(f"harness.bench: {error}", file=sys.stderr)
        return 2
    _print(rows)
    if "out" in given:
        Path(given["out"]).write_text(json.dumps(rows, indent=1) + "\n")
    return 0


def _print(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console() if sys.stdout.isatty() else Console(width=110)
    table = Table("what", "unit", title="Speed of this machine (medians, interleaved)")
    for name in ("harness", "bare", "ratio"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("goal")
    for line in rows:
        numbers = (("harness", ",.2f"), ("bare", ",.2f"), ("ratio", ".3f"))
        shown = ("-" if line[key] is None else format(line[key], how) for key, how in numbers)
        table.add_row(line["name"], line["unit"], *shown, line["goal"])
    console.print(table)
    console.print("milliseconds of a round where no unit is named: median (lowest to highest)")
    for line in rows:
        if line["detail"]:
            console.print(f"{line['name']}: {_words(line['detail'])}", markup=False, highlight=False, soft_wrap=True)


def _words(detail: Any) -> str:
    """Measurements behind a row, in the order and units of their names; spread as lowest to highest."""
    if isinstance(detail, dict) and detail.keys() == {"median", "low", "high"}:
        return "{} ({} to {})".format(*map(_words, (detail["median"], detail["low"], detail["high"])))
    if isinstance(detail, dict):
        return "; ".join(f"{name} {_words(value)}" for name, value in detail.items())
    if isinstance(detail, list | tuple):
        return ", ".join(_words(value) for value in detail)
    return str(detail) if not isinstance(detail, float) else f"{detail:,.0f}" if detail >= 1000 else f"{detail:.3g}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
