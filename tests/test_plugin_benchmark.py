"""A benchmark and a protocol out of a user's file: they run, are listed, planned and shown like the built-in ones."""

from pathlib import Path

import numpy as np
import pytest

import benchmarks
from benchmarks import prepare, protocols
from benchmarks.memory import MemoryReader
from harness import list as listing
from harness.common import plugins
from harness.run import main
from results.load import load
from tests.pages import template

BARS = template("bars.py")  # of docs/writing-a-benchmark.md


@pytest.fixture
def bars(tmp_path) -> Path:
    file = tmp_path / "bars.py"
    file.write_text(BARS)
    return file


def test_it_runs_and_stands_in_the_table(bars, out, tmp_path, capsys):
    words = ["methods=[naive]", "protocol=bars-2", f"plugins={bars}", "classifier.steps=3", f"out={out}",
             f"paths.cache={tmp_path / 'cache'}", "launcher=inline"]  # fmt: skip
    assert main([*words, "plan=true"]) == 0
    assert "bars-2/v1 (bars, direction, scratch): 2 tasks, 4 classes" in capsys.readouterr().out
    assert main(words) == 0
    assert "Protocol bars-2/v1" in capsys.readouterr().out
    (found,) = load(out).runs
    assert found.record.protocol.id == "bars-2/v1"
    assert [plugin["path"] for plugin in found.record.config["plugins"]] == [str(bars)]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["benchmarks"], "Bars that move in one of four directions."),
        (["benchmarks", "bars"], "benchmark.clips=3                  clips of each direction and split"),
        (["protocols"], "benchmark=bars label=direction tasks=2"),
    ],
)
def test_it_is_listed(bars, words, said, capsys):
    assert listing.main([*words, f"plugins=[{bars}]"]) == 0
    assert said in capsys.readouterr().out


def test_there_is_nothing_to_prepare(bars, tmp_path, capsys):
    assert prepare.main(["protocol=bars-2", f"plugins={bars}", f"paths.cache={tmp_path}"]) == 0
    assert "bars: 36 clips are ready" in capsys.readouterr().out
    assert prepare.main(["benchmark=bars", f"plugins={bars}", "share=0/2"]) == 2
    assert "benchmark bars is built in one piece" in capsys.readouterr().err


def test_it_is_a_benchmark_like_any_other(bars, tmp_path):
    plugins.load([str(bars)])
    found = benchmarks.load("bars", {"clips": 2}, tmp_path)
    assert found.reader.read(np.array([3, 5])).shape == (2, 8, 32, 32, 3)
    part = benchmarks.load("bars", {"classes": ["up", "left"], "limit": 1}, tmp_path)
    assert part.table.frame["direction"].value_counts().to_dict() == {"up": 3, "left": 3}
    rows = {name: row for row, name in enumerate(benchmarks.load("bars", {}, tmp_path).table.frame["sample_id"])}
    whole = benchmarks.load("bars", {}, tmp_path).reader
    for row, name in enumerate(part.table.frame["sample_id"]):
        assert (part.reader.read(np.array([row])) == whole.read(np.array([rows[name]]))).all()
    assert protocols.identify("bars", "direction", 2, {"clips": 3}) == "bars-2/v1"
    assert protocols.identify("bars", "direction", 2, {"clips": 3, "limit": 2}) == "custom"


def test_what_is_no_benchmark_is_refused(tmp_path):
    for text, message in (
        ("from benchmarks import BENCHMARKS\nBENCHMARKS.register('x')(int)", "not a benchmarks.registry.Benchmark"),
        (BARS.replace('register("bars")', 'register("kinetics")'), "benchmark 'kinetics' is built in"),
        (BARS.replace('name="bars-2"', 'name="k700-10"'), "protocol 'k700-10/v1' is built in"),
    ):
        file = tmp_path / "wrong.py"
        file.write_text(text)
        with pytest.raises(ValueError, match=message):
            plugins.load([str(file)])
    with pytest.raises(ValueError, match=r"clips must be uint8 \[N, T, H, W, 3\]"):
        MemoryReader(np.zeros((2, 8, 32, 32, 3)))
