"""One-off work over many files: in processes, with a progress bar, into a folder that appears only when complete."""

import multiprocessing
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


def run_jobs(function: Callable[[Any], Any], jobs: Sequence[Any], workers: int, title: str) -> list[Any]:
    """The results of `function(job)` in the order of `jobs`; the first failure is raised, the rest is dropped.

    Standard error shows a bar with the time left, or one plain line each at begin and end when it is no terminal.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        print(f"{title}: {len(jobs)} files, {workers} workers", file=sys.stderr, flush=True)
        results = _run(function, jobs, workers, lambda: None)
        print(f"{title}: done", file=sys.stderr, flush=True)
        return results
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task(title, total=len(jobs))
        return _run(function, jobs, workers, lambda: progress.advance(bar))


def _run(function, jobs: Sequence[Any], workers: int, advance: Callable[[], None]) -> list[Any]:
    results = []
    if workers <= 1 or len(jobs) <= 1:
        for job in jobs:
            results.append(function(job))
            advance()
        return results
    # Spawned, since a fork of a process that has threads (torch, decoders) can hang.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(jobs)), mp_context=context, initializer=_die_with_parent) as pool:
        futures: list[Future] = [pool.submit(function, job) for job in jobs]
        try:
            for future in as_completed(futures):
                future.result()
                advance()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        return [future.result() for future in futures]


def _die_with_parent() -> None:
    """Workers of a pool whose parent was killed would wait for jobs for ever."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def made_once(folder: Path) -> Iterator[Path | None]:
    """Yield a temporary folder to fill when `folder` does not exist yet, else None; it becomes `folder` at the end.

    A lock beside lets one process work while others wait for its result. A killed process leaves only its temporary
    folder, which the next one removes.
    """
    if folder.is_dir():
        yield None
        return
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder.parent / f"{folder.name}.lock").acquire()
    except (OSError, NotImplementedError) as error:
        raise OSError(f"cache folder {folder.parent} cannot be used: {error}") from error
    with lock:
        if folder.is_dir():
            yield None
            return
        prefix = f"{folder.name}.tmp-"
        for left in folder.parent.glob(f"{prefix}*"):
            shutil.rmtree(left, ignore_errors=True)  # its last worker may be about to die
        work = Path(tempfile.mkdtemp(prefix=prefix, dir=folder.parent))
        try:
            yield work
            work.chmod(0o755)  # mkdtemp's folders are closed to others, who may share the cache
            os.replace(work, folder)
        except BaseException:
            shutil.rmtree(work, ignore_errors=True)
            raise
