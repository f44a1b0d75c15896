"""The harness from Python: scripts without a main guard, code with no file, and calls in odd places."""

import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

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


def test_a_failed_run_raises_and_keeps_the_others(tmp_path):
    (tmp_path / "mine.py").write_text(FAILS)
    with pytest.raises(harness.NotDone, match=r"1 of 2 runs are not done: .*breaks.* is failed: out of luck .*log.txt"):
        harness.run({**SETTINGS, "methods": ["naive", "breaks"]}, plugins=[tmp_path / "mine.py"], out=tmp_path / "out")
    with pytest.raises(harness.NotDone) as failed:
        harness.run({**SETTINGS, "methods": ["naive", "breaks"]}, plugins=[tmp_path / "mine.py"], out=tmp_path / "out")
    assert [run.state for run in failed.value.runs.runs] == ["done", "failed"]
    assert repr(failed.value.runs) == f"2 runs in {tmp_path / 'out'} (1 done, 1 failed)"
    assert "<table>" in failed.value.runs._repr_html_()


class Mine:
    """A method as it stands in a notebook's cell."""


@pytest.mark.parametrize(
    ("words", "settings", "said"),
    [
        ((), {"methods": ["crma"]}, "unknown method 'crma'; did you mean 'cram'"),
        ((), {"methods": ["cram"], "memory": {"budge": "80kB"}}, "unknown setting 'memory.budge'; did you mean"),
        (("replicates",), {}, "is not of the form name=value"),
        ((["cram"],), {}, "give words such as 'replicates=3' or a dict of settings, not ['cram']"),
        ((), {"methods": [Mine]}, "Mine is a class, and a run must be known by its file"),
        ((), {"methods": ["cram"], "out": object}, "out: object is a class"),
        ((), {"methods": ["cram"], "seeds": {1, 2}}, "seeds={1, 2} is not allowed: give a text, a number"),
        ((), {"methods": ["cram"], "seeds": ()}, "seeds=() is not allowed"),
        ((), {"methods": ["cram"], "classifier": {"rate": [0.1, 0.01]}}, "classifier.rate"),
        ((), {"methods": ["cram"], "out": ("a", "b")}, "out takes one value for the whole command"),
    ],
)
def test_a_wrong_word_is_one_line(tmp_path, monkeypatch, words, settings, said):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=re.escape(said)) as error:
        harness.run(*TINY, *words, settings)
    assert "\n" not in str(error.value)
    assert not list(tmp_path.iterdir())


def test_texts_with_odd_signs_arrive_as_they_are(tmp_path):
    odd = tmp_path / "it's (mine), [really]"
    odd.mkdir()
    (odd / "my method.py").write_text(FAILS)
    line = words_of({"methods": ["breaks"], "plugins": [odd / "my method.py"], "out": odd, "seeds": range(2)})
    asked = request([*TINY, *line])
    assert asked.execution.out == str(odd)
    assert [config.seed for config in asked.runs.values()] == [0, 1]


def test_runs_from_two_threads(tmp_path):
    outs = [tmp_path / "one", tmp_path / "other"]
    script = sys.modules["__main__"]
    failed: list[Exception] = []

    def go(out: Path) -> None:
        try:
            harness.run(SETTINGS, launcher="local", out=out)
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=go, args=(out,)) for out in outs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    assert [len(harness.load(out).done) for out in outs] == [1, 1]
    assert sys.modules["__main__"] is script  # the caller's script is back in its place


def test_what_a_module_offers():
    assert set(dir(harness)) == {"run", "load", "benchmark", "NotDone"}
    assert callable(harness.run)
    with pytest.raises(AttributeError, match="from Python: run, load"):
        harness.runs  # noqa: B018
