"""A run is known by what decides its result, not by where files lie."""

from pathlib import Path

from harness.config.compose import request

WORDS = ["benchmark=video_csv", "methods=[naive]", "benchmark.tasks=2", "benchmark.frames=8", "benchmark.size=32",
         "memory.budget=1MB"]  # fmt: skip


def annotations(folder: Path, classes: tuple[str, ...] = ("jump", "run")) -> Path:
    """A CSV of two clips a class and part, in a new folder; a plan does not open the videos."""
    folder.mkdir()
    clips = [(f"{name}-{part}{k}.mp4", part, name) for name in classes for part in ("train", "test") for k in (0, 1)]
    rows = [f"{file},0,2,{part},{name}" for file, part, name in clips]
    for file, _, _ in clips:
        (folder / file).touch()
    (folder / "clips.csv").write_text("\n".join(["file,start,stop,split,action", *rows]) + "\n")
    return folder / "clips.csv"


def run_ids(csv: Path) -> list[str]:
    return list(request([*WORDS, f"benchmark.annotations={csv}", f"benchmark.videos={csv.parent}"]).runs)


def test_the_same_clips_in_another_folder_are_the_same_run(tmp_path):
    first = run_ids(annotations(tmp_path / "here"))
    assert run_ids(annotations(tmp_path / "there")) == first
    assert run_ids(annotations(tmp_path / "other", ("jump", "walk"))) != first
