"""The documentation is true: its links lead somewhere, its templates run, and its commands are understood."""

import ast
import importlib
import re
import runpy
from pathlib import Path

import pytest

from harness import check, run
from harness.common import plugins
from methods import native
from tests import tiny
from tests.pages import PAGES, ROOT, blocks, commands

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
TEMPLATES = {block.file: block.text for page in PAGES for block in blocks(page) if block.file}
# Commands that would take minutes, or install and test everything; other tests run them.
LONG = {"harness.bench", "harness.check", "pytest"}


def anchors(page: Path) -> set[str]:
    """The #anchors of a page's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page):
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for link in LINK.findall(text):
        if link.startswith("https://"):
            continue
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        assert target.exists(), f"{page.name} links to {link}"
        if anchor:
            assert anchor in anchors(target), f"{page.name} links to {link}; there is {sorted(anchors(target))}"


def test_every_page_can_be_reached_from_the_readme():
    linked = {(ROOT / link.partition("#")[0]).resolve() for link in LINK.findall((ROOT / "README.md").read_text())}
    assert set(PAGES) - {ROOT / "README.md"} <= linked


def test_the_readme_names_every_method():
    table = (ROOT / "README.md").read_text().partition("## Methods")[2].partition("## ")[0]
    assert set(native()) <= set(re.findall(r"`(\w+)`", table))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_python_in_the_pages_is_python(page):
    for block in blocks(page):
        if block.language == "python":
            ast.parse(block.text)


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    """A folder with every template of the pages, and in `runs` the records of their methods on their benchmark."""
    folder = tmp_path_factory.mktemp("study")
    for name, text in TEMPLATES.items():
        (folder / name).write_text(text)
    named = ",".join(str(folder / name) for name, text in TEMPLATES.items() if "register" in text)
    words = [f"plugins=[{named}]", "methods=[cram,no_refresh,er,mine,lighter]", "protocol=bars-2", "replicates=2",
             "classifier.steps=3", "compressor.steps=3", "memory.budget=1MB", "launcher=inline",
             f"out={folder / 'runs'}", tiny.TINY[1]]  # fmt: skip
    assert run.main(words) == 0
    assert run.main([*words, "methods=[er]", "er.codec=webp"]) == 0
    plugins.load([])  # other test files use the same names
    return folder


def test_the_templates_run(study, monkeypatch, capsys):
    monkeypatch.chdir(study)
    capsys.readouterr()
    words = ["runs", "plugins=[my_metrics.py]", "columns=worst_task,steps_all", "methods=mine,lighter,er"]
    assert importlib.import_module("results.tables").main(words) == 0
    out = capsys.readouterr().out
    assert "R[i, j]: accuracy on task j" in out
    assert "mine" in out
    assert "lighter" in out
    assert "er codec=webp" in out
    runpy.run_path("look.py")
    assert (study / "accuracy.pdf").exists()


def test_the_method_from_the_ground_up_passes_the_check(study, capsys):
    assert check.main([f"plugins=[{study / 'mine.py'}]", "method=mine", "mine.weight=0.3", tiny.TINY[1]]) == 0
    assert capsys.readouterr().out.count("  ok ") == 6


COMMANDS = [(page, words) for page in PAGES for words in commands(page)]


@pytest.mark.parametrize(
    ("page", "words"), COMMANDS, ids=[f"{page.stem}: {' '.join(words)}" for page, words in COMMANDS]
)
def test_commands_are_understood(page, words, study, monkeypatch, capsys, tmp_path):
    """As a plan, or on the finished runs; without the data sets a command must get as far as asking for them."""
    if words[0] == "-c":
        ast.parse(words[1])
        return
    assert words[0] == "-m"
    module, words = words[1], words[2:]
    command = importlib.import_module(module)
    if module in LONG:
        return
    monkeypatch.chdir(study)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    if module == "harness.run" and "--help" not in words:
        words = [*words, "plan=true", tiny.TINY[1]]
    if module == "benchmarks.prepare":
        words = [word for word in words if word != "launcher=slurm"]
    if module in ("results.plots", "results.report") and not any(word.startswith("plots=") for word in words):
        words = [*words, "plots=accuracy_over_tasks"]
    if page.parent.name == "embedded" and module.startswith("results."):
        words = ["runs", *words[1:]]
    code = command.main(words)
    out, error = capsys.readouterr()
    needs_data = any("annotations" in word or "videos" in word or word.startswith("compressor.load=") for word in words)
    if needs_data:
        assert code == 2
        assert re.search(r"no (file|folder|such file)|is not a folder|does not exist|not found|holds no", error), error
    else:
        assert code == 0, out + error
