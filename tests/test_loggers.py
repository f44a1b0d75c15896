"""Loggers show what the run's folder holds, each number once, also after a kill; and never change a run."""

import importlib.util
import json
import os
import struct
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness import run as command
from harness.common import plugins
from harness.config.compose import request
from harness.launching.execution import read_config
from harness.loggers import LOGGERS
from harness.storage.record import comparable
from harness.training.execute import run
from harness.training.loop import Run
from tests.killing import SHORT, new_run
from tests.tiny import done, same

BLOCK, WHOLE, LAST = 32768, 1, 4
Told = dict[str, list[tuple[int, float]]]  # name -> (step or experience, value)
OWN = '''
"""A logger of a user: one text file a run."""
import json, random
from harness.loggers import LOGGERS
from harness.loggers.logger import Logger

@LOGGERS.register("lines")
class Lines(Logger):
    """a line of text for each call"""
    def __init__(self, folder, config):
        self.file = open(folder / "lines.txt", "w")
        self.told = config["method"]["name"]
    def scalars(self, axis, at, values):
        print(axis, at, json.dumps(values), random.random(), file=self.file, flush=True)
    def end(self, values, table, matrix):
        print(self.told, len(table), matrix.size, file=self.file, flush=True)
'''


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No account and no network."""
    for name in list(os.environ):
        if name.startswith(("WANDB_", "MLFLOW_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("WANDB_MODE", "offline")


@pytest.fixture
def own(tmp_path: Path) -> str:
    (tmp_path / "lines.py").write_text(OWN)
    return f"plugins=[{tmp_path / 'lines.py'}]"


def tensorboard(folder: Path) -> tuple[Told, bool]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder / "tensorboard")).Reload()
    tags = events.Tags()
    assert "carried" in events.Tensors("table/text_summary")[0].tensor_proto.string_val[0].decode()
    told = {name: [(each.step, each.value) for each in events.Scalars(name)] for name in tags["scalars"]}
    return told, events.Images("accuracy matrix")[0].width > 100


def wandb(folder: Path) -> tuple[Told, bool]:
    from wandb.proto.wandb_internal_pb2 import Record

    (file,) = folder.glob("wandb/offline-run-*/*.wandb")
    told: Told = {}
    pictures = False
    for data in logged(file.read_bytes()):
        record = Record()
        record.ParseFromString(data)
        line = {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in record.history.item}
        final = {item.key: json.loads(item.value_json) for item in record.summary.update if "final/" in item.key}
        pictures |= "accuracy matrix/path" in line
        at = line.get("step", line.get("experience", 0))
        for name, value in (line | final).items():
            if "/" in name:
                told.setdefault(name, []).append((at if name in line else 0, value))
    return told, pictures


def logged(content: bytes) -> Iterator[bytes]:
    """The entries of a file in LevelDB's log format: parts of entries with 7 bytes before each, in blocks of 32 kB."""
    at, entry = 7, b""
    while at + 7 <= len(content):
        if BLOCK - at % BLOCK < 7:
            at += BLOCK - at % BLOCK
        length, kind = struct.unpack("<HB", content[at + 4 : at + 7])
        entry += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (WHOLE, LAST):
            yield entry
            entry = b""


def mlflow(folder: Path) -> tuple[Told, bool]:
    from mlflow.tracking import MlflowClient

    client = MlflowClient((folder.parent / "mlflow").as_uri())
    study = client.get_experiment_by_name(folder.parent.name)
    (found,) = client.search_runs([study.experiment_id])
    assert found.data.params["method.name"] == "naive"
    told = {name: [(each.step, each.value) for each in client.get_metric_history(found.info.run_id, name)]
            for name in found.data.metrics}  # fmt: skip
    return told, "accuracy_matrix.png" in [each.path for each in client.list_artifacts(found.info.run_id)]


def lines_of(folder: Path, name: str) -> list[dict]:
    return [json.loads(line) for line in (folder / f"{name}.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("read", [tensorboard, wandb, mlflow])
def test_a_killed_run_is_shown_as_its_folder_holds_it(read, out):
    name = read.__name__
    if importlib.util.find_spec(name) is None:
        pytest.skip(f"{name} is not installed")
    folder = new_run(out, "naive", f"log.to=[{name}]", "log.every=2")
    config, seen = read_config(folder), []

    def die(position):
        seen.append(position)
        if len(seen) == 9:  # in the second experience
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Run(config, folder, die).to_the_end()
    record = run(config, folder)
    assert record["restarts"] == 1
    told, picture = read(folder)
    assert picture
    losses = [(5 * each["experience"] + each["step"], each["loss"]) for each in lines_of(folder, "steps")]
    assert told["classifier/loss"] == [(step, pytest.approx(loss)) for step, loss in losses]
    means = [sum(row[: k + 1]) / (k + 1) for k, row in enumerate(record["accuracy"])]
    assert told["after_experience/accuracy"] == [(k, pytest.approx(mean)) for k, mean in enumerate(means)]
    assert told["after_experience/accuracy_on_2"] == [(2, pytest.approx(record["accuracy"][2][2]))]
    assert told["final/final_accuracy"] == [(0, pytest.approx(means[-1]))]
    alone, _ = done("naive", *SHORT[1:], "log.every=2")
    same(comparable(record) | {"run_id": ""}, comparable(alone) | {"run_id": ""})


def test_a_logger_of_ones_own_is_one_file(own, out, capsys):
    words = [*SHORT, "methods=[naive]", own, f"out={out}", "log.to=lines", "log.every=3"]
    assert command.main(words) == 0
    (folder,) = (path for path in out.iterdir() if path.name != "sweeps")
    told = (folder / "lines.txt").read_text().splitlines()
    assert [line.split()[:2] for line in told[:3]] == [["step", "1"], ["step", "4"], ["step", "5"]]
    assert told[-1].startswith("naive ")
    without = request([word for word in words if word not in (own, "log.to=lines")]).runs
    assert list(without) == [folder.name]  # it is no part of what the run is
    alone, _ = done("naive", *SHORT[1:])
    same(json.loads((folder / "record.json").read_text()), alone)  # though it drew random numbers


def test_files_of_method_and_logger_are_both_loaded_where_the_run_is_carried_out(own, out, tmp_path):
    mine = tmp_path / "mine.py"
    mine.write_text("from methods.contract import register\nfrom methods.naive import Naive\n\n"
                    "@register('mine')\nclass Mine(Naive):\n    'is mine'\n")  # fmt: skip
    both = f"plugins=[{mine},{own.partition('[')[2]}"
    (config,) = request([*SHORT, "methods=[mine]", both, "log.to=[lines]"]).runs.values()
    assert [Path(each["path"]).name for each in config.plugins] == ["mine.py"]
    assert [Path(each["path"]).name for each in plugins.of_run(config.plain())] == ["mine.py", "lines.py"]
    plugins.load([])
    assert "lines" not in LOGGERS
    plugins.load_listed(plugins.of_run(config.plain()), Path("/nowhere"))
    assert "lines" in LOGGERS
    assert "mine" in sys.modules["methods"].METHODS


def test_a_logger_that_fails_is_left_out_and_the_run_goes_on(own, out, tmp_path, capsys):
    file = tmp_path / "lines.py"
    file.write_text(OWN.replace("print(axis", "raise OSError('the disk\\nis full')\n        print(axis"))
    words = [*SHORT, "methods=[naive]", own, f"out={out}", "log.to=[lines]", "launcher=inline"]
    assert command.main(words) == 0
    said = [line for line in capsys.readouterr().err.splitlines() if "log.to=lines" in line]
    assert len(said) == 1
    assert said[0].endswith("OSError: the disk is full")


@pytest.mark.parametrize(
    ("words", "part"),
    [
        (["log.to=[tensorbord]"], "did you mean 'tensorboard'"),
        (["log.to=[lines,needs]"], "pip install no_such_package"),
        (["log.to=[mlflow]"], "pip install '.[mlflow]'"),
        (["log.to=[tensorboard],[]"], "one value for the whole command"),
    ],
)
def test_what_cannot_be_used_is_refused_before_anything_runs(words, part, own, out, tmp_path, monkeypatch, capsys):
    with open(tmp_path / "lines.py", "a") as file:
        file.write("\n@LOGGERS.register('needs')\nclass Needs(Lines):\n    'x'\n    requires = 'no_such_package'\n")
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "mlflow" else found(name))
    assert command.main([*SHORT, "methods=[naive]", own, f"out={out}", *words]) == 2
    said = capsys.readouterr().err
    assert part in said
    assert said.count("\n") == 1
    assert not list(out.iterdir())


@pytest.mark.skipif(importlib.util.find_spec("wandb") is None, reason="wandb is not installed")
def test_without_an_account_weights_and_biases_says_how_to_do_without(out, monkeypatch, tmp_path):
    monkeypatch.setenv("WANDB_MODE", "online")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path))
    with pytest.raises(ValueError, match="WANDB_MODE=offline"):
        LOGGERS.get("wandb").check("wandb")
