"""One process at a time carries out a run, whatever clocks and host names say; a killed one is followed at once."""

import json
import os
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import pytest
from filelock import LeaseSettingsMismatch, SoftFileLease, Timeout

from harness.common import processes
from harness.launching.execution import execute
from harness.storage import lease as lock
from tests import killing


def elsewhere(**changes) -> dict:
    """The lock of a process on another machine."""
    return {"host": "another", "machine": "other", "pid": 1, "began": "0", "job": None, "token": "t", **changes}


def held(folder: Path, content: dict | None, seconds_ago: float = 0) -> Path:
    """Put a lock there that was touched so long ago; without content it is one of a process that was cut off."""
    file = folder / "lock"
    file.write_text("" if content is None else json.dumps(content))
    os.utime(file, (time.time() - seconds_ago,) * 2)
    return file


@pytest.fixture
def quick(monkeypatch) -> None:
    """Locks are watched for half a second."""
    monkeypatch.setattr(lock, "WATCH_SECONDS", 0.5)
    monkeypatch.setattr(lock, "WRITE_SECONDS", 0.4)


def can_be_taken(folder: Path) -> bool:
    with lock.taken(folder, stale_minutes=5) as mine:
        return mine is not None


def test_who_may_take_a_run(tmp_path, monkeypatch, quick):
    monkeypatch.delenv("SLURM_ARRAY_JOB_ID", raising=False)
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    dead, mine = subprocess.Popen(["true"]), processes.identity()
    dead.wait()
    cases = [
        (elsewhere(), 0, False),  # alive, as far as is known
        (elsewhere(), 299, False),
        (elsewhere(), 301, True),  # silent for longer than lock.stale_minutes, and while it was watched
        (elsewhere(), -3600, True),  # the clock was set back since
        (elsewhere(job="7"), 0, True),  # our own job before it was queued again
        (elsewhere(job="8"), 0, False),
        (elsewhere(job="8"), 301, True),
        ({**mine, "pid": dead.pid}, 0, True),
        (mine, 301, False),
        ({**mine, "began": "1", "job": "7"}, 0, True),  # the number of a process that is gone, used again
        ({**mine, "machine": "a container of the same host name"}, 0, False),
        (None, 0, True),  # its process was killed before it could say who it was
    ]
    for content, seconds_ago, wanted in cases:
        held(tmp_path, content, seconds_ago)
        assert can_be_taken(tmp_path) == wanted, (content, seconds_ago)
        assert (tmp_path / "lock").exists() != wanted
        assert not (tmp_path / "lock.taking").exists()


@pytest.mark.parametrize("set_by", [3600, -3600])
def test_a_live_run_of_another_container_is_left_to_it_whatever_the_clock_says(tmp_path, quick, set_by):
    """The clock is set by an hour after the lock was last touched; its process goes on touching it."""
    file, over = held(tmp_path, {**processes.identity(), "machine": "other"}, set_by), threading.Event()

    def beat() -> None:
        while not over.wait(0.1):
            os.utime(file, (time.time() - set_by,) * 2)

    thread = threading.Thread(target=beat)
    thread.start()
    try:
        assert not can_be_taken(tmp_path)
    finally:
        over.set()
        thread.join()
    assert can_be_taken(tmp_path)  # it is silent now


def test_the_clock_of_this_process_decides_nothing(tmp_path, monkeypatch):
    held(tmp_path, elsewhere())
    later = time.time() + 3600
    monkeypatch.setattr(time, "time", lambda: later)
    assert not can_be_taken(tmp_path)


def test_a_real_container_with_the_same_host_name_does_not_take_a_live_run(tmp_path):
    command = "from tests import test_lease as t; import pathlib, sys; print(t.can_be_taken(pathlib.Path(sys.argv[1])))"
    apart = ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", command, tmp_path]
    if subprocess.run([*apart[:4], "true"], capture_output=True).returncode:
        pytest.skip("no process namespace of its own can be made here")
    with lock.taken(tmp_path) as mine:
        assert mine is not None
        said = subprocess.run(apart, capture_output=True, text=True, check=True, cwd=Path(__file__).parents[1]).stdout
    assert said.strip() == "False"


def test_many_abandoned_runs_are_watched_together_and_the_live_one_stays(tmp_path, quick):
    folders = [tmp_path / str(k) for k in range(8)]
    for folder in folders:
        folder.mkdir()
        held(folder, elsewhere(), 301)
    held(folders[0], elsewhere(), 10)
    begun = time.monotonic()
    lock.free_abandoned(folders)
    assert time.monotonic() - begun < 4 * 0.5  # not 8 times
    assert [folder.name for folder in folders if (folder / "lock").exists()] == ["0"]


def test_of_many_who_want_an_abandoned_run_one_gets_it(tmp_path, quick):
    held(tmp_path, elsewhere(), 301)
    got, done = [], threading.Event()

    def want() -> None:
        with lock.taken(tmp_path) as mine:
            got.append(mine is not None)
            done.wait(10)

    threads = [threading.Thread(target=want) for _ in range(8)]
    for thread in threads:
        thread.start()
    while len(got) < len(threads):
        time.sleep(0.05)
    done.set()
    for thread in threads:
        thread.join()
    assert sorted(got) == [False] * 7 + [True]


def test_a_lock_that_cannot_be_read_for_a_moment_is_not_lost(tmp_path):
    with lock.taken(tmp_path) as mine:
        content = mine.file.read_text()
        mine.file.write_text("")
        mine.beat()
        mine.check()
        mine.file.write_text(content)
        mine.beat()
        assert mine.unseen == 0
        mine.file.unlink()
        for _ in range(lock.UNSEEN):
            mine.beat()
        with pytest.raises(lock.Lost):
            mine.check()


def test_the_lease_of_filelock_would_not_do(tmp_path):
    """Why there is one of our own: three cases in which a run could not go on at once after kill -9, or not at all."""
    file = tmp_path / "lease"

    def wait_for(seconds: float, duration: float = 60.0) -> bool:
        lease = SoftFileLease(file, lease_duration=duration, timeout=seconds)
        with lease:
            return True

    file.write_text("")  # killed between making the file and writing who it is: held for ever
    with pytest.raises(Timeout):
        wait_for(3.0, duration=0.5)
    file.unlink()
    code = "import os, sys, filelock; lease = filelock.SoftFileLease(sys.argv[1], lease_duration=60); lease.acquire(); "
    code += "os._exit(9)"
    zombie = subprocess.Popen([sys.executable, "-c", code, file])  # nobody waits for it, as in a container without init
    os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
    with pytest.raises(Timeout):
        wait_for(0.5)
    with pytest.raises(LeaseSettingsMismatch):  # lock.stale_minutes may be another one in the next command
        wait_for(0.5, duration=30.0)
    zombie.wait()


def test_a_run_that_was_taken_over_stops_without_writing(tmp_path):
    folder = killing.new_run(tmp_path, "naive")

    def taken_over(position):
        (folder / "lock").write_text(json.dumps(elsewhere()))
        beat[0].beat()

    beat, made = [], lock.Lock.beating

    @contextmanager
    def remembered(self):
        beat.append(self)
        with made(self) as mine:
            yield mine

    lock.Lock.beating = remembered
    try:
        error = execute(folder, taken_over)
    finally:
        lock.Lock.beating = made
    assert isinstance(error, lock.Lost)
    assert "process 1 on another" in str(error)
    assert json.loads((folder / "lock").read_text())["host"] == "another"
    assert len(list((folder / "checkpoint").glob("*"))) <= 2
    assert not (folder / "record.json").exists()
