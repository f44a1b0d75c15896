"""Carry out one run in its folder, in this process or, with strict_state, in a new process an experience."""

import concurrent.futures
import contextlib
import json
from pathlib import Path
from typing import Any

import torch

from harness.common import plugins, sources
from harness.common.processes import ForkServer
from harness.config.run_config import RunConfig
from harness.config.schema import PRELOAD
from harness.launching.signals import Interrupted, Stop
from harness.training.journal import Progress, silent
from harness.training.loop import Run
from harness.training.own_loop import OpaqueRun
from methods import find


def run(config: RunConfig, folder: Path, progress: Progress = silent, stop: Stop | None = None) -> dict[str, Any]:
    """Carry out or continue one run in its folder and return its record. Raises what made it fail.

    Once `stop()` is true, the run is saved between two steps and Interrupted is raised.
    """
    stop = stop or Stop()
    torch.set_num_threads(config.execution.threads)
    plugins.load_listed(plugins.of_run(config.plain()), sources.ROOT)  # a new process knows none yet
    own_loop = find(config.method.name).opaque
    if config.execution.strict_state and not own_loop:
        return run_in_pieces(config, folder, stop)
    with torch.random.fork_rng():
        one = (OpaqueRun if own_loop else Run)(config, folder, progress, stop)
        with contextlib.closing(one.loggers):
            return one.to_the_end()


def run_in_pieces(config: RunConfig, folder: Path, stop: Stop) -> dict[str, Any]:
    """strict_state: a new process for each experience, which knows only what the one before it saved."""
    context = ForkServer()
    context.set_forkserver_preload(PRELOAD)
    while not (folder / "record.json").exists():
        with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
            pool.submit(one_piece, config, folder).result()
        if stop():
            raise Interrupted(f"stopped between two experiences; {Run.WHEN_STOPPED}")
    return json.loads((folder / "record.json").read_text())


def one_piece(config: RunConfig, folder: Path) -> None:
    """Go on from the saved state to the next boundary, or write the record after the last one."""
    torch.set_num_threads(config.execution.threads)
    run = Run(config, folder)
    with contextlib.closing(run.loggers):
        if run.position["experience"] == len(run.experiences):
            run.finish()
        else:
            run.next_experience()
