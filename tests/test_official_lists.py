"""UCF101, HMDB51 and Something-Something V2 in the layout of their releases, and the class orders of TCD."""

import json
from pathlib import Path

import numpy as np
import pytest

import benchmarks
from benchmarks.official_lists import SEEDS, tcd_orders
from benchmarks.protocols import PROTOCOLS
from benchmarks.stream import build_stream
from harness.run import main
from tests import videos
from tests.test_real_streams import shared

# Class -> its clips for training and for testing, in each data set's own way of naming.
CLIPS = {
    "ucf101": {
        name: ([f"{name}/v_{name}_g{8 + k:02d}_c01.avi" for k in range(3)], [f"{name}/v_{name}_g01_c01.avi"])
        for name in ("Archery", "Bowling", "CliffDiving", "Diving")
    },
    "hmdb51": {
        name: ([f"{name}/Film{k}_{name}_u_cm_np1_fr_med_0.avi" for k in range(3)],
               [f"{name}/#9_Other's_(Film)_{name}_f_nm_np1_ba_goo_1.avi"])
        for name in ("brush_hair", "cartwheel", "catch", "chew")
    },
    "ssv2": {
        name: ([f"{100 * c + k}.webm" for k in range(3)], [f"{100 * c + 50}.webm"])
        for c, name in enumerate(f"{verb} [something]" for verb in ("Closing", "Folding", "Pushing", "Tearing"))
    },
}  # fmt: skip


def lists(name: str, folder: Path) -> None:
    """The files of lists as they are released."""
    folder.mkdir()
    for number, (action, parts) in enumerate(CLIPS[name].items()):
        if name == "ucf101":
            for part, clips in zip(("train", "test"), parts, strict=True):
                with open(folder / f"{part}list01.txt", "a", encoding="utf-8", newline="") as file:
                    file.writelines(f"{clip} {number + 1}\r\n" if part == "train" else f"{clip}\r\n" for clip in clips)
        elif name == "hmdb51":
            rows = [f"{Path(clip).name} {code} \n" for clips, code in zip(parts, "12", strict=True) for clip in clips]
            (folder / f"{action}_test_split1.txt").write_text("".join([*rows, f"left_{action}_out.avi 0 \n"]))
    if name == "ssv2":
        for k, part in enumerate(("train", "validation")):
            rows = [{"id": Path(clip).stem, "label": "with a cup", "template": action, "placeholders": ["a cup"]}
                    for action, parts in CLIPS[name].items() for clip in parts[k]]  # fmt: skip
            (folder / f"something-something-v2-{part}.json").write_text(json.dumps(rows))
        ids = {action.replace("[", "").replace("]", ""): str(k) for k, action in enumerate(CLIPS[name])}
        (folder / "something-something-v2-labels.json").write_text(json.dumps(ids))


def films(name: str, folder: Path) -> None:
    """The videos as they are unpacked; a clip's frames show its place in the list."""
    paths = [clip for parts in CLIPS[name].values() for clips in parts for clip in clips]
    made = videos.Made("webm", "libvpx", n=12) if name == "ssv2" else videos.Made("avi", "mpeg4", n=12)
    for number, path in enumerate(paths):
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        videos.write(folder / path, made, [number] * 12)


@pytest.mark.parametrize("name", CLIPS)
def test_a_data_set_as_it_is_unpacked_runs_to_a_record(tmp_path, capsys, name):
    lists(name, tmp_path / "lists")
    films(name, tmp_path / "films")
    given = {"annotations": str(tmp_path / "lists"), "videos": str(tmp_path / "films"), "tasks": 2, "frames": 8,
             "size": 64, "codec": "raw", "valid": 0.3}  # fmt: skip
    found = benchmarks.load(name, given, tmp_path / "cache")
    order = [Path(clip).stem for parts in CLIPS[name].values() for clips in parts for clip in clips]
    for row, sample in enumerate(found.table.frame["sample_id"]):
        clip = found.reader.read(np.array([row]))[0]
        assert videos.number_of(np.asarray(clip)[0]) == order.index(sample)
    assert found.table.frame["split"].value_counts().to_dict() == {"train": 8, "valid": 4, "test": 4}
    if name == "hmdb51":
        words = [f"benchmark={name}", *(f"benchmark.{key}={value}" for key, value in given.items()), "methods=[naive]",
                 "benchmark.order=even", "classifier.steps=2", "launcher=inline", f"out={tmp_path / 'runs'}",
                 f"paths.cache={tmp_path / 'cache'}"]  # fmt: skip
        assert main(words) == 0, capsys.readouterr().err


def test_the_first_task_and_the_orders_are_those_of_tcd(tmp_path):
    lists("ucf101", tmp_path / "lists")
    given = {"annotations": str(tmp_path / "lists"), "order": "tcd"}
    table = benchmarks.describe("ucf101", given).table
    with pytest.raises(ValueError, match="leaves task 1 without a class"):
        build_stream(table, "action", 2, 0)
    small = type(table)(table.frame, table.root, table.labels, class_orders=table.class_orders, first_classes=2)
    for seed in range(6):
        stream = build_stream(small, "action", 3, seed)
        names = [stream.classes[i] for task in stream.class_order for i in task]
        assert [len(task) for task in stream.class_order] == [2, 1, 1]
        assert tuple(names) == tcd_orders(list(CLIPS["ucf101"]))[seed % 3]
    part = benchmarks.describe("ucf101", {**given, "classes": 3, "tasks": 3}).table
    assert [len(task) for task in build_stream(part, "action", 3, 0).class_order] == [1, 1, 1]


def test_orders_and_first_tasks_are_the_authors():
    published = json.loads((Path(shared("tcd")) / "tcd_class_orders.json").read_text())
    for name, told in published.items():
        orders = tcd_orders([str(i) for i in range(told["classes"])])
        for seed, order in zip(SEEDS, orders, strict=True):
            assert list(map(int, order)) == told["orders"][str(seed)]
        rules = [rule for _, rule in PROTOCOLS.items() if rule.benchmark == name]
        assert rules
        for rule in rules:
            per_task, increments = map(int, rule.name.rpartition("-")[2].split("x"))
            assert told["base_classes"] + per_task * increments == told["classes"]
            assert rule.tasks == 1 + increments


def test_the_plan_of_tcd_needs_its_lists_alone(capsys, tmp_path):
    words = [f"benchmark.annotations={shared('tcd')}", "methods=[er]", "plan=true", "replicates=3", "profile=paper"]
    assert main(["protocol=tcd-ucf101-2x25", *words, f"out={tmp_path}"]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "26 tasks, 101 classes, 8,612 training clips, 3,783 test clips" in shown
    assert "keeps 505 clips" in shown
    assert "order_seed takes them in turn" in shown


BROKEN = {
    "ucf101": ("trainlist01.txt", "v_Archery_g08_c01.avi", "Bowling/v_Archery_g08_c01.avi", "is no line like"),
    "hmdb51": ("chew_test_split1.txt", " 1 ", " 3 ", "is no name of a clip and 0, 1 or 2"),
    "ssv2": ("something-something-v2-train.json", "Closing", "Clsing", "is no class of the labels file"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_lists_are_refused_in_one_line(tmp_path, name):
    with pytest.raises(ValueError, match=r"needs benchmark\.annotations=DIR"):
        benchmarks.describe(name, {})
    lists(name, tmp_path / "lists")
    file, old, new, says = BROKEN[name]
    path = tmp_path / "lists" / file
    path.write_text(path.read_text().replace(f"Archery/{old}" if name == "ucf101" else old, new, 1))
    with pytest.raises(ValueError, match=says) as refused:
        benchmarks.describe(name, {"annotations": str(tmp_path / "lists")})
    assert "\n" not in str(refused.value)
    for path in (tmp_path / "lists").iterdir():
        path.unlink()
    with pytest.raises(ValueError, match=r"lacks the|holds no list"):
        benchmarks.describe(name, {"annotations": str(tmp_path / "lists")})
