"""Benchmarks: which clips there are, in which order they come, and the frames behind them. No torch in this room.

At the top there is one file a benchmark (moving_digits, epic_kitchens, kinetics, vclimb, video_csv) and what they
share: `registry` (what can be run), `settings`, `clips` (the clip table), `stream` (tasks), `protocols` (rules of a
comparison), `annotations` (reading CSV strictly), `recorded` (videos on disk), `prepare` (the command). `frames/` finds
and decodes videos and keeps the frames.

The way of the data: annotations -> ClipTable -> Stream of experiences (rows of the table) -> Reader (frames of rows).
Of the other rooms only `harness.common` may be imported.
"""

from benchmarks.benchmark import Benchmark, Reader
from benchmarks.registry import BENCHMARKS, SETTINGS, BenchmarkSource, default_cache, describe, load, parse
from benchmarks.settings import BenchmarkSettings

__all__ = [
    "BENCHMARKS",
    "SETTINGS",
    "Benchmark",
    "BenchmarkSettings",
    "BenchmarkSource",
    "Reader",
    "default_cache",
    "describe",
    "load",
    "parse",
]
