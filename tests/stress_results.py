"""Long counts of results: many records to a table and a report, every preset to its report."""

import html
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from harness.config.presets import FOLDER, find
from tests.synthetic import record, sweep, write
from tests.test_presets import TINY
from tests.tiny import CACHE

METHODS = ("cram", "no_refresh", "no_snapshot", "frozen", "er")
BUDGETS = (200_000, 400_000, 700_000, 1_000_000)


def command(cache: Path, *words: str) -> tuple[float, float]:
    """Wall and CPU seconds of one command, which must succeed; what it prints is shown only if it fails."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    began = time.monotonic()
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache)}
    done = subprocess.run([sys.executable, "-m", *words], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, f"{' '.join(words)}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
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


def presets(number: float = 100) -> None:
    """Every preset (or the first so many) on moving digits, tiny and with one replicate, and the report it asks for."""
    names = sorted(file.stem for file in FOLDER.glob("*.yaml") if file.stem != "paper")  # that needs real videos
    with tempfile.TemporaryDirectory() as folder:
        for name in names[: int(number)]:
            out = Path(folder) / name
            words = [f"preset={name}", *TINY, f"paths.cache={CACHE}", f"out={out}"]
            ran, _ = command(Path(folder) / "cache", "harness.run", *words)
            shown, _ = command(Path(folder) / "cache", "results.report", str(out))
            preset, page = find(name), (out / "report.html").read_text()
            asked = set(preset.report.get("plots", []))
            absent = {plot for plot in asked if f"{plot} is not drawn" in page}
            print(f"{name}: {len(list(out.glob('*/record.json')))} runs, {ran:.0f} s, report {shown:.0f} s, "
                  f"{len(asked - absent)} plots{f', not drawn: {absent}' if absent else ''}")  # fmt: skip
            assert preset.question in html.unescape(page)
            assert page.count("<img ") >= len(asked - absent)
            assert "Runs that are not counted" not in page


CHECKS = {"records": records, "presets": presets}
