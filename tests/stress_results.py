"""Long counts of results: many records to a table and a report."""

import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from tests.synthetic import record, sweep, write

METHODS = ("cram", "no_refresh", "no_snapshot", "frozen", "er")
BUDGETS = (200_000, 400_000, 700_000, 1_000_000)


def command(cache: Path, *words: str) -> tuple[float, float]:
    """Wall and CPU seconds of one command of the results room."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.monotonic()
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache)}
    subprocess.run([sys.executable, "-m", *words], check=True, stdout=subprocess.DEVNULL, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return time.monotonic() - began, cpu


def records(number: float = 2000) -> None:
    """A table of this many 5-task records under 5 CPU s once validated, a report under 60 CPU s and 5 MB."""
    replicates = max(1, round(number / len(METHODS) / len(BUDGETS)))
    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        out, cache = Path(folder) / "runs", Path(folder) / "cache"
        made = [
            record(method, 100 + r, float(rng.uniform(0.5, 0.9)), config={"memory": {"budget": budget}})
            for method in METHODS for budget in BUDGETS for r in range(replicates)
        ]  # fmt: skip
        sweep(out, write(out, made), list(METHODS))
        figures = {}
        for name, module in (("table, cold", "tables"), ("table, warm", "tables"), ("report", "report")):
            figures[name] = command(cache, f"results.{module}", str(out))
            print(f"{len(made):,} records, {name}: {figures[name][0]:.1f} s, {figures[name][1]:.1f} CPU s")
        size = (out / "report.html").stat().st_size / 1e6
        print(f"report: {size:.2f} MB")
        assert figures["table, warm"][1] < 5
        assert figures["report"][1] < 60
        assert size < 5


CHECKS = {"records": records}
