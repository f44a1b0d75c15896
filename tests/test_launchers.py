"""Launchers: those that are built in, a user's own, and what happens at a breakpoint."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from harness.common.folders import RunFolder
from harness.common.machine import gpus, slots
from harness.launching import LAUNCHERS
from harness.run import main
from tests.tiny import TINY

# Runs runs one by one, each in a Python of its own.
LAUNCHER = """
import subprocess, sys
from harness.launching import LAUNCHERS
from harness.launching.launcher import Launcher

@LAUNCHERS.register("one_by_one")
class OneByOne(Launcher):
    '''Each run in a Python of its own, one after the other.'''

    def check(self, how, runs, planned):
        if how.workers > 1:
            raise ValueError("launcher=one_by_one has one worker; give workers=1")

    def start(self, folders, how):
        for folder in folders:
            subprocess.run([sys.executable, "-m", "harness.run_folders", folder])
        return []
"""
METHOD = """
from methods import METHODS
from methods.naive import Naive

@METHODS.register("stops")
class Stops(Naive):
    def begin_classifier(self):
        breakpoint()
        super().begin_classifier()
"""
# A method that says which GPU its process may see.
SEES = """
import os
from methods import METHODS
from methods.naive import Naive

@METHODS.register("sees")
class Sees(Naive):
    def report(self, experience):
        return {"gpu": int(os.environ["CUDA_VISIBLE_DEVICES"])}
"""


@pytest.fixture
def plugin(tmp_path: Path) -> str:
    (tmp_path / "mine.py").write_text(LAUNCHER)
    return f"plugins={tmp_path / 'mine.py'}"


def test_a_plug_in_may_bring_a_launcher(tmp_path, plugin, capsys):
    words = [*TINY, plugin, "methods=[naive]", f"out={tmp_path / 'out'}", "launcher=one_by_one"]
    assert main([*words, "workers=2"]) == 2
    assert "launcher=one_by_one has one worker" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
    assert main([*words, "workers=1"]) == 0
    (file,) = (tmp_path / "out").glob("*/record.json")
    assert json.loads(file.read_text())["config"]["plugins"] == []  # how a run is launched is no part of what it is
    assert LAUNCHERS.summary("one_by_one").startswith("Each run in a Python of its own")


def test_launchers_are_known_by_name_and_checked_by_class(tmp_path, capsys):
    assert LAUNCHERS.names() == ["local", "inline", "slurm"]
    file = tmp_path / "mine.py"
    for text, said in (
        ("LAUNCHERS.register('mine')(dict)", "is not a harness.launching.launcher.Launcher"),
        ("LAUNCHERS.register('local')(LAUNCHERS.get('inline'))", "is built in, and its name cannot be taken"),
    ):
        file.write_text(f"from harness.launching import LAUNCHERS\n{text}\n")
        assert main([*TINY, f"plugins={file}", "methods=[naive]", f"out={tmp_path}"]) == 2
        assert said in capsys.readouterr().err


def test_names_of_launchers_cost_nothing():
    code = (
        "import sys, harness.launching as l; print(l.LAUNCHERS.names(), 'torch' in sys.modules, 'rich' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parents[1])
    assert done.stdout.strip() == "['local', 'inline', 'slurm'] False False"


def test_a_breakpoint_where_nobody_can_answer_says_which_word_to_add(tmp_path, capsys):
    (tmp_path / "mine.py").write_text(METHOD)
    words = [*TINY, f"plugins={tmp_path / 'mine.py'}", "methods=[stops]", f"out={tmp_path / 'out'}"]
    assert main([*words, "launcher=local"]) == 1
    assert "launcher=inline" in capsys.readouterr().err
    (file,) = (tmp_path / "out").glob("*/status.json")
    assert "breakpoint" in (RunFolder(file.parent).status().reason or "")


def test_a_breakpoint_inline_opens_the_debugger(tmp_path):
    (tmp_path / "mine.py").write_text(METHOD)
    words = [*TINY, f"plugins={tmp_path / 'mine.py'}", "methods=[stops]", f"out={tmp_path / 'out'}"]
    command = [sys.executable, "-m", "harness.run", *words, "launcher=inline", "debug=true"]
    done = subprocess.run(command, input="p 'it is ' + self.name\nc\nc\nc\n", capture_output=True, text=True)
    assert "it is stops" in done.stdout
    assert done.returncode == 0, done.stderr


def test_each_run_sees_a_gpu_of_its_own(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(SEES)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "3, 5")
    words = [*TINY, f"plugins={tmp_path / 'mine.py'}", "methods=[sees]", "replicates=2", f"out={tmp_path / 'out'}"]
    assert main([*words, "launcher=local"]) == 0
    records = [json.loads(file.read_text()) for file in (tmp_path / "out").glob("*/record.json")]
    assert {record["execution"]["workers"] for record in records} == {2}  # not the cores: a run on each GPU
    assert sorted(record["reported"]["gpu"][0] for record in records) == [3, 5]


def test_the_driver_names_the_gpus_and_runs_share_them(tmp_path, monkeypatch):
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\necho GPU-aa; echo GPU-bb\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    assert gpus() == ["GPU-aa", "GPU-bb"]
    assert slots("auto", 2) == ["GPU-aa", "GPU-bb"] * 2
    assert slots("cpu", 2) == []
    (tmp_path / "nvidia-smi").write_text("#!/bin/sh\necho no driver; exit 9\n")
    assert gpus() == []


def test_gpus_of_a_job_that_no_run_would_use_are_refused(tmp_path, capsys):
    words = [*TINY, "methods=[naive]", f"out={tmp_path}", "launcher=slurm", "plan=true", "slurm.gpus=8"]
    assert main(words) == 2
    assert "so 7 would idle; give slurm.gpus=1, or slurm.runs_per_job=8 or more" in capsys.readouterr().err
    assert main([*words, "slurm.runs_per_job=8"]) == 0
