"""A real Slurm of one node in a folder of its own (Debian's slurm-wlm and munge), and a fake one for the launcher.

The node has 2 cores and 2 pretend GPUs; jobs of the partition `high` take the place of jobs of `main`, which are then
queued again.
"""

import contextlib
import json
import os
import shutil
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "squeue", "scontrol")

CONF = """
ClusterName=test
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=1,bf_interval=1,batch_sched_delay=0
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/filetxt
JobCompLoc={folder}/jobs.log
ReturnToService=2
JobRequeue=1
KillWait=5
MpiDefault=none
SlurmdParameters=config_overrides
GresTypes=gpu
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=64000 Gres=gpu:2 State=UNKNOWN
PartitionName=main Nodes={host} Default=YES PriorityTier=1 PreemptMode=REQUEUE MaxTime=INFINITE State=UP
PartitionName=high Nodes={host} PriorityTier=10 PreemptMode=OFF MaxTime=INFINITE State=UP
"""


@dataclass
class Cluster:
    """The running cluster; SLURM_CONF is set while it is there."""

    folder: Path

    def __call__(self, *command: str) -> str:
        """The output of a Slurm command."""
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout

    def jobs(self) -> dict[str, str]:
        """Job id -> state of what is queued or running."""
        return dict(line.split() for line in self("squeue", "-h", "-r", "-o", "%i %T").splitlines())

    def start_now(self, job: str) -> None:
        """Spare a job that was queued again the two minutes for which Slurm holds it."""
        # The node refuses a job whose end on it is younger than a second or so; that is what the hold is for.
        wait_until(lambda: self("sinfo", "-h", "-p", "main", "-o", "%t").strip() == "idle", 60, "node not idle")
        time.sleep(2)
        with contextlib.suppress(subprocess.CalledProcessError):  # it may have started
            self("scontrol", "update", f"JobId={job}", "StartTime=now")

    def restart_controller(self) -> None:
        """Stop slurmctld and start it again with its saved state."""
        stop(self.folder / "slurmctld.pid")
        self("slurmctld")


@pytest.fixture(scope="session")
def cluster(tmp_path_factory) -> Iterator[Cluster]:
    """A real Slurm, or the reason why there is none."""
    with running(tmp_path_factory.mktemp("slurm")) as made:
        yield made


@contextlib.contextmanager
def running(folder: Path) -> Iterator[Cluster]:
    """A real Slurm in a folder, stopped by its recorded process ids; skips with the reason where there can be none."""
    if os.geteuid() != 0:
        pytest.skip("a Slurm for tests is started by root only")
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        pytest.skip(f"Slurm cannot be had: no {', '.join(missing)} (apt-get install slurm-wlm munge)")
    before, before_conf = os.environ.get("SLURM_CONF"), folder / "slurm.conf"
    os.environ["SLURM_CONF"] = str(before_conf)
    try:
        yield started(folder)
    finally:
        with contextlib.suppress(subprocess.CalledProcessError, OSError, subprocess.TimeoutExpired):
            subprocess.run(["scancel", "--user=root"], timeout=20, capture_output=True)
            wait_for_end(30)
        for name in ("slurmctld.pid", "slurmd.pid", "munge/pid"):
            stop(folder / name)
        end_steps(before_conf)
        os.environ.pop("SLURM_CONF")
        if before is not None:
            os.environ["SLURM_CONF"] = before


def wait_for_end(seconds: float) -> None:
    """Wait until no job is queued, running or completing, or so many seconds."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not subprocess.run(["squeue", "-h"], capture_output=True, text=True, check=True, timeout=20).stdout.strip():
            return
        time.sleep(0.3)


def end_steps(conf: Path) -> None:
    """End what watches over a job of this cluster: without the controller it would try to reach it for ever."""
    for process in psutil.process_iter(["name"]):
        with contextlib.suppress(psutil.Error):
            if process.info["name"].startswith("slurmstepd") and process.environ().get("SLURM_CONF") == str(conf):
                process.kill()


def started(folder: Path) -> Cluster:
    """Start munged, slurmctld and slurmd; skips with what they say if the node does not become idle."""
    host = socket.gethostname().partition(".")[0]
    for name in ("state", "spool", "munge"):
        (folder / name).mkdir()
    (folder / "slurm.conf").write_text(CONF.format(host=host, folder=folder, ports=free_ports(2)))
    for number in (0, 1):  # character devices that anyone may open stand for GPUs
        os.mknod(folder / f"gpu{number}", 0o666 | stat.S_IFCHR, os.makedev(1, 3))
    (folder / "gres.conf").write_text(f"NodeName={host} Name=gpu File={folder}/gpu[0-1]\n")
    key = folder / "munge" / "key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    munge = {name: folder / "munge" / name for name in ("socket", "pid", "log", "seed")}
    daemons = [["munged", "--force", f"--key-file={key}", f"--socket={munge['socket']}", f"--pid-file={munge['pid']}",
                f"--log-file={munge['log']}", f"--seed-file={munge['seed']}"], ["slurmctld"], ["slurmd"]]  # fmt: skip
    try:
        for daemon in daemons:
            subprocess.run(daemon, check=True, capture_output=True, text=True, timeout=30)
        made = Cluster(folder)
        wait_until(lambda: made("sinfo", "-h", "-o", "%t").split()[:1] == ["idle"], 30, "no idle node")
    except (subprocess.SubprocessError, OSError, AssertionError) as error:
        pytest.skip(f"Slurm does not start here: {error} {getattr(error, 'stderr', '')}")
    return made


def free_ports(number: int) -> list[int]:
    """Ports that nobody listens on."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(number)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def stop(pid_file: Path) -> None:
    """End the process whose id a daemon has written down, and wait until it is gone."""
    try:
        pid = int(pid_file.read_text())
        os.kill(pid, 15)
    except (OSError, ValueError):
        return
    for _ in range(100):
        time.sleep(0.1)
        try:
            os.kill(pid, 0)
            if "Z" in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:1]:
                return
        except OSError:
            return
    with contextlib.suppress(OSError):
        os.kill(pid, 9)


def wait_until(true, seconds: float, what: str) -> None:
    """Wait for something to become true; AssertionError after so many seconds."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"{what} after {seconds} s"
        time.sleep(0.3)


FAKE = """#!{python}
import json, os, pathlib, re, sys
file = pathlib.Path({state!r})
with open(file.with_name("fake_calls.txt"), "a") as calls:
    env = [name for name in sorted(os.environ) if name.startswith(("SLURM_", "SBATCH_"))]
    print(pathlib.Path(sys.argv[0]).name, *sys.argv[1:], *env, file=calls)
jobs = json.loads(file.read_text())
program, words = pathlib.Path(sys.argv[0]).name, sys.argv[1:]
if program == "sbatch":
    script = pathlib.Path(words[-1]).read_text()
    if "--partition=nowhere" in script:
        sys.exit("sbatch: error: invalid partition specified: nowhere")
    number = 1 + max([int(job.split("_")[0]) for job in jobs], default=0)
    array = re.search(r"--array=0-(\\d+)%", script)
    names = [f"{{number}}_{{i}}" for i in range(int(array[1]) + 1)] if array else [str(number)]
    jobs |= dict.fromkeys(names, "PENDING")
    print(f"Submitted batch job {{number}}")
elif program == "squeue":
    print("\\n".join(f"{{job}} {{state}}" for job, state in jobs.items()))
elif program == "scancel":
    jobs = {{job: state for job, state in jobs.items() if job not in words and job.split("_")[0] not in words}}
elif program == "sacct":
    sys.exit("Slurm accounting storage is disabled")
file.write_text(json.dumps(jobs))
"""


@pytest.fixture
def fake_slurm(tmp_path, monkeypatch) -> Path:
    """sbatch, squeue and the others as a program that takes jobs but never runs them; the file that holds its jobs."""
    return put_fake_slurm(tmp_path, monkeypatch)


def put_fake_slurm(place: Path, patch: pytest.MonkeyPatch) -> Path:
    """Put the program on PATH; the file that holds its jobs."""
    folder, state = place / "bin", place / "fake_jobs.json"
    folder.mkdir()
    state.write_text(json.dumps({}))
    (folder / "sbatch").write_text(FAKE.format(python=sys.executable, state=str(state)))
    (folder / "sbatch").chmod(0o755)
    for name in ("squeue", "srun", "scancel", "sacct"):
        (folder / name).symlink_to(folder / "sbatch")
    patch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return state
