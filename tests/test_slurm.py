"""launcher=slurm and the commands beside it: on a real Slurm of one node, and on a fake sbatch."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from harness import run_folders
from harness.common import sources
from harness.common.files import write_json
from harness.common.folders import RunFolder
from harness.run import main
from harness.storage import record
from slurm import cancel, retry, status
from slurm.job import RunFolders
from slurm.jobs import job_of, submissions
from slurm.launcher import submit
from tests.slurm_cluster import Cluster, cluster, fake_slurm, wait_until  # noqa: F401  fixtures
from tests.test_real_streams import write_video

TINY = ["preset=smoke", "benchmark.clips_per_class=1", "classifier.steps=2"]
PATIENCE = 300  # seconds, for machines that are busy with other things
SMALL_JOB = ["launcher=slurm", "slurm.gpus=0", "slurm.cpus=1", "slurm.memory=0.5"]

# Methods of a user: one that fails, one whose process dies, one that wants too much memory, one that takes its time.
PLUGIN = """
import os, signal, time
import torch
from methods.contract import Phase, register
from methods.naive import Naive

class Other(Naive):
    steps = 2
    def phases(self, experience):
        first = Phase("first", lambda: experience.clips, self.first, steps=self.steps, batch=2)
        return [first, *super().phases(experience)]

@register("unlucky")
class Raises(Other):
    def first(self, batch):
        raise RuntimeError("out of luck\\nand more")

@register("crashes")
class Crashes(Other):
    def first(self, batch):
        os.kill(os.getpid(), signal.SIGSEGV)

@register("greedy")
class Greedy(Other):
    def first(self, batch):
        torch.zeros(10**14)

@register("unhurried")
class Slow(Other):
    steps = 12
    def first(self, batch):
        time.sleep(SECONDS)
        return {"loss": 1.0}
"""


@pytest.fixture
def plugin(tmp_path) -> str:
    file = tmp_path / "mine" / "my_method.py"
    file.parent.mkdir()
    file.write_text(PLUGIN.replace("SECONDS", "float(os.environ.get('SECONDS_A_STEP', 0))"))
    return f"plugins={file}"


def looked_up(capsys, out: Path) -> dict[str, dict]:
    """Run id -> what slurm.status says of it, as JSON."""
    capsys.readouterr()
    status.main([str(out), "json=true"])
    return {run["run_id"]: run for run in json.loads(capsys.readouterr().out)["runs"]}


# --- fake sbatch -----------------------------------------------------------------------------------------------------


def test_plan_prints_the_scripts_and_submits_nothing(tmp_path, cache, capsys, monkeypatch):
    words = [*TINY, *SMALL_JOB, cache, f"out={tmp_path / 'out'}", "methods=[naive,er]", "replicates=5", "plan=true"]
    more = ["slurm.per_method.er.minutes=7", "slurm.runs_per_job=2", "slurm.max_array=2", "slurm.parallelism=1"]
    assert main([*words, *more, "slurm.extra.nice=3", "slurm.setup=[module load cuda]"]) == 0
    out = capsys.readouterr().out
    # 5 runs of each method: 3 jobs, in arrays of 2 and 1
    assert out.count("sbatch, 2 jobs") == out.count("sbatch, 1 jobs") == 2
    assert out.count("--time=7\n") == out.count("--time=240\n") == 2
    assert out.count("--array=0-1%1\n") == 2
    assert out.count("--nice=3\n") == out.count("\nmodule load cuda\n") == 4
    assert "wckey" not in out
    assert not (tmp_path / "out").exists()
    assert main([*words, "slurm.extra.wckey=ours"]) == 0
    assert capsys.readouterr().out.count("#SBATCH --wckey=ours\n") == 1

    (tmp_path / "mine.yaml").write_text(
        "question: May parts of a preset ask for other resources?\n"
        "settings: {methods: [naive], slurm.memory: 2}\n"
        "runs: [{protocol: moving-digits-5}, {protocol: moving-digits-10, slurm.minutes: 99}]\n"
    )
    monkeypatch.setattr("harness.config.presets.FOLDER", tmp_path)
    assert main(["preset=mine", "launcher=slurm", cache, "plan=true"]) == 0
    scripts = capsys.readouterr().out.split("sbatch, ")[1:]
    asked = [("--time=240\n", "moving-digits-5-v1-naive"), ("--time=99\n", "moving-digits-10-v1-naive")]
    assert all(line in script for words, script in zip(asked, scripts, strict=True) for line in words)


def test_impossible_settings_are_refused_in_one_line(tmp_path, cache, capsys, monkeypatch):
    words = [*TINY, *SMALL_JOB, cache, f"out={tmp_path / 'out'}", "methods=[naive]"]
    for word, said in {
        "slurm.per_method.naive.minute=5": "did you mean 'minutes'?",
        "slurm.per_method.er.minutes=5": "'er' is not among methods=[naive]",
        "slurm.per_method.naive.minutes=0": "must be more than 0",
        "slurm.minuets=5": "did you mean 'slurm.minutes'?",
    }.items():
        assert main([*words, word]) == 2
        lines = capsys.readouterr().err.strip().splitlines()
        assert len(lines) == 1
        assert said in lines[0]
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(words) == 2
    assert "no sbatch on this machine" in capsys.readouterr().err


def test_submitted_once_then_lost_retried_and_cancelled(tmp_path, cache, capsys, fake_slurm):  # noqa: F811
    out = tmp_path / "out"
    words = [*TINY, *SMALL_JOB, cache, f"out={out}", "methods=[naive,er]", "replicates=2", "slurm.runs_per_job=2"]
    assert main(words) == 0
    said = capsys.readouterr()
    assert f"python -m slurm.status {out}" in said.err
    assert f"python -m results.tables {out}" in said.err
    assert said.out == ""  # a table of runs that only wait says nothing
    assert len(json.loads(fake_slurm.read_text())) == 2
    assert main(words) == 0  # a run that has a job gets no second one
    assert len(json.loads(fake_slurm.read_text())) == 2
    assert {run["state"] for run in looked_up(capsys, out).values()} == {"queued"}

    fake_slurm.write_text(json.dumps({"1_0": "PENDING"}))
    states = {run["method"]: run["state"] for run in looked_up(capsys, out).values()}
    assert sorted(states.values()) == ["lost", "queued"]
    assert status.main([str(out)]) == 1
    assert "4 runs: 2 queued, 2 lost" in capsys.readouterr().out
    code = submissions(out)[0]["code"]
    locked = next(out.glob("*-er-s0-*")) / "lock"
    write_json(locked, {"host": "a-node", "job": "1_1", "heartbeat": time.time()})
    assert retry.main([str(out), "only=lost", "minutes=500", "memory=2"]) == 0
    assert "2 runs in 1 jobs" in capsys.readouterr().out
    assert not locked.exists()
    last = submissions(out)[-1]
    assert last["code"] == code
    assert last["settings"]["minutes"] == 500
    script = next((out / "slurm").glob("*/2_submission.sh"))
    assert "--time=500\n" in script.read_text()
    assert "--mem=2048M\n" in script.read_text()
    assert f"\ncd {code}\n" in script.read_text()
    assert (Path(code) / "harness" / "training" / "loop.py").exists()

    assert cancel.main([str(out), "method=er"]) == 0
    assert cancel.main([str(out)]) == 0
    assert json.loads(fake_slurm.read_text()) == {}
    assert {run["reason"] for run in looked_up(capsys, out).values()} == {"cancelled; slurm.retry submits it again"}


def test_jobs_know_nothing_of_the_allocation_they_are_submitted_from(tmp_path, cache, capsys, fake_slurm, monkeypatch):  # noqa: F811
    calls, out = fake_slurm.with_name("fake_calls.txt"), tmp_path / "out"
    words = [*TINY, *SMALL_JOB, cache, "methods=[naive]"]
    for name in ("SLURM_MEM_PER_CPU", "SLURM_JOB_ID", "SBATCH_TIMELIMIT", "SBATCH_PARTITION", "SLURM_CONF"):
        monkeypatch.setenv(name, "1")
    assert main([*words, f"out={tmp_path / '50%j'}"]) == 2
    assert "holds '%', which Slurm reads as a pattern" in capsys.readouterr().err
    monkeypatch.setenv("SBATCH_CLUSTERS", "far")
    assert main([*words, f"out={out}"]) == 0
    (submitted,) = [line for line in calls.read_text().splitlines() if line.startswith("sbatch")]
    assert submitted.split()[-2:] == ["SBATCH_PARTITION", "SLURM_CONF"]
    assert "#SBATCH --clusters=far\n" in next((out / "slurm").glob("*/1_submission.sh")).read_text()
    assert os.environ["SLURM_MEM_PER_CPU"] == "1"
    monkeypatch.delenv("SBATCH_CLUSTERS")
    assert main([*words, f"out={out}"]) == 0  # it has a job, on the other cluster
    assert all("--clusters=far" in line for line in calls.read_text().splitlines() if line.startswith("squeue"))
    assert len(json.loads(fake_slurm.read_text())) == 1
    ((job, _),) = json.loads(fake_slurm.read_text()).items()
    (run,) = looked_up(capsys, out).values()
    assert run["state"] == "queued"
    assert cancel.main([str(out)]) == 0
    assert f"scancel --clusters=far {job}" in calls.read_text()
    assert retry.main([str(out)]) == 0
    fake_slurm.write_text("{}")
    said = "srun: fatal: SLURM_MEM_PER_CPU and SLURM_MEM_PER_NODE are mutually exclusive."
    next((out / "slurm").glob("*/1_submission.sh")).with_name("1_0_log.err").write_text(f"\n{said}\n")
    (run,) = looked_up(capsys, out).values()
    assert run["reason"].endswith(f"(Slurm: {said})")


def test_the_users_files_are_those_of_the_moment_of_submission(tmp_path, cache, fake_slurm):  # noqa: F811
    videos, out = tmp_path / "mine", tmp_path / "out"
    lines = ["file,label,start,stop,split"]
    for number in range(8):
        write_video(videos / f"{number}.mp4", seconds=1)
        lines.append(f"{number}.mp4,{'ab'[number % 2]},0,1,{'train' if number < 6 else 'test'}")
    (videos / "clips.csv").write_text("\n".join(lines) + "\n")
    words = ["benchmark=video_csv", f"benchmark.annotations={videos / 'clips.csv'}", f"benchmark.videos={videos}"]
    words += ["benchmark.tasks=2", "benchmark.valid=0", "benchmark.frames=8", "benchmark.size=32", "label=label"]
    words += ["memory.budget=100kB", cache, f"out={out}", "methods=[naive]", *SMALL_JOB]
    assert main(words) == 0
    (file,) = out.glob("*/config.json")
    copied = Path(json.loads(file.read_text())["benchmark"]["annotations"])
    assert copied.is_relative_to(out / "slurm" / "annotations")
    assert copied.read_bytes() == (videos / "clips.csv").read_bytes()


def test_a_plug_in_is_copied_with_what_it_imports_from_its_folder(tmp_path, cache, fake_slurm):  # noqa: F811
    mine, out = tmp_path / "mine", tmp_path / "out"
    mine.mkdir()
    (mine / "my_helper.py").write_text("NAME = 'imports_a_file'\n")
    (mine / "my_other.py").write_text(
        "from methods import METHODS\nfrom methods.naive import Naive\nfrom my_helper import NAME\n"
        "class Mine(Naive):\n    pass\nMETHODS.register(NAME)(Mine)\n"
    )
    words = [*TINY, *SMALL_JOB, cache, f"out={out}", f"plugins={mine / 'my_other.py'}", "methods=[imports_a_file]"]
    assert main(words) == 0
    (folder,) = (file.parent for file in out.glob("*/config.json"))
    (mine / "my_helper.py").write_text("raise SystemExit('edited since')")
    code = Path(submissions(out)[0]["code"])
    done = subprocess.run(
        [sys.executable, "-m", "harness.run_folders", folder], cwd=code, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert (folder / "record.json").exists()


def test_what_sbatch_refuses_is_one_line_and_leaves_nothing_waiting(tmp_path, cache, plugin, capsys, fake_slurm):  # noqa: F811
    out = tmp_path / "out"
    words = [*TINY, *SMALL_JOB, cache, plugin, f"out={out}", "methods=[naive,unhurried]"]
    assert main([*words, "slurm.per_method.unhurried.partition=nowhere"]) == 2
    why = "sbatch refused: sbatch: error: invalid partition specified: nowhere"
    said = capsys.readouterr().err
    assert said.strip().splitlines()[-1] == f"harness.run: {why} (jobs submitted so far: 1)"
    assert said.count("invalid partition") == 1
    found = {run["method"]: (run["state"], run["reason"]) for run in looked_up(capsys, out).values()}
    assert found == {"naive": ("queued", None), "unhurried": ("failed", why)}
    file = Path(plugin.partition("=")[2])
    asked_with = file.read_text()
    file.write_text(asked_with + "# mended")
    assert retry.main([str(out)]) == 2
    assert "was changed or removed since" in capsys.readouterr().err
    file.write_text(asked_with)
    assert main(words) == 0
    assert {run["state"] for run in looked_up(capsys, out).values()} == {"queued"}


def test_a_thousand_runs_are_submitted_and_looked_up_quickly(tmp_path, capsys, fake_slurm):  # noqa: F811
    runs = {tmp_path / "out" / f"run-{i:04}": "naive" for i in range(1000)}
    for folder in runs:
        folder.mkdir(parents=True)
        write_json(folder / "config.json", {"method": {"name": "naive"}})
    settings = {"partition": None, "account": None, "qos": None, "gpus": 1, "cpus": 1, "memory": 1.0, "minutes": 60,
                "constraint": None, "extra": {}, "per_method": {}, "setup": [], "parallelism": 100, "max_array": 400,
                "runs_per_job": 1}  # fmt: skip
    started = sum(os.times()[:4])  # of this process and its children: a busy machine must not fail the test
    assert len(submit(tmp_path / "out", runs, settings, ["true"])) == 1000
    submitted = sum(os.times()[:4])
    assert len(looked_up(capsys, tmp_path / "out")) == 1000
    looked = sum(os.times()[:4])
    assert submitted - started < 10
    assert looked - submitted < 2


@pytest.mark.parametrize(("minutes", "fails"), [(1, True), (240, False)])
def test_a_run_that_times_out_without_a_step_fails_alone_and_a_preempted_one_does_not(tmp_path, minutes, fails):
    folders = [str(tmp_path / name) for name in ("stuck", "other")]
    for folder in folders:
        Path(folder).mkdir()
        write_json(Path(folder) / "status.json", {"state": "queued", "position": None})
    job = RunFolders(["false"], minutes)
    for _ in range(3):
        with pytest.raises(RuntimeError, match="2 of 2 runs wait"):
            job(folders)
        again = job.checkpoint(folders)
        job, left = again.function, again.args[0]
    assert left == (folders[1:] if fails else folders)
    now = RunFolder(tmp_path / "stuck").status()
    assert now.state == ("failed" if fails else "queued")
    assert not fails or "give it more minutes" in now.reason


def test_bad_words_of_the_commands(tmp_path, capsys):
    for command, word, said in (
        (status, "jsn=true", "did you mean 'json'?"),
        (retry, "only=faild", "did you mean 'failed'?"),
        (retry, "minutes=much", "minutes=much is not allowed"),
        (cancel, "another", "give one folder"),
    ):
        assert command.main([str(tmp_path), word]) == 2
        assert said in capsys.readouterr().err


# --- real Slurm ------------------------------------------------------------------------------------------------------


def test_one_failing_run_among_good_ones(tmp_path, cache, plugin, capsys, cluster, monkeypatch):  # noqa: F811
    # As from inside an allocation with memory per core, and with a time limit in the shell: neither concerns the job.
    for name, value in {"SLURM_MEM_PER_CPU": "1000", "SLURM_JOB_ID": "7", "SLURM_NTASKS": "2", "SLURM_NPROCS": "2",
                        "SBATCH_TIMELIMIT": "0:01", "SBATCH_MEM_PER_NODE": "1"}.items():  # fmt: skip
        monkeypatch.setenv(name, value)
    out = tmp_path / "out of it"
    words = [
        *TINY,
        *SMALL_JOB,
        cache,
        plugin,
        f"out='{out}'",
        "slurm.gpus=1",
        "slurm.runs_per_job=5",
        "slurm.wait=true",
    ]
    assert main([*words, "methods=[unlucky,naive,crashes,greedy,er]"]) == 1
    error = capsys.readouterr().err
    assert "is failed: RuntimeError: out of luck and more" in error
    assert "is failed: killed by signal 11" in error
    assert "allocate" in error
    states = {run["method"]: run["state"] for run in looked_up(capsys, out).values()}
    assert states == {"naive": "done", "er": "done", **dict.fromkeys(("unlucky", "crashes", "greedy"), "failed")}
    content = json.loads(next(out.glob("*naive*/record.json")).read_text())
    assert content["sources"] == sources.sources_hash()
    assert content["git"] == {**sources.git_state(), "diff": sources.uncommitted()}


def test_preempted_runs_go_on_and_give_the_same_record(tmp_path, cache, plugin, capsys, cluster, monkeypatch):  # noqa: F811
    words = [*TINY, cache, plugin, "methods=[unhurried]"]
    assert main([*words, f"out={tmp_path / 'alone'}", "launcher=inline"]) == 0
    out = tmp_path / "out"
    monkeypatch.setenv("SECONDS_A_STEP", "0.4")
    assert main([*words, *SMALL_JOB, f"out={out}", "slurm.minutes=9"]) == 0
    ((run_id, job),) = job_of(out).items()
    file = Path(plugin.partition("=")[2])
    file.write_text("raise SystemExit('the code that was submitted is the code that runs')")

    def is_at(step: int) -> bool:
        now = RunFolder(out / run_id).status()
        place = now.position or {"experience": 0, "step": 0}
        return now.state == "running" and (place["experience"], place["step"]) >= (0, step)

    wait_until(lambda: is_at(1), PATIENCE, "not under way")
    assert looked_up(capsys, out)[run_id]["state"] == "running"
    cluster("scancel", "--signal=USR2", job)
    wait_until(lambda: cluster.jobs()[job] == "PENDING", PATIENCE, "not queued again")
    run = looked_up(capsys, out)[run_id]
    assert run["state"] == "preempted"
    assert run["position"]["step"] < 12

    cluster.start_now(job)
    wait_until(lambda: is_at(run["position"]["step"] + 1), PATIENCE, "not under way again")
    high = cluster("sbatch", "--parsable", "--partition=high", "--cpus-per-task=2", "--output=/dev/null", "--wrap",
                   "sleep 1").strip()  # fmt: skip
    wait_until(lambda: high not in cluster.jobs() and cluster.jobs()[job] == "PENDING", PATIENCE, "not taken its place")
    assert looked_up(capsys, out)[run_id]["state"] == "preempted"
    cluster.start_now(job)
    wait_until(lambda: (out / run_id / "record.json").exists(), PATIENCE, "not done")
    assert looked_up(capsys, out)[run_id]["state"] == "done"
    one, other = (json.loads((tmp_path / name / run_id / "record.json").read_text()) for name in ("alone", "out"))
    assert record.differences(record.comparable(one), record.comparable(other)) == []
    assert other["restarts"] == 2


def test_lost_runs_are_found_and_retried(tmp_path, cache, capsys, cluster):  # noqa: F811
    out = tmp_path / "out"
    words = [*TINY, *SMALL_JOB, cache, f"out={out}", "methods=[naive]", "slurm.extra.hold=true"]
    assert main(words) == 0
    ((run_id, job),) = job_of(out).items()
    cluster.restart_controller()
    wait_until(lambda: looked_up(capsys, out)[run_id]["state"] == "queued", PATIENCE, "not queued")
    cluster("scancel", job)
    wait_until(lambda: looked_up(capsys, out)[run_id]["state"] == "lost", PATIENCE, "not lost")
    assert looked_up(capsys, out)[run_id]["reason"] == f"job {job} is gone and the run is not done"
    assert retry.main([str(out), "only=failed"]) == 0
    assert "no run is failed" in capsys.readouterr().out
    assert retry.main([str(out)]) == 0
    assert "1 runs in 1 jobs" in capsys.readouterr().out
    again = job_of(out)[run_id]
    assert retry.main([str(out)]) == 0  # it has a job now
    assert job_of(out)[run_id] == again != job
    cluster("scontrol", "release", again)
    wait_until(lambda: looked_up(capsys, out)[run_id]["state"] == "done", PATIENCE, "not done")
    assert cancel.main([str(out)]) == 0
    assert "no run has a job" in capsys.readouterr().out


def test_a_signal_to_the_command_saves_and_is_no_success(tmp_path, cache, plugin, monkeypatch):
    out = tmp_path / "out"
    assert main([*TINY, cache, plugin, "methods=[unlucky,unhurried]", f"out={out}", "launcher=inline"]) == 1
    folder = next(out.glob("*unhurried*"))
    (folder / "record.json").unlink()
    monkeypatch.setenv("SECONDS_A_STEP", "0.3")
    pid = os.fork()
    if pid == 0:
        os._exit(run_folders.main([str(folder)]))

    def under_way() -> bool:
        now = RunFolder(folder).status()
        return now.state == "running" and (now.position or {}).get("phase") == "first"

    wait_until(under_way, PATIENCE, "no step")
    os.kill(pid, signal.SIGUSR2)
    os.kill(pid, signal.SIGTERM)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == run_folders.INTERRUPTED
    assert RunFolder(folder).status().state == "preempted"
    assert list((folder / "checkpoint").glob("manifest-*.json"))
