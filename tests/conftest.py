"""Fixtures that several test files share."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from methods.contract import METHODS


@pytest.fixture(autouse=True)
def plugins_of_one_test() -> Iterator[None]:
    """What a test's plug-ins registered is gone after it: another test's file may use the same name."""
    methods, modules = dict(METHODS), set(sys.modules)
    yield
    METHODS.clear()
    METHODS.update(methods)
    for name in set(sys.modules) - modules:
        if name.startswith("plugin_"):
            del sys.modules[name]


@pytest.fixture
def out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty out folder, with a cache of validated records of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folder = tmp_path / "runs"
    folder.mkdir()
    return folder


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A word of the command line: a cache of made videos for one file of tests."""
    return f"paths.cache={tmp_path_factory.mktemp('cache')}"
