"""Stored bytes of codes against their information, a buffer filled to its budget, and the start of a command."""

import json
import math
import statistics
import subprocess
import sys
import time
from typing import Any

from harness.benchmarking.timing import row
from harness.common.units import parse_bytes


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


def bench_fill(size: str) -> list[dict[str, Any]]:
    """Fill, sample and rewrite a buffer of 8,232-byte clips; growth of resident memory against the budget `size`."""
    budget = parse_bytes(size, "budget")
    if budget is None:
        raise ValueError("budget=none: a buffer is filled to a number of bytes, such as 2GB")
    code = f"from harness.benchmarking.storage import fill; fill({budget})"
    text = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    seen = json.loads(text)
    more = {key: seen[key] for key in ("clips", "fill_s", "sample_ms", "rewrite_s")}
    ratio = seen["growth"] / budget
    return [row("resident growth of a full buffer", "bytes", seen["growth"], budget, ratio, "at most 1.1", more)]


def fill(budget: int) -> None:
    """Run in a process of its own; prints JSON. The re-encoder returns given indices: its own cost is not measured."""
    import numpy as np
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
        batch = buffer.take(np.arange(first, min(first + chunk, len(buffer))))
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
