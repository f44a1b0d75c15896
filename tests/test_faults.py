"""What can go wrong with a run: it goes on with the record of the run left alone, or says clearly why not."""

import json
import os
import random
import re
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from harness.common.files import write_json
from harness.common.folders import RunFolder
from harness.launching.execution import execute
from harness.launching.signals import Interrupted, Stop
from harness.run import main
from harness.storage import checkpoint
from harness.training.execute import run
from slurm import status
from slurm.jobs import runs
from tests import killing, tiny

EACH_STEP = "checkpoint.minutes=1e-9"


def stopped_at(phase: str, step: int, experience: int = 1) -> tuple[Stop, object]:
    """A stop, and the progress callback that asks for it at a step."""
    stop = Stop()

    def tell(position):
        stop.asked = (position["experience"], position["phase"], position["step"]) == (experience, phase, step)

    return stop, tell


def half_way(method: str = "cram", phase: str = "classifier", folder: Path | None = None) -> tuple[dict, Path]:
    """Config and folder of a run that was stopped in its second experience, saved at each step so far."""
    folder = folder or tiny.new_folder()
    config = tiny.config(method, EACH_STEP)
    stop, tell = stopped_at(phase, 1)
    with pytest.raises(Interrupted):
        run(config, folder, tell, stop)
    return config, folder


def newest(folder: Path, number: int = 0) -> Path:
    """The newest manifest, or the one before."""
    return sorted((folder / "checkpoint").glob("manifest-*.json"), reverse=True)[number]


def state_of(manifest: Path) -> Path:
    return manifest.with_name(manifest.name.replace("manifest", "state")).with_suffix(".pt")


# ---- killed and stopped


def test_killed_in_a_step_and_in_a_checkpoint(tmp_path):
    alone = killing.left_alone(killing.new_run(tmp_path / "alone", "cram"))
    folder = killing.new_run(tmp_path / "killed", "cram")
    for dies_at in (3, 40):  # at the first checkpoint, and at a later one
        process = killing.started(folder, dies_at)
        process.join()
        assert process.exitcode == -9
    killing.killed(folder, 1, random.Random(1), 3.0)
    killing.left_alone(folder)
    assert killing.differ(folder, alone) == []
    assert [file.name for file in (folder / "checkpoint").iterdir()] == ["live.pt"]
    assert not (folder / "lock").exists()


@pytest.mark.parametrize("phase", ["refresh", "evaluate"])
def test_a_signal_in_refresh_and_evaluation_is_obeyed_there(phase):
    config, folder = half_way(phase=phase)
    saved = checkpoint.Checkpoints(folder / "checkpoint", json.loads(newest(folder).read_text())["run_id"], "")
    assert saved.load(force=True)["position"]["step"] == 1
    tiny.same(run(config, folder), tiny.done("cram")[0])


def test_a_signal_while_data_are_made_ends_the_run_at_once(monkeypatch, tmp_path):
    stop = Stop().listen()
    monkeypatch.setattr("benchmarks.load", lambda *_: os.kill(os.getpid(), 15) or time.sleep(60))
    with pytest.raises(Interrupted, match="before its first step"):
        run(tiny.config("naive"), tmp_path, stop=stop)


# ---- damaged checkpoints


@pytest.mark.parametrize("damage", ["cut", "empty", "gone", "other bytes", "manifest cut", "manifest empty"])
def test_a_broken_checkpoint_falls_back_to_the_one_before_with_a_word(damage, capfd):
    config, folder = half_way()
    broken = newest(folder) if "manifest" in damage else state_of(newest(folder))
    content = broken.read_bytes()
    if damage == "gone":
        broken.unlink()
    else:
        kept = b"" if "empty" in damage else content[: len(content) // 2]
        broken.write_bytes(content[:-9] + b"otherwise" if damage == "other bytes" else kept)
    newest(folder, 1).with_name("manifest-00000001.json").write_bytes(b"")  # an old one does not matter
    tiny.same(run(config, folder), tiny.done("cram")[0])
    assert "cannot be used" in (said := capfd.readouterr().err)
    assert "the one before is" in said


def test_without_any_good_checkpoint_the_run_starts_anew_with_a_word(capfd):
    config, folder = half_way()
    for number in (0, 1):
        state_of(newest(folder, number)).write_bytes(b"")
    newest(folder, 1).write_bytes(b"{")
    again = run(config, folder)
    tiny.same(again, tiny.done("cram")[0])
    assert again["restarts"] == 0
    assert "no checkpoint can be used: the run starts anew" in capfd.readouterr().err


def test_the_checkpoint_of_another_run_is_refused():
    _, theirs = half_way("naive")
    config, folder = tiny.config("er"), tiny.new_folder()
    (theirs / "checkpoint").rename(folder / "checkpoint")
    with pytest.raises(ValueError, match=r"is one of run .*-naive-.*, not of .*-er-"):
        run(config, folder)


class Harmful:
    """What a crafted checkpoint would run."""

    def __reduce__(self):
        return (os.mkdir, (os.environ["HARM"],))


def forged(manifest: Path, **changes) -> None:
    """Change a manifest so that its own checksum is right."""
    content = {**json.loads(manifest.read_text()), **changes}
    content.pop("sha256")
    manifest.write_text(json.dumps({**content, "sha256": checkpoint._digest_of(content)}))


def test_crafted_checkpoints_are_refused_and_run_no_code(tmp_path, monkeypatch):
    monkeypatch.setenv("HARM", str(tmp_path / "harm"))
    config, folder = half_way()
    kept = {path: path.read_bytes() for path in (folder / "checkpoint").iterdir()}
    state, name = state_of(newest(folder)), state_of(newest(folder)).name
    torch.save({"position": Harmful()}, state)
    entry = {"bytes": state.stat().st_size, "sha256": checkpoint.hashlib.sha256(state.read_bytes()).hexdigest()}
    forged(newest(folder), files={**json.loads(newest(folder).read_text())["files"], name: entry})
    with pytest.raises(ValueError, match="holds what no checkpoint of ours holds"):
        run(config, folder)
    assert not (tmp_path / "harm").exists()
    for changes, said in (
        ({"files": {"../../secret": {"bytes": 1, "sha256": "0"}}}, "it names files outside its folder"),
        ({"format": 99}, "format 99, this harness reads 2"),
        ({"files": []}, "is refused"),
        ({"chunks": {"buffer.data": {"shape": [9, 9], "rows": 1, "names": [name]}}}, "do not make up the rows"),
    ):
        for path, content in kept.items():
            path.write_bytes(content)
        forged(newest(folder), **changes)
        with pytest.raises(ValueError, match=said):
            run(config, folder)


def test_a_state_that_does_not_fit_is_refused_in_one_line():
    config, folder = half_way("naive")
    manifest = json.loads(newest(folder).read_text())
    saved = checkpoint.Checkpoints(folder / "checkpoint", manifest["run_id"], manifest["sources"])
    content = saved.load()
    content["method"]["classifier"].popitem()
    saved.save(content, {})
    with pytest.raises(ValueError, match="does not fit this run: RuntimeError"):
        run(config, folder)


def test_what_other_sources_saved_is_put_aside_unless_forced(capfd, monkeypatch):
    config, folder = half_way()
    monkeypatch.setattr("harness.common.sources.sources_hash", lambda: "f" * 64)
    twin = tiny.new_folder() / "twin"
    subprocess.run(["cp", "-r", folder, twin], check=True)
    again = run(config, folder)
    assert again["restarts"] == 0
    assert "made by other sources: the run starts anew" in capfd.readouterr().err
    assert not (folder / "checkpoint-of-other-sources").exists()  # the run is done
    how = config.execution
    forced = replace(config, execution=replace(how, checkpoint=replace(how.checkpoint, resume="force")))
    again = run(forced, twin)
    assert again["restarts"] == 1
    assert len(again["earlier_sources"]) == 1


# ---- what a checkpoint holds


def test_chunks_that_did_not_change_are_not_written_again(tmp_path):
    rows = torch.arange(10 * 65536, dtype=torch.int64).to(torch.uint8).reshape(10, 65536)
    content, versions = {"method": {"store": {"data": rows, "count": 10}}}, torch.zeros(5, dtype=torch.int64).numpy()
    saved = checkpoint.Checkpoints(tmp_path / "c", "a-run", "sources")

    def save() -> int:
        saved.save(content, {("method", "store", "data"): (2, versions)})
        return sum("store.data" in path.name for path in (tmp_path / "c").iterdir())

    assert save() == 5
    whole = saved.bytes_written
    assert save() == 5  # the same files under a second manifest
    assert saved.bytes_written < whole - rows.nbytes + 1
    rows[4:6] += 1
    versions[2] += 1
    assert save() == 6  # the old one stays for the manifest before
    assert save() == 5
    other = checkpoint.Checkpoints(tmp_path / "c", "a-run", "sources")  # a new process knows no versions
    assert torch.equal(other.load()["method"]["store"]["data"], rows)
    other.save(content, {("method", "store", "data"): (2, versions + 7)})
    assert other.bytes_written < 65536  # it compares checksums


@pytest.mark.parametrize(("keep", "left"), [("none", None), ("live", ["live.pt"]), ("all", "manifest")])
def test_what_stays_of_the_checkpoint_of_a_done_run(keep, left):
    _, folder = tiny.done("naive", f"checkpoint.keep={keep}")
    names = sorted(path.name for path in (folder / "checkpoint").glob("*"))
    if keep == "live":
        weights = torch.load(folder / "checkpoint" / "live.pt", weights_only=True)
        assert set(weights) == {"classifier"}
    assert names == (left or []) if keep != "all" else any(name.startswith("manifest") for name in names)


# ---- disks


def test_a_full_disk_fails_the_run_clearly_and_with_room_it_goes_on(tmp_path, capfd):
    with killing.small_disk(tmp_path / "disk", "size=1m"):
        words = [*tiny.TINY, EACH_STEP, "methods=[cram]", f"out={tmp_path / 'disk'}", "launcher=inline"]
        assert main(words) == 1
        folder = next((tmp_path / "disk").glob("*-cram-*"))
        assert re.search(r"\nnot done: .* is failed: OSError: .*No space left on device", capfd.readouterr().err)
        assert not [path for path in folder.rglob("*") if path.name.endswith(f".{os.getpid()}")]
        subprocess.run(["mount", "-o", "remount,size=100m", tmp_path / "disk"], check=True)
        assert main(words) == 0
        again = json.loads((folder / "record.json").read_text())
    tiny.same(again, tiny.done("cram")[0])


def test_an_out_folder_that_cannot_be_written_to_is_said_in_one_line(tmp_path, capfd):
    with killing.small_disk(tmp_path / "disk", "ro"):
        assert main([*tiny.TINY, "methods=[naive]", f"out={tmp_path / 'disk'}"]) == 2
        assert "cannot be written to" in capfd.readouterr().err.strip().splitlines()[-1]


def test_a_record_that_was_cut_is_no_record(tmp_path, capfd):
    words = [*tiny.TINY, EACH_STEP, "methods=[naive]", f"out={tmp_path}", "launcher=inline"]
    assert main(words) == 0
    file = next(tmp_path.glob("*/record.json"))
    whole = json.loads(file.read_text())
    file.write_bytes(file.read_bytes()[:1000])
    assert [each.state for each in runs(tmp_path)[0]] != ["done"]
    assert main(words) == 0
    assert "its record is not valid" in capfd.readouterr().err
    tiny.same(json.loads(file.read_text()), whole)


# ---- safety


def test_nothing_of_the_environment_is_written_down(tmp_path, monkeypatch):
    monkeypatch.setenv("MY_TOKEN", "very-secret-value")
    assert main([*tiny.TINY, "methods=[naive]", f"out={tmp_path}"]) == 0
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 5
    assert not [path for path in files if b"very-secret-value" in path.read_bytes()]


def test_crafted_configs_are_refused_in_one_line(tmp_path):
    folder = killing.new_run(tmp_path, "naive")
    config = json.loads((folder / "config.json").read_text())
    for content, said in (
        ([], "is no config of a run"),
        ({"execution": 1}, "is no config of a run"),
        ({**config, "seed": 5}, "asks for run .*-naive-s5-.*, not for the run of its folder"),
        ({**config, "plugins": [{"path": str(Path(__file__)), "sha256": "../../x"}]}, "sha256"),
    ):
        write_json(folder / "config.json", content)
        execute(folder, lambda position: None)
        now = RunFolder(folder).status()
        assert now.state == "failed"
        assert re.search(said, now.reason), now.reason
    (folder / "config.json").write_text('{"execution": ')
    execute(folder, lambda position: None)
    assert "cannot be read" in RunFolder(folder).status().reason


def test_crafted_status_and_sweep_files_are_told_and_lead_nowhere(tmp_path, capsys):
    out = tmp_path / "out"
    folder = killing.new_run(out, "naive")
    (tmp_path / "outside").mkdir()
    (out / "sweeps").mkdir()
    write_json(out / "sweeps" / "x.json", {"runs": ["../outside", "/etc", 5, folder.name]})
    reasons = ["[/bold] [red]markup", "\x1b[2Jcontrol"]
    cases = [{"state": 5}, {"state": "done", "position": "x"}, {"position": {"experience": "a"}}, [], {"restarts": "x"},
             {"heartbeat": "soon"}, {"started": [1]}]  # fmt: skip
    cases += [{"state": "failed", "reason": reason} for reason in reasons]
    for content in cases:
        write_json(folder / "status.json", content)
        assert status.main([str(out)]) in (0, 1)
        said = capsys.readouterr().out
        assert "1 runs:" in said, content
        assert "\x1b" not in said
        assert isinstance(RunFolder(folder).status().restarts, int)
    assert list((tmp_path / "outside").iterdir()) == []
