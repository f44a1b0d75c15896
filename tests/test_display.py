"""What is shown on the way: progress of several runs, with a terminal and without, and the lists of names."""

import io
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from harness import list as listing
from harness.common.registry import REGISTRIES
from harness.config.compose import request
from harness.launching.progress import Display
from harness.list import main as list_main
from harness.run import main as run_main

ROOT = Path(__file__).parent.parent

PLUGIN = """
from methods.contract import register
from methods.naive import Naive

@register("waits")
class Waits(Naive):
    "waits for nothing"
"""

WITH_SETTING = """
from dataclasses import dataclass
from harness.common.settings import setting, uniform
from methods.contract import register
from methods.naive import Naive

@register("keen")
class Keen(Naive):
    "is keen"
    @dataclass
    class Settings:
        warmth: float = setting(0.5, "how warm", maximum=1, search=uniform(0, 1))
"""


def shown(terminal: bool, *experiences: int) -> str:
    """What the display shows of two runs, one of which moves through experiences."""
    file = io.StringIO()
    console = Console(file=file, force_terminal=terminal, width=140, highlight=False)
    with Display({"one": "cram-s0", "two": "er-s0"}, console) as display:
        display.start("one")
        display.start("two")
        for number in experiences:
            display.update("one", {"experience": number, "n_experiences": 10, "phase": "classifier", "step": 40,
                                   "steps": 300, "loss": 0.1234})  # fmt: skip
        display.bars.refresh()
        display.finish("two", "failed", "out of [luck]")
        display.finish("one", "done", None)
    return file.getvalue()


def test_without_a_terminal_there_is_a_plain_line_an_experience():
    lines = shown(False, 0, 0, 1, 1, 2).splitlines()
    assert [line.partition("  ")[0] for line in lines[:2]] == ["cram-s0: task 2/10", "cram-s0: task 3/10"]
    assert "classifier 40/300  loss 0.123  0 s to go" in lines[0]
    assert lines[2:] == [
        "er-s0: failed after 0 s: out of [luck] (1 of 2 runs)",
        "cram-s0: done after 0 s (2 of 2 runs)",
    ]


def test_on_a_terminal_there_is_a_bar_a_run():
    screen = shown(True, -1, 0, 1)
    assert "━" in screen
    assert re.search(r"cram-s0.*task 2/10 +classifier 40/300 +loss 0.123", screen)
    assert "er-s0: failed after 0 s: out of [luck]" in screen


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ("methods", ["cram ", "no_refresh "]),
        ("methods er", ["er.codec=raw", "h264"]),
        ("methods cram", ["no settings of its own"]),
        ("benchmarks", ["moving_digits "]),
        ("benchmarks moving_digits", ["benchmark.leak=0", "clips_per_class=100"]),
        ("protocols", ["moving-digits-10/v1", "moving-digits-5/v1"]),
        ("protocols moving-digits-5", ["400kB", "final_accuracy"]),
        ("profiles", ["small "]),
        ("presets", ["smoke "]),
        ("presets smoke", ["methods: [all]"]),
        ("classifier_networks", ["s3d "]),
        ("compressor_networks", ["patch "]),
        ("metrics", ["final_accuracy "]),
        ("metrics final_accuracy", ["1/T sum_j"]),
        ("columns", ["psnr "]),
        ("plots", [" "]),
        ("methods no_refresh", ["replay.share                       uniform(0.3, 0.8)"]),
    ],
)
def test_list(capsys, words, parts):
    assert list_main(words.split()) == 0
    out = capsys.readouterr().out
    for part in parts:
        assert part in out


@pytest.mark.parametrize(
    ("words", "nearest"), [("method", "methods"), ("methods crma", "cram"), ("presets smok", "smoke")]
)
def test_list_names_the_nearest(capsys, words, nearest):
    assert list_main(words.split()) == 2
    assert f"did you mean '{nearest}'" in capsys.readouterr().err


def test_list_shows_methods_of_the_user(capsys, tmp_path):
    file = tmp_path / "my_method.py"
    file.write_text(PLUGIN)
    assert list_main(["methods", f"plugins={file}"]) == 0
    assert re.search(r"^waits ", capsys.readouterr().out, flags=re.MULTILINE)


def test_every_registry_is_a_kind_of_the_list():
    missing = {kind for kind, registry in REGISTRIES.items() if registry not in listing.kinds().values()}
    assert missing <= {"launcher of shares"}  # an internal one
    files = [path for room in ("benchmarks", "methods", "results", "harness") for path in (ROOT / room).rglob("*.py")]
    made = [re.findall(r"= (?:Registry|Declared)\(\s*\"(\w+)\"", path.read_text()) for path in files]
    assert {kind for kinds in made for kind in kinds} <= REGISTRIES.keys()


@pytest.mark.parametrize("kind", listing.kinds())
def test_a_list_imports_no_torch_and_every_entry_has_a_line(kind):
    code = (
        f"import sys; from harness.list import descriptions; found = descriptions({kind!r}); "
        "assert found and all(found.values()), found; assert not {'torch', 'numpy'} & sys.modules.keys()"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_a_setting_of_a_plugin_is_one_line_that_help_list_check_and_config_read(capsys, tmp_path):
    file = tmp_path / "my_method.py"
    file.write_text(WITH_SETTING)
    plugin = f"plugins={file}"
    for command, words in ((run_main, ["--help", plugin]), (list_main, ["methods", "keen", plugin])):
        assert command(words) == 0
        assert re.search(r"^  keen.warmth=0.5 +how warm \(at most 1\)$", capsys.readouterr().out, flags=re.MULTILINE)
    assert list_main(["methods", "keen", plugin]) == 0
    assert "keen.warmth                        uniform(0, 1)" in capsys.readouterr().out
    found = request(["methods=[keen]", plugin, "keen.warmth=0.25"]).runs
    assert [config.method.settings for config in found.values()] == [{"warmth": 0.25}]
    with pytest.raises(ValueError, match=r"method.keen.warmth=2.0 is not allowed: it must be at most 1"):
        request(["methods=[keen]", plugin, "keen.warmth=2"])
