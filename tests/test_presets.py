"""Presets: every file is sound, the user's words win, any of them moves to another benchmark, a report answers one."""

import json
import re
from itertools import product
from pathlib import Path

import pytest

from harness.common.words import value_of
from harness.config import presets
from harness.config.compose import request
from harness.run import main
from methods import METHODS
from results import report
from results.load import load
from tests.synthetic import run
from tests.test_real_streams import shared
from tests.test_report import Page
from tests.tiny import CACHE

NAMES = sorted(file.stem for file in presets.FOLDER.glob("*.yaml"))
EXPERIMENTS = [
    "buffer_size", "compression_rate", "equal_bytes", "equal_work", "from_scratch", "iid_bound", "long_stream", "paper",
    "ood_frozen", "pretrained", "refresh_ablation",
]  # fmt: skip
TINY = ["compressor.steps=2", "classifier.steps=2", "benchmark.clips_per_class=1", "replicates=1", "launcher=inline"]


def configs(*words: str) -> list[dict]:
    return [config.plain() for config in request([*words, f"paths.cache={CACHE}"]).runs.values()]


def methods_of(found: list[dict]) -> dict[str, int]:
    names = [config["method"]["name"] for config in found]
    return {name: names.count(name) for name in names}


def test_the_experiments_are_there() -> None:
    assert set(EXPERIMENTS) <= set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_is_sound(name: str) -> None:
    preset = presets.find(name)
    assert preset.question.endswith("?")
    for key, value in preset.report.items():  # as results.report reads it; ValueError for a word it does not know
        text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
        assert value_of(key, text, report.OPTIONS[key])
    report.check_names(preset.report)
    assert len(preset.report.get("compared", [])) <= 6
    shown = {method for words, _ in preset.blocks for method in words["methods"]}
    assert shown <= {*METHODS, "all"}
    if {"no_refresh", "no_snapshot"} & shown:  # the two uses of the snapshot are never shown as one
        assert {"no_refresh", "no_snapshot"} <= shown
    if name != "smoke":
        replicates = [word for words, _ in preset.blocks for word in re.findall(r"\d+", str(words["replicates"]))]
        assert min(map(int, replicates)) >= 100  # settings were chosen on replicates below


def test_blocks_of_a_preset_are_its_runs() -> None:
    found = configs("preset=refresh_ablation")
    by_block = [c for c in found if (c["compressor"]["reinit"], c["compressor"]["replace"]) == ("never", "always")]
    assert methods_of(by_block) == dict.fromkeys(
        ["cram", "no_refresh", "no_snapshot", "refresh_only", "current_decoder", "frozen", "all_decoders"], 9
    )
    assert methods_of([c for c in found if c["compressor"]["reinit"] == "each_task"])["cram"] == 5
    assert methods_of([c for c in found if c["compressor"]["replace"] == "first_task"])["no_snapshot"] == 5
    assert {(c["protocol"], c["seed"] - c["order_seed"]) for c in found} == {("moving-digits-10/v1", 0)}


def test_words_of_the_user_win() -> None:
    found = configs("preset=equal_bytes", "methods=er", "er.codec=jpeg", "replicates=[7]", "memory.budget=1x,0.5x")
    assert {c["memory"]["budget"] for c in found} == {200_000, 400_000}
    assert {(c["memory"]["count"], c["seed"]) for c in found} == {("carried", 7), ("total", 7)}
    assert {c["method"]["settings"]["codec"] for c in found} == {"jpeg"}
    # The preset's words on er go with er, its replicates where seeds are given, its protocol with the benchmark.
    assert methods_of(configs("preset=equal_work", "methods=cram", "seeds=[1,2]", "order_seeds=0")) == {"cram": 4}
    assert len(configs("preset=iid_bound", "methods=naive", "protocol=moving-digits-10", "replicates=2")) == 2
    rates = configs("preset=compression_rate", "methods=frozen", "replicates=1")
    assert {(c["compressor"]["patch"][1], c["compressor"]["n_codebooks"]) for c in rates} == {
        (4, 1), (4, 2), (4, 4), (8, 1), (8, 2)
    }  # fmt: skip


def test_a_preset_moves_to_another_benchmark_or_says_why_not(tmp_path: Path) -> None:
    lines = [f"clip{i}.mp4,0,2,{'train' if i < 24 else 'test'},{'abcdef'[i % 6]}" for i in range(36)]
    for i in range(36):
        (tmp_path / f"clip{i}.mp4").touch()  # a plan does not open the videos
    (tmp_path / "clips.csv").write_text("\n".join(["file,start,stop,split,action", *lines]) + "\n")
    words = ["benchmark=video_csv", f"video_csv.annotations={tmp_path / 'clips.csv'}", "benchmark.tasks=3"]
    words += [
        f"video_csv.videos={tmp_path}",
        "benchmark.frames=8",
        "benchmark.size=32",
        "memory.budget=1MB",
        "replicates=2",
    ]
    found = configs("preset=from_scratch", *words)
    assert {(c["benchmark"]["name"], c["protocol"], c["benchmark"]["tasks"]) for c in found} == {
        ("video_csv", "custom", 3)
    }
    assert methods_of(found)["er"] == 6
    for given, said in {
        "preset=smoke benchmark=kinetics": "sets benchmark.clips_per_class, which benchmark=kinetics has not: it is "
        "made for benchmark=moving_digits (protocol=moving-digits-5/v1)",
        "preset=smok": "unknown preset 'smok'; did you mean 'smoke'?",
        "preset=smoke,iid_bound": "preset takes one value",
        "preset=iid_bound kinetics.annotations=x": "no run is on benchmark=kinetics",
        "preset=iid_bound kinetics.anotations=x": "has no option 'anotations'; did you mean 'annotations'?",
        "methods=er memory.budget=0x": "memory.budget=0",
        "methods=er benchmark=video_csv memory.budget=2x": "needs memory.budget=",
    }.items():
        with pytest.raises(ValueError, match=re.escape(said)):
            configs(*given.split(), *(words[1:6] if "video_csv" in given else []))


def test_a_report_answers_the_question_of_the_preset_that_ran(tmp_path: Path, capsys) -> None:
    out = tmp_path / "runs"
    words = [*TINY, f"paths.cache={CACHE}", f"out={out}"]
    assert main(["preset=equal_work", *words, "er.codec=raw"]) == 0
    printed = capsys.readouterr().out
    assert "CPU" in printed  # a column of the preset's table
    asked = json.loads(next((out / "sweeps").glob("*.json")).read_text())
    assert (asked["preset"], asked["report"]["title"]) == ("equal_work", "equal_work")
    assert main(["methods=naive", "protocol=moving-digits-5", *words]) == 0
    capsys.readouterr()
    assert len(load(out).done) == 4
    run(report, capsys, out, "sweep=equal_work")
    page = Page((out / "report.html").read_text())
    assert "when methods without a compressor get its training steps too?" in page.text
    rows = [row[0] for row in page.table("method", "n", "final accuracy")]
    assert rows == ["method", "cram", "frozen", "er"]  # of the preset's runs alone
    assert [tag for tag, _ in page.tags].count("img") == 2  # its plots
    run(report, capsys, out, "plots=cost")  # the newest sweep is no preset: everything
    assert "naive" in [row[0] for row in Page((out / "report.html").read_text()).table("method", "n")]


def test_the_paper_s_settings_need_the_annotations_alone() -> None:
    words = [f"epic_kitchens.annotations={shared('ek100')}", f"kinetics.annotations={shared('kinetics')}"]
    found = configs("preset=paper", *words, "kinetics.source=validation", "methods=[cram,joint]", "replicates=1")
    settings = {(c["benchmark"]["name"], c["label"], c["setting"]) for c in found}
    assert settings == {
        *product(["epic_kitchens"], ["noun", "verb"], ["scratch", "pretrained"]),
        *product(["kinetics"], ["action"], ["scratch", "pretrained"]),
    }
    assert methods_of(found) == {"cram": 6, "joint": 6}
    assert {(c["profile"], c["compressor"]["n_codebooks"], c["classifier"]["network"]) for c in found} == {
        ("paper", 6, "s3d")
    }
    assert {c["protocol"] for c in found} == {"ek100-noun-10/v1", "ek100-verb-10/v1", "custom"}  # no train file here
