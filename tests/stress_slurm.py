"""Sweeps on a Slurm of one node that is disturbed meanwhile, and what submission and status cost for 1,000 runs."""

import contextlib
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import pytest

from harness.storage.record import comparable, differences
from slurm import cancel, retry
from slurm.jobs import job_of, runs
from tests.slurm_cluster import Cluster, put_fake_slurm, running

METHODS = ("slow", "er", "flaky", "unlucky")
PER_JOB = 4
LOOK_SECONDS, DISTURB_SECONDS = 2, 8

# flaky fails until a file is there, as a run with a bug that is mended; unlucky always does, by an error or a crash.
PLUGIN = """
import os, signal, time
from methods.contract import register
from methods.naive import Naive

@register("flaky")
class Flaky(Naive):
    def begin_classifier(self):
        if not os.path.exists(MENDED):
            raise RuntimeError("not mended yet")
        super().begin_classifier()

@register("slow")
class Slow(Naive):
    def train_classifier(self, batch, n_current):
        time.sleep(float(os.environ.get("SECONDS_A_STEP", 0.5)))
        return super().train_classifier(batch, n_current)

@register("unlucky")
class Unlucky(Naive):
    def begin_classifier(self):
        if self.generator.initial_seed() % 2:
            os.kill(os.getpid(), signal.SIGSEGV)
        raise RuntimeError("out of luck")
"""


class Sweep:
    """The runs of one sweep as its user sees them, looked at and disturbed."""

    def __init__(self, folder: Path, cluster: Cluster, number: int):
        self.out, self.cluster, self.number, self.chance = folder / "out", cluster, number, random.Random(number)
        self.cancelled: set[str] = set()
        self.records: dict[str, tuple[int, int]] = {}
        self.looks, self.deeds = 0, Counter()
        self.held: dict[str, float] = {}

    def look(self) -> Counter:
        """States of all runs; AssertionError where one cannot be right."""
        self.looks += 1
        found, note = runs(self.out)
        assert note is None or "squeue" in note, note
        assert len(found) == self.number, f"{len(found)} runs of {self.number}"
        for run in found:
            file = self.out / run.run_id / "record.json"
            assert (run.state == "done") <= file.exists(), f"{run.run_id} is said to be done and has no record"
            if run.state == "done":
                kept = self.records.setdefault(run.run_id, (file.stat().st_ino, file.stat().st_mtime_ns))
                assert kept == (file.stat().st_ino, file.stat().st_mtime_ns), f"{run.run_id} was done twice"
            if run.run_id in self.records:
                assert run.state == "done", f"{run.run_id} was done and is now {run.state}"
            if run.state == "lost" and note is None:
                assert run.job in self.cancelled, f"{run.run_id} is lost: {run.reason}"
        return Counter(run.state for run in found)

    def disturb(self) -> None:
        """One of the things that happen on a cluster."""
        going = [job for job, state in self.cluster.jobs().items() if state == "RUNNING" and job in self.ours()]
        deed = self.chance.choice(("pre-empted", "told to save", "cancelled", "controller restarted", "node drained"))
        if deed == "controller restarted":
            self.cluster.restart_controller()
        elif deed == "node drained":
            host = self.cluster("sinfo", "-h", "-o", "%n").split()[0]
            self.cluster("scontrol", "update", f"NodeName={host}", "State=DRAIN", "Reason=test")
            time.sleep(LOOK_SECONDS)
            self.cluster("scontrol", "update", f"NodeName={host}", "State=RESUME")
        elif not going:
            return
        elif deed == "pre-empted":
            self.cluster("sbatch", "--partition=high", "--cpus-per-task=2", "--output=/dev/null", "--wrap", "sleep 1")
        elif deed == "told to save":
            with contextlib.suppress(subprocess.SubprocessError):  # scancel waits for a job that ends just now
                self.cluster("scancel", "--signal=USR2", self.chance.choice(going))
        else:
            if len(self.cancelled) >= max(len(self.ours()) // 4, 1):
                return
            job = self.chance.choice(going)
            self.cancelled.add(job)
            self.cluster("scancel", job)
        self.deeds[deed] += 1

    def spare_the_wait(self) -> None:
        """Slurm holds what it has queued again for two minutes: release it some seconds later."""
        held = [
            line.split()[0] for line in self.cluster("squeue", "-hr", "-o", "%i %r").splitlines() if "Begin" in line
        ]
        self.held = {job: self.held.get(job, time.monotonic()) for job in held}
        for job, since in self.held.items():
            if time.monotonic() > since + 5:
                with contextlib.suppress(subprocess.CalledProcessError):  # it may have started
                    self.cluster("scontrol", "update", f"JobId={job}", "StartTime=now")

    def ours(self) -> set[str]:
        return set(job_of(self.out).values())

    def until_over(self, seconds: float, disturbed: bool) -> Counter:
        """Look now and then until no run is queued, running or pre-empted."""
        deadline, next_deed = time.monotonic() + seconds, time.monotonic() + DISTURB_SECONDS
        while (states := self.look()).keys() & {"queued", "running", "preempted"}:
            assert time.monotonic() < deadline, f"after {seconds} s: {dict(states)}"
            if disturbed and time.monotonic() > next_deed:
                self.disturb()
                next_deed = time.monotonic() + DISTURB_SECONDS
            self.spare_the_wait()
            time.sleep(LOOK_SECONDS)
        return states


def slurm(number: int = 200) -> None:
    """A sweep of so many tiny runs, with all that happens on a cluster: none lost, none done twice, retry ends it."""
    folder = Path(tempfile.mkdtemp(prefix="sweep-"))
    mended = folder / "mended"
    (folder / "mine.py").write_text(PLUGIN.replace("MENDED", repr(str(mended))))
    with running(folder) as cluster:
        of = Sweep(folder, cluster, number)
        words = ["preset=smoke", "benchmark.clips_per_class=1", f"plugins={folder / 'mine.py'}", f"out={of.out}",
                 f"methods=[{','.join(METHODS)}]", f"replicates={number // len(METHODS)}", "launcher=slurm",
                 "slurm.gpus=0", "slurm.cpus=1", "slurm.memory=0.5", f"slurm.runs_per_job={PER_JOB}"]  # fmt: skip
        command = [sys.executable, "-m", "harness.run", *words]
        twice = [subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
                 for _ in range(2)]  # fmt: skip
        said = [each.communicate()[1] for each in twice]
        assert [each.returncode for each in twice] == [0, 0], said
        assert len(of.ours()) == len(cluster.jobs()) == -(-number // PER_JOB), "submitted twice"
        first = of.until_over(60 * number, disturbed=True)
        print(f"  {of.looks} looks at the status, {dict(of.deeds)}; then {dict(first)}", flush=True)
        assert cancel.main([str(of.out)]) == 0
        mended.touch()
        assert retry.main([str(of.out)]) == 0
        last = of.until_over(60 * number, disturbed=False)
        print(f"  after slurm.retry, the bug mended: {dict(last)}", flush=True)
    failed = [run for run in runs(of.out)[0] if run.state != "done"]
    assert {run.method for run in failed} == {"unlucky"}, failed
    assert all("out of luck" in run.reason or "signal 11" in run.reason for run in failed), failed
    restarts = Counter(json.loads((of.out / run / "record.json").read_text())["restarts"] for run in of.records)
    print(f"  {last['done']} done once, {last['lost']} lost, {last['failed']} fail as they should; "
          f"restarts: {dict(restarts)}")  # fmt: skip
    assert (last["done"], last["lost"]) == (number * 3 // 4, 0)


def submit(number: int = 1000) -> None:
    """So many runs are submitted (to a fake sbatch) within 10 s and looked up within 2 s of the client's time."""
    folder = Path(tempfile.mkdtemp(prefix="submit-"))
    words = ["preset=smoke", "methods=[naive]", f"replicates={number}", f"out={folder / 'out'}", "launcher=slurm"]
    took = {}
    with pytest.MonkeyPatch.context() as patch:
        put_fake_slurm(folder, patch)
        for what, command in {
            "the whole command, torch's import and the table with it": ["harness.run", *words],
            "slurm.status": ["slurm.status", str(folder / "out"), "json=true"],
        }.items():
            begun, before = time.monotonic(), sum(os.times()[:4])
            done = subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
            took[what] = sum(os.times()[:4]) - before
            print(f"  {what}: {took[what]:.2f} s of processor time, {time.monotonic() - begun:.2f} s by the clock")
    assert json.loads(done.stdout)["states"]["queued"] == number
    submitted, looked = took.values()
    assert submitted < 10
    assert looked < 2


def timeouts(number: int = 3) -> None:
    """A run of some minutes in jobs of so many: each time-out saves it and queues it again; the record is the same."""
    folder = Path(tempfile.mkdtemp(prefix="timeouts-"))
    (folder / "mine.py").write_text(PLUGIN.replace("MENDED", "''"))
    words = ["preset=smoke", "benchmark.clips_per_class=1", f"plugins={folder / 'mine.py'}", "methods=[slow]"]
    words += ["classifier.steps=60"]
    env = os.environ | {"SECONDS_A_STEP": "0"}
    alone = [sys.executable, "-m", "harness.run", *words, f"out={folder / 'alone'}", "launcher=inline"]
    subprocess.run(alone, env=env, check=True, capture_output=True)
    with running(folder) as cluster, pytest.MonkeyPatch.context() as patch:
        patch.setenv("SECONDS_A_STEP", "1.5")
        of = Sweep(folder, cluster, 1)
        command = [sys.executable, "-m", "harness.run", *words, f"out={of.out}", "launcher=slurm", "slurm.gpus=0",
                   "slurm.cpus=1", "slurm.memory=0.5", f"slurm.minutes={number}"]  # fmt: skip
        subprocess.run(command, check=True, capture_output=True)
        of.until_over(1200, disturbed=False)
    one, other = (json.loads(next((folder / name).glob("*/record.json")).read_text()) for name in ("alone", "out"))
    print(f"  {other['seconds']['total']:.0f} s of work in jobs of {number} minutes: {other['restarts']} restarts")
    assert differences(comparable(one), comparable(other)) == []
    assert other["restarts"] >= 1


CHECKS = {"slurm": slurm, "submit": submit, "timeouts": timeouts}
