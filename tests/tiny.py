"""Runs of tiny settings, in this process and by the harness itself; each distinct one is carried out once a session."""

import atexit
import os
import shutil
import tempfile
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from harness.config.compose import request
from harness.config.run_config import RunConfig
from harness.storage.record import comparable, differences
from harness.training.execute import run
from harness.training.loop import Run

FOLDER = Path(tempfile.mkdtemp(prefix="tiny-runs-"))
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)
CACHE = os.environ.get("VIDEO_CL_CACHE") or FOLDER / "cache"
# Two experiences of ten actions, five training clips an action, four steps a phase.
TINY = ("preset=smoke", f"paths.cache={CACHE}")


def configs(*words: str) -> dict[str, RunConfig]:
    """Method -> config of its only run."""
    return {config.method.name: config for config in request([*TINY, *words]).runs.values()}


@cache
def config(method: str, *words: str) -> RunConfig:
    return configs(f"methods=[{method}]", *words)[method]


def new_folder() -> Path:
    return Path(tempfile.mkdtemp(dir=FOLDER))


@cache
def done(method: str, *words: str) -> tuple[dict[str, Any], Path]:
    """Record and folder of a run that is left alone."""
    folder = new_folder()
    return run(config(method, *words), folder), folder


def begun(method: str, *words: str, **execution: Any) -> Run:
    """A run in a folder of its own that has not taken a step, to be walked by the test."""
    wanted = config(method, *words)
    return Run(replace(wanted, execution=replace(wanted.execution, **execution)), new_folder())


def same(one: dict[str, Any], other: dict[str, Any]) -> None:
    """Fails with the places where two records differ, circumstance aside."""
    assert differences(comparable(one), comparable(other)) == []
