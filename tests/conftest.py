"""Fixtures that several test files share."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import methods  # noqa: F401  makes its registries
from harness.common.registry import REGISTRIES


@pytest.fixture(autouse=True)
def plugins_of_one_test() -> Iterator[None]:
    """What a test's plug-ins registered is gone after it: another test's file may use the same name."""
    before = {kind: dict(registry.entries) for kind, registry in REGISTRIES.items()}
    modules = set(sys.modules)
    yield
    for kind, registry in REGISTRIES.items():
        registry.entries = before.get(kind, registry.entries)
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
