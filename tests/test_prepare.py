"""Decoding once: the command, kills and resumes, decoders that hang or crash, candidate times, copies elsewhere."""

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

import benchmarks
from benchmarks import prepare
from benchmarks.frames import watched
from benchmarks.frames.cache import FrameCache
from benchmarks.frames.decode import frame_times
from benchmarks.frames.shards import write_shard
from tests.slurm_cluster import cluster, wait_until  # noqa: F401  a fixture
from tests.test_annotations import ek  # noqa: F401  a fixture
from tests.test_real_streams import RATE, film, lay_out, load_ek, numbers, videos_of  # noqa: F401


@pytest.fixture
def kitchen(ek, film, tmp_path) -> Path:  # noqa: F811
    """Annotations and videos; its frames at 224 pixels fill several shards."""
    return lay_out(tmp_path / "videos", film, videos_of(ek), "{v}.MP4")


def words(ek: Path, kitchen: Path, cache: Path, *more: str) -> list[str]:  # noqa: F811
    return ["benchmark=epic_kitchens", f"benchmark.annotations={ek}", f"benchmark.videos={kitchen}",
            "benchmark.min_train=1", "benchmark.min_test=1", "benchmark.frames=8", f"paths.cache={cache}",
            *more]  # fmt: skip


def contents(cache: Path) -> dict[str, str]:
    (folder,) = cache.glob("*-frames")
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir())}


def test_killed_and_taken_up_again_it_writes_the_same_bytes(ek, kitchen, tmp_path, capsys):  # noqa: F811
    command = [sys.executable, "-m", "benchmarks.prepare", *words(ek, kitchen, tmp_path / "a", "workers=1")]
    child = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list((tmp_path / "a").glob("*.part/shard-0001.bin.json")):
        assert child.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.002)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert not list((tmp_path / "a").glob("*-frames"))
    done = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "a").glob("*.part/shard-000[01].bin")}
    assert prepare.main(words(ek, kitchen, tmp_path / "a", "workers=2")) == 0
    shown = capsys.readouterr()
    assert "84 clips in" in shown.out
    assert "every checksum right" in shown.out
    assert "shards are there already" in shown.err
    (folder,) = (tmp_path / "a").glob("*-frames")
    assert {name: (folder / name).stat().st_mtime_ns for name in done} == done
    for part in (1, 0):
        assert prepare.main(words(ek, kitchen, tmp_path / "b", f"share={part}/2", "workers=1")) == 0
    assert not list((tmp_path / "b").glob("*-frames"))
    assert prepare.main(words(ek, kitchen, tmp_path / "b")) == 0
    assert "5 of 5 shards are there already" in capsys.readouterr().err
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test_reading_opens_no_decoder_and_a_copy_is_read_from_its_own_place(ek, kitchen, tmp_path):  # noqa: F811
    first = load_ek(ek, kitchen, tmp_path / "cache")
    for video in kitchen.glob("*.MP4"):
        video.write_bytes(b"gone")
    assert prepare.main(["benchmark=moving_digits", "stage=x"]) == 2
    again = load_ek(ek, kitchen, tmp_path / "cache", stage=str(tmp_path / "fast"))
    rows = np.arange(len(first.table))
    assert (again.reader.read(rows) == first.reader.read(rows)).all()
    assert again.reader.folder.parent == tmp_path / "fast"
    shutil.rmtree(first.reader.folder)
    assert (FrameCache(again.reader.folder).read(rows[:3]) == again.reader.read(rows[:3])).all()


def test_candidate_times_are_all_stored_and_evaluation_takes_the_middle(ek, kitchen, tmp_path):  # noqa: F811
    plain = load_ek(ek, kitchen, tmp_path / "cache")
    three = load_ek(ek, kitchen, tmp_path / "cache", candidates=3, codec="raw")
    packed = load_ek(ek, kitchen, tmp_path / "cache", candidates=3)
    assert packed.reader.size < three.reader.size / 3
    rows = np.array([3, 40, 77])
    assert [numbers(clip) for clip in plain.reader.read(rows)] == [numbers(clip) for clip in three.reader.read(rows)]
    choice = np.array([[0, 1, 2, 1, 0], [2, 2, 2, 2, 2], [0, 0, 0, 0, 0]])
    frame = plain.table.frame
    times = [frame_times(frame.start[row], frame.stop[row], 15)[np.arange(5) * 3 + c]
             for row, c in zip(rows, choice, strict=True)]  # fmt: skip
    wanted = [[int(t * RATE + 1e-5) for t in each] for each in times]
    for reader in (three.reader, packed.reader):
        assert [numbers(clip) for clip in reader.read(rows, choice)] == wanted
    with pytest.raises(ValueError, match="candidates must be odd"):
        load_ek(ek, kitchen, tmp_path, candidates=2)


def test_a_decoder_that_hangs_is_cut_off_and_counted(ek, kitchen, tmp_path):  # noqa: F811
    (kitchen / "P05_05.MP4").unlink()
    os.mkfifo(kitchen / "P05_05.MP4")  # opening it waits for ever
    skipping = load_ek(ek, kitchen, tmp_path / "cache", on_bad="skip", patience=3.0)
    assert len(skipping.bad) == 6
    assert {bad["file"] for bad in skipping.bad} == {"P05/videos/P05_05.MP4"}
    assert all("gave nothing for" in bad["reason"] for bad in skipping.bad)
    assert len(skipping.reader.read(np.array([row for row in range(84) if row not in skipping.table.unusable]))) == 78


def test_a_process_that_does_not_begin_is_no_silent_decoder(monkeypatch):
    monkeypatch.setattr(watched, "START_SECONDS", 0.01)
    with pytest.raises(OSError, match=r"no process could be started to decode in \(nothing heard"):
        watched.run(write_shard, [None], 1, 0.01, None, None, None)


def test_a_decoder_that_crashes_is_replaced_and_counted(ek, kitchen, tmp_path):  # noqa: F811
    pipe = kitchen / "P05_05.MP4"
    pipe.unlink()
    os.mkfifo(pipe)
    over = threading.Event()

    def kill_readers() -> None:
        """Whoever opens the pipe dies, as of a fault in a decoder."""
        while not over.is_set():
            try:
                held = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
            except OSError:
                time.sleep(0.005)
                continue
            for child in psutil.Process().children():
                if any("spawn_main" in word for word in child.cmdline()):
                    child.send_signal(signal.SIGSEGV)
            time.sleep(0.1)
            os.close(held)

    thread = threading.Thread(target=kill_readers)
    thread.start()
    try:
        with pytest.raises(ValueError, match=r"6 clips of 1 videos cannot be used.*crashed \(SIGSEGV\)"):
            load_ek(ek, kitchen, tmp_path / "cache")
    finally:
        over.set()
        thread.join()
    pipe.unlink()
    shutil.copy(kitchen / "P01_01.MP4", pipe)
    assert load_ek(ek, kitchen, tmp_path / "cache").bad == ()  # only what was bad is tried again


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["benchmark=epic_kitchen"], "unknown benchmark 'epic_kitchen'; did you mean 'epic_kitchens'"),
        (["benchmark=kinetics", "benchmark.size=big"], "benchmark.size must be a whole number, not 'big'"),
        (["benchmark=kinetics", "benchmark.sise=32"], "unknown setting of benchmark kinetics 'sise'; did you mean"),
        (["protocol=k700-10", "benchmark=vclimb"], "is a rule for benchmark=kinetics"),
        (["benchmark=kinetics", "workers=0"], "workers=0 is not allowed: give a whole number from 1 on"),
        (["benchmark=kinetics", "share=2/2"], "write K/N with K from 0 to N - 1"),
        (["worker=1"], "unknown option 'worker'; did you mean 'workers'"),
        (["plan"], "'plan' is not of the form name=value"),
        ([], "say which: benchmark=NAME"),
    ],
)
def test_a_wrong_command_is_one_clear_line(given, message, capsys):
    assert prepare.main(given) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_a_disk_that_is_too_small_is_said_at_once(ek, kitchen, tmp_path, monkeypatch, capsys):  # noqa: F811
    usage = shutil.disk_usage(tmp_path)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage._replace(free=10_000))
    assert prepare.main(words(ek, kitchen, tmp_path / "cache")) == 2
    assert re.search("84 clips, about .* MB of 10 kB free: not enough room", capsys.readouterr().err)
    assert not list((tmp_path / "cache").glob("*.part/*"))


def test_protocols_bring_their_options(ek, tmp_path):  # noqa: F811
    name, options = prepare.benchmark_of({"benchmark.valid": "0.2"}, "ek100-noun-10")
    assert (name, options["min_train"], options["valid"], options["tasks"]) == ("epic_kitchens", 100, 0.2, 10)
    assert benchmarks.parse(name, options).valid == 0.2


def test_a_job_array_decodes_the_shares(cluster, ek, kitchen, tmp_path, capsys):  # noqa: F811
    given = words(ek, kitchen, tmp_path / "a", "benchmark.size=96")
    jobs = ["launcher=slurm", "shares=2", "slurm.cpus=1", "slurm.memory=0.5", "slurm.minutes=10"]
    assert prepare.main([*given, *jobs]) == 0
    assert "2 jobs submitted" in capsys.readouterr().out
    (out,) = (tmp_path / "a").glob("prepare-*")
    wait_until(lambda: len(list(out.glob("share-*/record.json"))) == 2, 300, "both shares")
    assert prepare.main(given) == 0
    assert "2 of 2 shards are there already" in capsys.readouterr().err
    assert prepare.main([*given, "launcher=slum"]) == 2
    assert "unknown launcher 'slum'; did you mean 'slurm'" in capsys.readouterr().err
    assert prepare.main([*given, "launcher=slurm", "slurm.cpu=1"]) == 2
    assert "unknown setting of Slurm 'cpu'; did you mean 'cpus'" in capsys.readouterr().err
