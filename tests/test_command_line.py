"""The command line: what it asks for, what it leaves behind, and what happens when runs go wrong."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from dataclasses import fields
from pathlib import Path

import pytest

from harness.common.settings import declared
from harness.run import main
from methods.shared.settings import SHARED

ROOT = Path(__file__).parent.parent
TINY = ["preset=smoke", "benchmark.clips_per_class=1", "compressor.steps=2", "classifier.steps=2"]

# Methods of a user: one that fails, one that is killed, one that waits to be stopped.
PLUGIN = """
import os, signal, time
from methods.contract import Phase, register
from methods.naive import Naive

class Told(Naive):
    def phases(self, experience):
        return [Phase("trouble", lambda: experience.clips, self.trouble, steps=2, batch=2)]

@register("raises")
class Raises(Told):
    def trouble(self, batch):
        raise RuntimeError("out of luck\\nand more")

@register("killed")
class Killed(Told):
    def trouble(self, batch):
        os.kill(os.getpid(), signal.SIGKILL)

@register("waits")
class Waits(Told):
    def trouble(self, batch):
        time.sleep(1)
        return {"loss": 1.0}
    def phases(self, experience):
        return [Phase("trouble", lambda: experience.clips, self.trouble, steps=600, batch=2)]
"""


@pytest.fixture
def plugin(tmp_path) -> str:
    file = tmp_path / "mine" / "my_method.py"
    file.parent.mkdir()
    file.write_text(PLUGIN)
    return f"plugins={file}"


def planned(capsys, *words: str) -> list[str]:
    """Run ids that a command line asks for."""
    capsys.readouterr()
    assert main([*words, "plan=true"]) == 0
    out = capsys.readouterr().out
    ids = re.findall(r"^  (\S+)$", out, flags=re.MULTILINE)
    assert f"{len(ids)} runs" in out
    return ids


# ---- help and packages


def test_a_list_that_nobody_reads_to_its_end_ends_quietly():
    command = f"{sys.executable} -m harness.list methods | true"
    done = subprocess.run(["bash", "-c", command], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stderr == ""


def test_help_imports_nothing_heavy_and_covers_every_shared_setting():
    code = (
        "import sys; from harness.run import main; main(['--help'])\n"
        "print([m for m in ('torch', 'hydra', 'omegaconf', 'pandas', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    for group, settings in SHARED.items():
        for entry in fields(settings):
            default = "" if entry.default == "" else r"=\S+"
            assert re.search(rf"^  {group}\.{entry.name}{default} +\S+", done.stdout, flags=re.MULTILINE)
            assert declared(entry).text in done.stdout


@pytest.mark.parametrize("package", ["methods", "results"])
def test_a_package_of_the_user_that_hides_ours_is_named_with_both_paths(tmp_path, package):
    (tmp_path / package).mkdir()
    (tmp_path / package / "__init__.py").write_text("raise SystemExit('the wrong package was imported')")
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-m", "harness.run", "methods=cram"]
    done = subprocess.run(words, cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 2
    assert str(tmp_path / package) in done.stderr
    assert str(ROOT / package) in done.stderr


def test_a_folder_of_results_without_code_hides_nothing(tmp_path):
    (tmp_path / "results").mkdir()
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    code = "from harness import check_packages; check_packages()"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True)


# ---- what is asked for


def test_commas_sweep_and_lists_come_from_scalars(capsys, cache):
    def count(*words: str) -> int:
        return len(planned(capsys, cache, *words))

    assert count("methods=naive") == count("methods=[naive]") == 1
    assert count("methods=naive,er", "replicates=2") == 4
    assert count("methods=naive", "compressor.steps=5,6", "classifier.steps=1,2,3") == 6
    assert count("methods=naive", "seeds=[0,1]", "order_seeds=range(0,3)") == 6
    assert count("methods=[naive,er]", "methods=naive") == 1  # the last one holds
    assert count("methods=[naive,er]", "er.codec=raw,jpeg") == 3  # naive is the same run under both
    assert count("methods=er", "compressor.patch=[4,4,4],[2,4,4]") == 2
    assert count("methods=naive", "protocol=moving-digits-10,moving-digits-5") == 2


def test_replicates_set_both_seeds(capsys, cache):
    ids = planned(capsys, cache, "methods=naive", "replicates=[100,101]")
    assert [re.search(r"-s(\d+)-o(\d+)-", each).groups() for each in ids] == [("100", "100"), ("101", "101")]
    assert ids[0] == planned(capsys, cache, "methods=naive", "seeds=100", "order_seeds=100")[0]


def test_protocols_by_name_and_custom_where_something_is_changed(capsys, cache):
    default = planned(capsys, cache, "methods=naive")
    assert default[0].startswith("moving-digits-10-v1-naive-s0-o0-")
    assert planned(capsys, cache, "methods=naive", "benchmark=moving_digits", "protocol=moving-digits-10/v1") == default
    assert planned(capsys, cache, "methods=naive", "protocol=moving-digits-5")[0].startswith("moving-digits-5-v1-")
    for change in ("benchmark.tasks=8", "label=noun", "benchmark.leak=0.5"):
        assert planned(capsys, cache, "methods=naive", change)[0].startswith("moving_digits-naive-")
    # The budget is not part of the rule.
    assert planned(capsys, cache, "methods=naive", "memory.budget=1MB")[0].startswith("moving-digits-10-v1-")


def test_the_command_line_wins_over_a_preset_and_a_preset_over_the_protocol(capsys, cache, tmp_path):
    assert main([*TINY, cache, "methods=naive", "launcher=inline", f"out={tmp_path}", "classifier.steps=1"]) == 0
    config = json.loads(next(tmp_path.glob("*naive*/config.json")).read_text())
    assert config["classifier"]["steps"] == 1  # of the command line
    assert config["compressor"]["batch"] == 8  # of the preset
    assert config["benchmark"]["tasks"] == 2  # of the preset, not of the protocol that the preset names
    assert config["memory"] == {"budget": 400_000, "count": "carried"}  # of that protocol


def test_run_id_depends_on_what_decides_the_result_and_on_nothing_else(capsys, cache, tmp_path):
    base = planned(capsys, cache, "methods=er")
    execution = ["workers=7", "threads=2", f"out={tmp_path / 'x'}", "launcher=inline", "device=cpu", "debug=true",
                 "checkpoint.minutes=0.5", "log.every=3", "strict_state=true", f"paths.cache={tmp_path}"]  # fmt: skip
    assert planned(capsys, "methods=er", *execution) == base
    assert planned(capsys, cache, "methods=er", "memory.budget=700000") == base
    for word in ("memory.budget=701kB", "er.quality=5", "precision=bfloat16", "evaluate=validation", "seeds=1",
                 "setting=pretrained", "replay.share=0.5", "benchmark.data_seed=1"):  # fmt: skip
        assert planned(capsys, cache, "methods=er", word) != base


def test_a_plugin_counts_by_its_bytes_and_only_for_its_own_methods(capsys, cache, tmp_path):
    def ids(folder: str, name: str, method: str, comment: str = "") -> list[str]:
        file = tmp_path / folder / "f.py"
        file.parent.mkdir(exist_ok=True)
        head = f"# {comment}\nfrom methods.contract import register\nfrom methods.naive import Naive\n"
        file.write_text(f"{head}@register('{name}')\nclass Mine(Naive): ...\n")
        return planned(capsys, cache, f"methods={method}", f"plugins={file}")

    assert ids("a", "mine", "naive") == planned(capsys, cache, "methods=naive")
    assert ids("a", "mine", "mine") == ids("b", "mine", "mine")
    first, second = ids("a", "one", "one"), ids("a", "two", "two", "another file")
    assert first[0].rpartition("-")[2] != second[0].rpartition("-")[2]


def test_plan_prints_steps_and_bytes_and_makes_nothing(capsys, tmp_path):
    words = ["methods=[cram,er]", "replicates=5", f"out={tmp_path / 'out'}", f"paths.cache={tmp_path / 'cache'}"]
    assert main([*words, "plan=true"]) == 0
    out = capsys.readouterr().out
    assert "10 runs" in out
    assert re.search(r"compressor 1,000.*\n.*classifier 3,000", out)
    assert max(len(line) for line in out.splitlines() if not line.startswith("note: ")) <= 100
    assert "128 (192x)" in out
    assert "24,576 (1x)" in out
    assert list(tmp_path.iterdir()) == []


def test_a_plan_cuts_long_lists_and_names_what_differs(capsys, cache):
    from harness.planning.plan import shortened

    words = ["methods=[er]", "compressor.reinit=never,each_task", "er.codec=raw,jpeg", "replicates=30", cache]
    assert main([*words, "plan=true"]) == 0
    out = capsys.readouterr().out
    assert "120 runs" in out
    assert "and 115 more runs (debug=true prints all)" in out
    assert out.count("reinit=never") == out.count("codec=jpeg") == 2
    assert len(planned(capsys, *words, "debug=true")) == 120
    names = [f"class{i}" for i in range(197)]
    assert shortened(f"197 left out; classes: {', '.join(names)}") == (
        "197 left out; classes: class0, class1, class2, class3, class4 and 192 more (debug=true prints all)"
    )
    assert shortened("sizes: 1, 2, 3") == "sizes: 1, 2, 3"


# ---- runs


def test_two_runs_leave_records_and_the_same_command_again_does_nothing(capsys, cache, tmp_path):
    words = [*TINY, cache, "methods=[naive,cram]", f"out={tmp_path}", "workers=2"]
    assert main(words) == 0
    first = capsys.readouterr()
    for method in ("naive", "cram"):
        assert re.search(rf"moving_digits-{method}-s0-o0: task 2/2 .* (trouble|classifier|compressor)", first.err)
        (folder,) = tmp_path.glob(f"*-{method}-*")
        assert {"config.json", "record.json", "predictions.npz", "log.txt"} <= {f.name for f in folder.iterdir()}
        status = json.loads((folder / "status.json").read_text())
        assert (status["state"], status["reason"], status["position"]["experience"]) == ("done", None, 1)
    (sweep,) = (tmp_path / "sweeps").iterdir()
    assert json.loads(sweep.read_text())["methods"] == ["naive", "cram"]
    stamps = {file: file.stat().st_mtime_ns for file in tmp_path.glob("*/record.json")}

    assert main(words) == 0
    second = capsys.readouterr()
    assert second.out == first.out
    assert second.err == ""
    assert {file: file.stat().st_mtime_ns for file in tmp_path.glob("*/record.json")} == stamps
    assert len(list((tmp_path / "sweeps").iterdir())) == 1

    # A record of other sources is told of, and made anew only when asked for.
    file = next(iter(stamps))
    file.write_text(json.dumps(json.loads(file.read_text()) | {"sources": "0" * 64}))
    assert main(words) == 0
    assert f"{file.parent.name}: its record was made by other sources" in capsys.readouterr().err
    assert main([*words, "rerun=changed"]) == 0
    assert json.loads(file.read_text())["sources"] != "0" * 64
    for file in stamps:
        file.write_text(json.dumps(json.loads(file.read_text()) | {"sources": "0" * 64}))
    assert main(words) == 0
    (line,) = capsys.readouterr().err.splitlines()[-1:]
    assert line.startswith("2 records, of ")
    assert "rerun=changed" in line


def test_inline_gives_the_record_of_a_process(capsys, cache, tmp_path):
    from results.schema import comparable

    records = []
    for launcher in ("local", "inline"):
        out = tmp_path / launcher
        assert main([*TINY, cache, "methods=no_refresh", f"out={out}", f"launcher={launcher}", "workers=1"]) == 0
        records.append(comparable(json.loads(next(out.glob("*/record.json")).read_text())))
    assert records[0] == records[1]


def test_runs_that_fail_or_are_killed_leave_the_others_alone(capsys, cache, plugin, tmp_path):
    out = tmp_path / "runs"
    words = [*TINY, cache, plugin, "methods=[raises,killed,naive]", f"out={out}", "workers=2"]
    assert main(words) == 1
    captured = capsys.readouterr()
    lines = [line for line in captured.err.splitlines() if line.startswith("not done: ")]
    assert len(lines) == 2
    assert re.search(r"raises\S* is failed: RuntimeError: out of luck and more", lines[0])
    assert re.search(r"killed\S* is failed: killed by signal 9", lines[1])
    assert len(list(out.glob("*-naive-*/record.json"))) == 1
    assert "Traceback" in next(out.glob("*-raises-*/log.txt")).read_text()
    assert re.search(r"^ naive .* 1 ", captured.out, flags=re.MULTILINE)

    # What is done stays done; what is not is tried again.
    assert main(words) == 1
    captured = capsys.readouterr()
    assert "naive-s0-o0: done" not in captured.err
    assert json.loads(next(out.glob("*-raises-*/status.json")).read_text())["restarts"] == 1


def test_ctrl_c_stops_the_runs_and_the_exit_code_says_so(capsys, cache, plugin, tmp_path):
    out = tmp_path / "runs"
    before = signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # ignored where a shell began us in the background

    def interrupt() -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            states = [json.loads(file.read_text()) for file in out.glob("*/status.json")]
            if any(status["position"] for status in states):
                os.kill(os.getpid(), signal.SIGINT)
                return
            time.sleep(0.1)

    thread = threading.Thread(target=interrupt)
    thread.start()
    code = main([*TINY, cache, plugin, "methods=waits", "seeds=[0,1]", f"out={out}", "workers=1"])
    thread.join()
    signal.signal(signal.SIGINT, before)
    assert code == 130
    states = {file.parent.name: json.loads(file.read_text()) for file in out.glob("*/status.json")}
    assert sorted(status["state"] for status in states.values()) == ["preempted", "queued"]
    for status in states.values():
        if status["pid"] is not None:
            with pytest.raises(ProcessLookupError):
                os.kill(status["pid"], 0)
    assert "is preempted: stopped" in capsys.readouterr().err


def test_a_run_that_another_command_carries_out_is_left_to_it(capsys, cache, tmp_path):
    from harness.storage.lease import taken

    words = [*TINY, cache, "methods=naive", f"out={tmp_path}", "launcher=inline"]
    (run_id,) = planned(capsys, *words)
    (tmp_path / run_id).mkdir()
    with taken(tmp_path / run_id):
        assert main(words) == 1
    assert f"not done: {run_id}" in capsys.readouterr().err
    assert not (tmp_path / run_id / "config.json").exists()


def test_a_run_that_another_command_is_only_queueing_is_not_left_to_it(capsys, cache, tmp_path):
    from harness.storage.lease import taken

    words = [*TINY, cache, "methods=naive", f"out={tmp_path}", "launcher=inline"]
    (run_id,) = planned(capsys, *words)
    (tmp_path / run_id).mkdir()
    held = threading.Event()

    def other_command() -> None:
        with taken(tmp_path / run_id):
            held.set()
            time.sleep(0.5)

    thread = threading.Thread(target=other_command)
    thread.start()
    held.wait()
    assert main(words) == 0
    thread.join()


def test_methods_are_named_by_pattern_too(capsys):
    ids = planned(capsys, *TINY, "methods=[er,cr*]")
    assert [re.sub("-s0.*", "", name).rpartition("-")[2] for name in ids] == ["er", "cram"]
    assert len(planned(capsys, *TINY, "methods=[cram,*_refresh]")) == 2
    assert main(["methods=[crx*]", "plan=true"]) == 2
    assert "no method fits 'crx*'" in capsys.readouterr().err
