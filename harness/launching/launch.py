"""Launchers carry out runs whose folders hold config.json: a process a run (local), or all in this process (inline).

A launcher takes run folders and the `execution` part of the config; each run's outcome is in its status.json. It
returns the ids of runs that something else goes on with after the command (none for these two). Job arrays: slurm/.
"""

import contextlib
import dataclasses
import faulthandler
import importlib
import json
import multiprocessing
import os
import signal
import socket
import sys
import time
import traceback
from collections import Counter, deque
from collections.abc import Callable
from functools import partial
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, cast

from harness.common.files import read_json, text_of, write_json
from harness.common.folders import RunFolder, Status
from harness.common.words import nearest
from harness.config.schema import PRELOAD
from harness.launching.progress import Display
from harness.launching.signals import Interrupted, Stop, stopped_by_signals
from harness.storage.lease import STALE_MINUTES, Lost, described, taken

SEND_SECONDS, STATUS_SECONDS = 0.2, 2.0
# Between asking a run to stop and killing it; Slurm warns a job 90 s before its end.
GRACE_SECONDS, JOB_GRACE_SECONDS = 10, 60
Launcher = Callable[[list[Path], dict[str, Any]], list[str]]


def find(name: str) -> Launcher:
    """The launcher called `name`; ValueError with the nearest name otherwise."""
    if name not in LAUNCHERS:
        raise ValueError(f"unknown launcher '{name}'{nearest(name, LAUNCHERS)} (known: {', '.join(LAUNCHERS)})")
    return LAUNCHERS[name]


def note(folder: Path, **changes: Any) -> None:
    """Change status.json; it is no reason to fail that it cannot be written. On a full disk it is written in place."""
    run = RunFolder(folder)
    try:
        run.write_status(**changes)
    except OSError as error:
        print(f"{run.status_file} cannot be written beside: {error}", file=sys.stderr)
        with contextlib.suppress(OSError), open(run.status_file, "r+") as opened:
            opened.write(text_of(run.changed(**changes)))
            opened.truncate()


def read_config(folder: Path) -> dict[str, Any]:
    """config.json of a run folder; ValueError where it is no config of a run."""
    file = folder / "config.json"
    try:
        config = json.loads(file.read_text())
    except (OSError, ValueError) as error:
        raise ValueError(f"{file} cannot be read: {error}") from error
    parts = ("benchmark", "method", "compressor", "classifier", "replay", "memory", "execution")
    if not isinstance(config, dict) or not all(isinstance(config.get(part), dict) for part in parts):
        raise ValueError(f"{file} is no config of a run; ask for the run again")
    return config


class Reporter:
    """The progress callback of one run: status.json now and then, and the display more often."""

    def __init__(self, folder: Path, show: Callable[[dict[str, Any]], None], check: Callable[[], None]):
        """`check` raises where the run is not ours any more."""
        self.folder, self.show, self.check = folder, show, check
        self.shown = self.written = 0.0
        self.place: tuple[int, str] | None = None
        self.first: int | None = None  # the experience that this process began with

    def __call__(self, position: dict[str, Any]) -> None:
        self.check()
        now, place = time.monotonic(), (position["experience"], position["phase"])
        if place != self.place or now - self.shown >= SEND_SECONDS:
            self.shown = now
            self.show(position)
        if place != self.place or now - self.written >= STATUS_SECONDS:
            self.written = now
            self.first = position["experience"] if self.first is None else self.first
            kept = {key: position[key] for key in ("experience", "n_experiences", "phase", "step", "steps")}
            note(self.folder, position={**kept, "first": self.first})
        self.place = place


def execute(
    folder: Path, show: Callable[[dict[str, Any]], None], stop: Stop | None = None
) -> Exception | Interrupted | None:
    """Carry out one run in this process and keep its status.json; what makes it fail is returned, its trace logged.

    Once `stop` is asked, the run is saved between two steps and is then preempted.
    """
    try:
        config = read_config(folder)
        minutes = config["execution"].get("lock", {}).get("stale_minutes", STALE_MINUTES)
    except ValueError as error:
        note(folder, state="failed", reason=str(error))
        return error
    with contextlib.ExitStack() as stack:
        try:
            lock = stack.enter_context(taken(folder, minutes))
        except OSError as error:  # a full disk
            note(folder, state="failed", reason=reason_of(error))
            return error
        if lock is None:
            print(f"{folder.name} is left to {described(read_json(folder / 'lock'))}", file=sys.stderr)
            return None
        stack.enter_context(lock.beating())
        return _carry_out(config, folder, Reporter(folder, show, lock.check), stop)


def _carry_out(
    config: dict[str, Any], folder: Path, reporter: "Reporter", stop: Stop | None
) -> Exception | Interrupted | None:
    from harness.training import execute

    before = RunFolder(folder).status()
    restarts = before.restarts + (before.started is not None)
    note(folder, state="running", reason=None, pid=os.getpid(), host=socket.gethostname(), started=time.time(),
         restarts=restarts)  # fmt: skip
    try:
        execute.run(config, folder, reporter, stop)
    except Interrupted as error:
        note(folder, state="preempted", reason=str(error))
        return error
    except KeyboardInterrupt:
        note(folder, state="preempted", reason="stopped by Ctrl-C; the same command continues it")
        raise
    except Lost as error:
        print(f"{folder.name}: {error}", file=sys.stderr)
        return error
    except Exception as error:
        with contextlib.suppress(OSError), open(folder / "log.txt", "a") as log:
            traceback.print_exception(error, file=log)
        note(folder, state="failed", reason=reason_of(error))
        return error
    note(folder, state="done", reason=None)
    return None


def reason_of(error: Exception) -> str:
    """One line that says why a run failed."""
    text = " ".join(str(error).split())
    plain = isinstance(error, ValueError | FloatingPointError) and text
    return text if plain else f"{type(error).__name__}: {text}".rstrip(": ")


def inline(folders: list[Path], how: dict[str, Any]) -> list[str]:
    """All runs one after the other in this process, for debuggers; output stays on the screen."""
    with Display(names_of(folders)) as display:
        for folder in folders:
            display.start(folder.name)
            error = execute(folder, partial(display.update, folder.name))
            if error is not None and how["debug"]:
                traceback.print_exception(error)
            status = RunFolder(folder).status()
            display.finish(folder.name, status.state, status.reason)
    return []


def local(folders: list[Path], how: dict[str, Any]) -> list[str]:
    """A process a run, `workers` at a time; one that fails or is killed leaves the others alone."""
    set_threads(how["threads"])
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    processes(folders, context, how["workers"], GRACE_SECONDS)
    return []


def in_job(folders: list[Path]) -> None:
    """The same one run at a time, for a job that others may end: a signal may come to each of its processes.

    Runs are forked from this process, since a fork server in between would die of the signal, and its runs with it.
    """
    set_threads(threads_of(folders[0]))
    for module in PRELOAD:
        importlib.import_module(module)
    processes(folders, multiprocessing.get_context("fork"), 1, JOB_GRACE_SECONDS)


def threads_of(folder: Path) -> int:
    """Torch threads that a run is to have; one where its config says nothing, which is told when it is carried out."""
    try:
        return int(read_config(folder)["execution"].get("threads", 1))
    except ValueError:
        return 1


def set_threads(number: int) -> None:
    """To be called before torch is imported, which is when it reads these."""
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(number)


def processes(folders: list[Path], context: Any, workers: int, grace: float) -> None:
    """Carry out runs in processes of their own; when interrupted, they have `grace` seconds to save."""
    waiting: deque[Path] = deque(folders)
    active: dict[Connection, tuple[multiprocessing.process.BaseProcess, Path]] = {}
    with Display(names_of(folders)) as display, stopped_by_signals():
        try:
            while waiting or active:
                while waiting and len(active) < workers:
                    process, pipe = _start(context, waiting[0])
                    active[pipe] = (process, waiting.popleft())
                    display.start(process.name)
                for pipe in cast(list[Connection], wait(list(active), timeout=1.0)):
                    process, folder = active[pipe]
                    try:
                        display.update(process.name, pipe.recv())
                    except EOFError:
                        del active[pipe]
                        status = _outcome(process, folder)
                        display.finish(process.name, status.state, status.reason)
        finally:
            _stop(list(active.values()), grace)


def _start(context: Any, folder: Path) -> tuple[Any, Connection]:
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_child, args=(folder, theirs, ours), name=folder.name)
    process.start()
    theirs.close()  # so that the end of the process is the end of the pipe
    return process, ours


def _child(folder: Path, pipe: Connection, other_end: Connection) -> None:
    """A run in a process of its own, with all that it prints in log.txt."""
    other_end.close()  # so that sending fails when the command is gone
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the command stops its runs itself
    log = open(folder / "log.txt", "a", buffering=1)  # noqa: SIM115  open as long as the process
    for stream in (1, 2):
        os.dup2(log.fileno(), stream)
    sys.stdout = sys.stderr = log
    faulthandler.enable(log)

    def show(position: dict[str, Any]) -> None:
        try:
            pipe.send(position)
        except OSError:
            # Nobody is there to stop this run any more.
            note(folder, state="preempted", reason="the command that started the run is gone")
            os._exit(1)

    if execute(folder, show, Stop().listen()) is not None:
        sys.exit(os.EX_TEMPFAIL)


def _outcome(process: Any, folder: Path) -> Status:
    """The status of a run whose process has ended; says how the process died if it could not say so itself."""
    process.join()
    status, code = RunFolder(folder).status(), process.exitcode
    if status.state not in ("queued", "running") or (status.state == "running" and status.pid != process.pid):
        return status
    if code is not None and code < 0:
        reason = f"killed by signal {-code} ({signal.strsignal(-code)})"
    else:
        reason = f"its process ended with exit code {code} before the run was done"
    note(folder, state="failed", reason=reason)
    return dataclasses.replace(status, state="failed", reason=reason)


def _stop(active: list[tuple[Any, Path]], grace: float) -> None:
    for process, _ in active:
        process.terminate()
    deadline = time.monotonic() + grace
    for process, folder in active:
        process.join(max(deadline - time.monotonic(), 0.1))
        if process.exitcode is None:
            process.kill()
            process.join()
        if RunFolder(folder).status().state in ("queued", "running"):
            note(folder, state="preempted", reason="stopped before it was done; the same command continues it")


def names_of(folders: list[Path]) -> dict[str, str]:
    """Run id -> name for the screen: the run id, without its hash where that says enough."""
    short = {folder.name: folder.name.rpartition("-")[0] for folder in folders}
    often = Counter(short.values())
    return {run_id: name if often[name] == 1 else run_id for run_id, name in short.items()}


def slurm(folders: list[Path], how: dict[str, Any]) -> list[str]:
    """Job arrays; the runs go on after the command, unless slurm.wait stays with them."""
    from slurm import launcher, snapshot, status

    out = Path(how["out"])
    configs: dict[Path, dict[str, Any]] = {}
    plugins: dict[Path, None] = {}
    copies: dict[str, str] = {}
    for folder in folders:
        config = configs[folder] = json.loads((folder / "config.json").read_text())
        plugins |= {Path(plugin["path"]): None for plugin in config["plugins"]}
        given = config["benchmark"].get("annotations")
        if given:
            copies[given] = copies.get(given) or str(snapshot.annotations(out, Path(given)))
            config["benchmark"]["annotations"] = copies[given]
            write_json(folder / "config.json", config)
    code = snapshot.take(out, list(plugins))
    command, jobs = [sys.executable, "-m", "harness.run_folders"], []
    for settings, runs in asked_alike(configs):
        jobs += launcher.submit(out, runs, settings, command, code)
    print(f"{len(jobs)} jobs submitted; how they do: {launcher.status_command(out)}", file=sys.stderr)
    if how["slurm"]["wait"]:
        status.watch(out, {folder.name for folder in folders})
        return []
    return [folder.name for folder in folders]


def check(how: dict[str, Any], runs: dict[str, dict[str, Any]], planned: bool) -> None:
    """ValueError if the launcher asked for does not exist or cannot be used; a plan shows Slurm's scripts."""
    find(how["launcher"])
    if how["launcher"] != "slurm":
        return
    from slurm import launcher, settings

    out, methods = Path(how["out"]), list(dict.fromkeys(config["method"]["name"] for config in runs.values()))
    for asked, alike in asked_alike({out / run_id: config for run_id, config in runs.items()}):
        settings.check(asked, methods)
        if planned:
            print(launcher.plan(out, alike, asked))
    if not planned:
        launcher.check_slurm()


def asked_alike(configs: dict[Path, dict[str, Any]]) -> list[tuple[dict[str, Any], dict[Path, str]]]:
    """Settings of Slurm, and the runs (folder -> method) that have them: parts of a preset may have their own."""
    found: dict[str, tuple[dict[str, Any], dict[Path, str]]] = {}
    for folder, config in configs.items():
        settings = config["execution"]["slurm"]
        found.setdefault(json.dumps(settings, sort_keys=True), (settings, {}))[1][folder] = config["method"]["name"]
    return list(found.values())


LAUNCHERS: dict[str, Launcher] = {"local": local, "inline": inline, "slurm": slurm}
