"""The harness from Python: scripts without a main guard, code with no file, and calls in odd places."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import harness
from harness.api import words_of
from harness.config.compose import request
from harness.run import main
from tests.tiny import CACHE, TINY

ROOT = Path(__file__).resolve().parent.parent
CACHED = {"paths": {"cache": str(CACHE)}}
SETTINGS: dict[str, Any] = {"preset": "smoke", "methods": ["naive"], "launcher": "inline", **CACHED}
# It says when it begins: a worker that imports the script again would say it a second time.
SCRIPT = f"""
import harness, sys
assert not {{"torch", "pandas", "numpy", "hydra"}} & set(sys.modules)
print("begins", __name__)
runs = harness.run({SETTINGS!r}, launcher="local", out="runs", memory={{"budget": "300kB"}})
print(len(runs.done), "done", runs.done[0].record.memory.budget)
"""
FAILS = """
from methods.contract import register
from methods.naive import Naive

@register("breaks")
class Breaks(Naive):
    "It breaks."
    def begin_classifier(self):
        raise ValueError("out of luck")
"""


def python(folder: Path, *arguments: str, said: str | None = None) -> subprocess.CompletedProcess[str]:
    """A Python of its own in a folder, as a user would start it; `said` comes on its standard input."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run([sys.executable, *arguments], input=said, capture_output=True, text=True, cwd=folder,
                          env=environment, timeout=100)  # fmt: skip


def test_a_script_needs_no_main_guard(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT.replace(str(CACHE), "cache"))  # whose videos are made by workers too
    done = python(tmp_path, "script.py")
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["begins __main__", "1 done 300000"]
    assert "(1 of 1 runs)" in done.stderr


def test_code_at_a_prompt_can_run_too(tmp_path):
    done = python(tmp_path, "-i", "-q", said=SCRIPT)
    assert done.stdout.splitlines() == ["begins __main__", "1 done 300000"], done.stderr


def test_python_and_the_shell_ask_for_the_same_runs(tmp_path):
    from_python = words_of(
        {"replicates": [0, 1], "compressor": {"steps": 7, "entries": (128, 256)}},
        {"er.codec": "jpeg", "methods": ["er", "cram"], "memory": {"budget": "80kB"}},
    )
    shell = ["replicates=[0,1]", "compressor.steps=7", "compressor.entries=128,256", "methods=[er,cram]",
             "memory.budget=80kB", "er.codec=jpeg"]  # fmt: skip
    assert sorted(from_python) == sorted(shell)
    assert request([*TINY, *from_python]).runs == request([*TINY, *shell]).runs


def test_a_second_call_runs_nothing_and_the_shell_finds_the_runs_done(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runs = harness.run(SETTINGS, out="runs")
    (file,) = tmp_path.glob("runs/*/record.json")
    written = file.stat().st_mtime_ns
    assert [run.run_id for run in runs.done] == [file.parent.name]
    assert harness.run(*TINY, methods=["naive"], out=Path("runs")).frame().equals(runs.frame())
    assert main([*TINY, "methods=[naive]", "out=runs"]) == 0
    assert file.stat().st_mtime_ns == written
    (sweep,) = tmp_path.glob("runs/sweeps/*.json")
    assert "methods=[naive]" in json.loads(sweep.read_text())["command"]
    assert harness.load("runs").done[0].run_id == file.parent.name
    assert harness.load().done[0].run_id == file.parent.name


def test_only_the_runs_asked_for_come_back(tmp_path):
    harness.run(SETTINGS, out=tmp_path)
    assert [run.method for run in harness.run({**SETTINGS, "methods": "joint"}, out=tmp_path).done] == ["joint"]
    assert len(harness.load(tmp_path).done) == 2
    assert harness.run(SETTINGS, out=tmp_path, plan=True).runs == ()
