"""The plan of full-size runs on real annotations: tasks, bytes, steps, and hours by this machine's speed."""

import re

from harness import bench
from harness.run import main
from tests.test_real_streams import shared


def plan(capsys, *words: str) -> str:
    assert main([*words, "plan=true"]) == 0
    return " ".join(capsys.readouterr().out.split())


def test_hours_are_said_once_the_speed_was_measured(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("VIDEO_CL_CACHE", str(tmp_path))
    words = ("methods=[cram,no_refresh,er]", "protocol=moving-digits-10")
    before = plan(capsys, *words)
    assert "hours: not measured for these networks" in before
    assert bench.main(["only=models"]) == 0
    said = capsys.readouterr().out
    assert all(name in said for name in ("compressor, a clip", "decode, a clip", "predict pixels, a clip"))
    after = plan(capsys, *words)
    hours = {name: float(h) for name, h in re.findall(r"(\w+): about ([\d.,]+) h a run .*?estimate", after)}
    assert set(hours) == {"cram", "no_refresh", "er"}
    assert all(0 < each < 1 for each in hours.values())  # they take minutes
    assert hours["no_refresh"] <= hours["cram"]
    assert "not measured" in plan(capsys, *words, "compressor.width=16")


def test_the_plan_lists_the_tasks(capsys):
    text = plan(capsys, "preset=smoke", "methods=[cram]")
    assert "tasks with order_seed=0" in text
    assert re.search(r"task .*classes .*segments .*videos .*clips .*hours .*test segments", text)
    rows = re.findall(r"│ (\d) │ (\d+) │ (\d+) │ (\d+) │ (\d+) │ 0\.\d\d │ (\d+) │", text)
    task, classes, segments, videos, clips, tested = zip(*(map(int, row) for row in rows), strict=True)
    assert task == (1, 2)
    assert (sum(classes), sum(clips), sum(tested)) == (20, 100, 40)
    assert segments == clips
    assert videos == classes  # moving digits: a video holds the clips of a class and part


def test_the_full_size_plan_of_epic_kitchens_needs_no_video(capsys):
    words = ("protocol=ek100-noun-10", f"benchmark.annotations={shared('ek100')}", "profile=paper", "methods=[cram]")
    text = plan(capsys, *words, "memory.budget=64MB")
    assert "8,232 (256x)" in text
    assert re.search(r"10 tasks, 92 classes", text)
    kept = int(re.search(r"keeps ([\d,]+) clips, about [\d.]+ h", text)[1].replace(",", ""))
    assert kept < 64_000_000 // (8_232 + 8)
    steps = {name: int(n.replace(",", "")) for name, n in re.findall(r"(compressor|classifier) ([\d,]+)", text)}
    clips = int(re.search(r"([\d,]+) training clips", text)[1].replace(",", ""))
    assert 5 * clips / 32 <= steps["compressor"] < 5 * (clips / 32 + 10)
    assert 10 * clips / 48 <= steps["classifier"] < 10 * (clips / 48 + 10)
