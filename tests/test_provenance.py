"""What a record's `sources` hash covers: what can change a number, and nothing else."""

import shutil
from pathlib import Path

import pytest

from harness.common import sources

# File, a text in it, and what an edit puts in its place.
SAME = {
    "help of the command line": ("harness/config/usage.py", "usage:", "Usage:"),
    "progress": ("harness/launching/progress.py", "LINE_SECONDS = 20", "LINE_SECONDS = 30"),
    "plots": ("results/style.py", "import", "import sys\nimport"),
    "the command line": ("harness/run.py", "def main(", "def other() -> int:\n    return 1\n\n\ndef main("),
    "a launcher": ("harness/launching/signals.py", "asked", "wanted"),
    "a table": ("results/tables.py", "def ", "def other():\n    pass\n\n\ndef "),
    "the preparing of videos": ("benchmarks/prepare.py", "def main(", "OTHER = 1\n\n\ndef main("),
    "a comment in a method": ("methods/cram.py", "\nclass ", "\n# why\nclass "),
    "a docstring": ("harness/training/memory.py", '"""', '"""Now in other words: '),
    "the comment of a preset": ("harness/config/conf/preset/smoke.yaml", "# ", "# Now: "),
    "a help text": ("methods/shared/settings.py", '"training steps of', '"steps of'),
    "a word that people look for": ("methods/shared/settings.py", 'also="iterations', 'also="laps'),
    "a test": ("tests/tiny.py", "TINY = ", "SMALL = TINY = "),
}
OTHER = {
    "the loop": ("harness/training/loop.py", "number + 1", "number + 2"),
    "evaluation": ("harness/training/evaluation.py", "argmax", "argmin"),
    "memory": ("harness/training/memory.py", "max(", "min("),
    "the state in a checkpoint": ("harness/storage/checkpoint.py", "FORMAT = 2", "FORMAT = 3"),
    "batches": ("harness/training/batches.py", " + 1", " + 2"),
    "a method": ("methods/er.py", "return", "return None or"),
    "a network": ("methods/networks/small.py", "2", "3"),
    "a default": ("methods/shared/settings.py", "setting(300,", "setting(301,"),
    "the pixels of a benchmark": ("benchmarks/digit_videos.py", "255", "254"),
    "decoding": ("benchmarks/frames/shards.py", "import", "import sys\nimport"),
    "protocols": ("benchmarks/protocols.py", "kB", "MB"),
    "data of a benchmark": ("benchmarks/kinetics_400_classes.txt", "\n", " \n"),
}


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    """A copy of the project."""
    root = tmp_path_factory.mktemp("tree")
    for room in (*sources.ROOMS, "tests"):
        shutil.copytree(sources.ROOT / room, root / room, ignore=shutil.ignore_patterns("__pycache__"))
    return root


def hash_of(tree: Path) -> str:
    return sources.sources_hash.__wrapped__(tree)


@pytest.mark.parametrize(("same", "edit"), [*((True, e) for e in SAME.items()), *((False, e) for e in OTHER.items())],
                         ids=[*SAME, *OTHER])  # fmt: skip
def test_the_hash_follows_what_decides_a_result_alone(tree, same, edit):
    _, (name, old, new) = edit
    file, before = tree / name, hash_of(tree)
    text = file.read_text()
    assert old in text, f"{name} has no {old!r} any more: give the test another edit"
    file.write_text(text.replace(old, new, 1))
    try:
        assert (hash_of(tree) == before) == same
    finally:
        file.write_text(text)


def test_a_new_file_counts_and_a_compiled_one_does_not(tree):
    before = hash_of(tree)
    (tree / "methods" / "__pycache__").mkdir(exist_ok=True)
    (tree / "methods" / "__pycache__" / "er.cpython-311.pyc").write_bytes(b"x")
    assert hash_of(tree) == before
    (tree / "methods" / "mine.py").write_text("ONE = 1\n")
    assert hash_of(tree) != before
    (tree / "methods" / "mine.py").unlink()


def test_every_name_in_the_lists_is_a_place(tree):
    assert all((tree / name).exists() for name in sources.DECIDES)
    assert len(sources.deciding_files(tree)) > 40


def test_words_for_people_are_told_from_values(tmp_path):
    file = tmp_path / "one.py"

    def meaning(text: str) -> bytes:
        file.write_text(text)
        return sources.meaning(file)

    one = meaning('x = setting(1, "how many", minimum=1)')
    assert meaning('x = setting(1, "how many of them",  minimum=1)  # why') == one
    assert meaning('x = setting(2, "how many", minimum=1)') != one
    assert meaning('x = setting("a", "help")') != meaning('x = setting("b", "help")')
    assert meaning('def f():\n    "One."\n    return 1') == meaning('def f():\n    "Two."\n    return 1')
    assert meaning('x = "One."') != meaning('x = "Two."')
