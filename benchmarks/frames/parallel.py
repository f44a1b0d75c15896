"""One-off work over many files: in processes, with a progress bar, into a folder that appears only when complete."""

import multiprocessing
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from harness.common.processes import Spawn

LINE_SECONDS = 30


def run_jobs(function: Callable[[Any], Any], jobs: Sequence[Any], workers: int, title: str) -> list[Any]:
    """The results of `function(job)` in the order of `jobs`; the first failure is raised, the rest is dropped."""
    with progress(f"{title}: {len(jobs)} files, {workers} workers", len(jobs)) as advance:
        return _run(function, jobs, workers, advance)


@contextmanager
def progress(title: str, total: int) -> Iterator[Callable[[int], None]]:
    """Yield a function that is told how much more of `total` is done.

    Standard error shows a bar with the time left; where it is no terminal, a line now and then.
    """
    console = Console(stderr=True)
    if console.is_terminal:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console) as bars:
            bar = bars.add_task(title, total=total)

            def move(more: int = 1) -> None:
                bars.advance(bar, more)

            yield move
        return
    print(title, file=sys.stderr, flush=True)
    begin = shown = time.monotonic()
    done = 0

    def advance(more: int = 1) -> None:
        nonlocal done, shown
        done += more
        now = time.monotonic()
        if now - shown > LINE_SECONDS and done < total:
            shown = now
            left = f"about {(now - begin) / done * (total - done) / 60:.0f} min left" if done else "..."
            print(f"{done:,} of {total:,}, {left}", file=sys.stderr, flush=True)

    yield advance
    print(f"{title}: done", file=sys.stderr, flush=True)


def _run(
    function: Callable[[Any], Any], jobs: Sequence[Any], workers: int, advance: Callable[[int], None]
) -> list[Any]:
    results = []
    if workers <= 1 or len(jobs) <= 1:
        for job in jobs:
            results.append(function(job))
            advance(1)
        return results
    # Spawned, since a fork of a process that has threads (torch, decoders) can hang.
    with ProcessPoolExecutor(min(workers, len(jobs)), mp_context=Spawn(), initializer=die_with_parent) as pool:
        futures: list[Future[Any]] = [pool.submit(function, job) for job in jobs]
        try:
            for future in as_completed(futures):
                future.result()
                advance(1)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
        return [future.result() for future in futures]


def die_with_parent() -> None:
    """Workers of a pool whose parent was killed would wait for jobs for ever."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def build_once(folder: Path, part: Path | None = None) -> Iterator[Path | None]:
    """Yield a temporary folder to fill when `folder` does not exist yet, else None; it becomes `folder` at the end.

    A lock beside lets one process work while others wait for its result. Of a killed process only its temporary
    folder stays: the next one removes it. With `part` that is the temporary folder, taken up as it was left.
    """
    if folder.is_dir():
        yield None
        return
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder.parent / f"{(part or folder).name}.lock").acquire()
    except (OSError, NotImplementedError) as error:
        raise OSError(f"cache folder {folder.parent} cannot be used: {error}; paths.cache=DIR names another") from error
    with lock:
        if folder.is_dir():
            yield None
            return
        if part is not None:
            part.mkdir(exist_ok=True)
            yield part
            os.replace(part, folder)
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
