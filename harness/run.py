"""`python -m harness.run methods=[cram,er] ...`: from the command line to records and a table; `--help` says more.

From Python the same is `harness.run(methods=["cram", "er"], ...)`; see docs/python.md.
"""

import hashlib
import json
import os
import shlex
import shutil
import sys
import threading
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from harness import check_packages
from harness.common.files import write_json
from harness.common.folders import RunFolder
from harness.common.sources import sources_hash

if TYPE_CHECKING:
    from harness.config.compose import Request
    from harness.config.run_config import RunConfig
    from results.load import Loaded

QUEUEING_SECONDS = 2.0  # more than it takes to queue a run
COMPOSING = threading.Lock()  # Hydra and the registries are one for all threads

# Torch and Hydra are imported inside functions, so that --help answers at once and after the check of the packages.


def main(words: list[str] | None = None) -> int:
    """Run a command line; returns the exit code (see the end of --help)."""
    words = sys.argv[1:] if words is None else words
    try:
        if {"--help", "-h"} & set(words):
            from harness.config import usage

            print(usage.text(words))
            return 0
        check_packages()
        from harness.config.compose import request

        asked = request(words)
        todo = prepare(asked, words)
    except (ValueError, OSError) as error:
        if "debug=true" in words:
            raise
        print(f"harness.run: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except ModuleNotFoundError as error:
        if "debug=true" in words:
            raise
        print(f"harness.run: {error} for {sys.executable}; `uv run python -m harness.run ...` installs what is needed",
              file=sys.stderr)  # fmt: skip
        return 2
    except KeyboardInterrupt:
        return 130
    return 0 if asked.plan else carry_out(asked, todo)


def prepare(asked: "Request", words: list[str]) -> list[Path]:
    """Check what can be checked before training, write what is asked for, and make the videos; folders still to run."""
    from harness.launching import LAUNCHERS
    from harness.loggers.logger import check
    from harness.planning import plan
    from harness.storage.lease import free_abandoned

    out = Path(asked.execution.out)
    LAUNCHERS.get(asked.execution.launcher)().check(asked.execution, asked.runs, asked.plan)
    check(asked.execution.log.to)
    if asked.plan:
        plan.print_plan(asked.runs)
        return []
    check_out(out)
    use_aliases(out, asked)
    todo = unfinished(out, asked.runs, asked.rerun)
    plan.groups({run_id: asked.runs[run_id] for run_id in todo})
    write_sweep(out, asked, words)
    free_abandoned([out / run_id for run_id in todo], asked.execution.lock.stale_minutes)
    folders = [out / run_id for run_id in todo if queue(out / run_id, asked.runs[run_id])]
    make_videos([asked.runs[folder.name] for folder in folders])
    return folders


def check_out(out: Path) -> None:
    """ValueError if `out` cannot be a folder that we write to."""
    place = next(p for p in (out, *out.parents) if p.exists() or p.is_symlink())
    if not place.is_dir():
        raise ValueError(f"out={out}: {place} is a file, not a folder; give another folder")
    if not os.access(place, os.W_OK | os.X_OK):
        raise ValueError(f"out={out}: {place} cannot be written to; give another folder")


def use_aliases(out: Path, asked: "Request") -> None:
    """Take the finished runs that an earlier version made under another id for those that are asked for."""
    for run_id, older in asked.aliases.items():
        if (out / older / "record.json").exists() and not (out / run_id).exists():
            print(
                f"{run_id}: {older} is its record, made when a plug-in's id hung on the files beside it",
                file=sys.stderr,
            )
            asked.runs[older] = asked.runs.pop(run_id)


def unfinished(out: Path, runs: Iterable[str], rerun: str) -> list[str]:
    """The runs without a valid record, with `rerun=changed` also those of other sources; says what it found."""
    found = {run_id: record_state(out / run_id) for run_id in runs}
    older = [run_id for run_id, state in found.items() if state == "older"]
    if older:
        which = f"{older[0]}: its record was" if len(older) == 1 else f"{len(older)} records, of {older[0]} first, were"
        then = "run again" if rerun == "changed" else "kept; rerun=changed runs them again"
        print(f"{which} made by other sources of the harness ({then})", file=sys.stderr)
    if rerun == "changed":
        for run_id in older:
            shutil.rmtree(out / run_id)
    return [run_id for run_id, state in found.items() if state == "none" or (state == "older" and rerun == "changed")]


def record_state(folder: Path) -> str:
    """done, older (made by other sources) or none; a record that is not valid is named and removed."""
    from results.schema import validate

    file = folder / "record.json"
    if not file.exists():
        return "none"
    try:
        record = json.loads(file.read_text())
        validate(record)
    except ValueError as error:
        print(f"{folder.name}: its record is not valid ({error}); it is run again", file=sys.stderr)
        file.unlink()
        return "none"
    return "done" if record["sources"] == sources_hash() else "older"


def write_sweep(out: Path, asked: "Request", words: list[str]) -> None:
    """OUT/sweeps/<id>.json: which runs this command asks for; the same runs give the same id."""
    try:
        (out / "sweeps").mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ValueError(f"out={out} cannot be made: {error.strerror}; give another folder") from error
    name = hashlib.sha256(json.dumps(sorted(asked.runs)).encode()).hexdigest()[:10]
    methods = list(dict.fromkeys(config.method.name for config in asked.runs.values()))
    created = datetime.now(UTC).isoformat(timespec="seconds")
    content: dict[str, Any] = {"id": name, "command": ["python", "-m", "harness.run", *words], "created": created,
               "runs": list(asked.runs), "methods": methods}  # fmt: skip
    if asked.preset:
        content |= {"preset": asked.preset, "report": asked.report}
    write_json(out / "sweeps" / f"{name}.json", content)


def queue(folder: Path, config: "RunConfig") -> bool:
    """Write config.json and a queued status.json; False where another command is carrying out this run."""
    from harness.storage.lease import taken

    folder.mkdir(exist_ok=True)
    deadline = time.monotonic() + QUEUEING_SECONDS
    while True:
        with taken(folder) as mine:
            if mine:
                write_json(folder / "config.json", config.plain())
                RunFolder(folder).write_status(state="queued", reason=None, position=None, pid=None)
                return True
        # The same command given twice holds the folder for a moment only, to do just this.
        if RunFolder(folder).status().state == "running" or time.monotonic() > deadline:
            return False
        time.sleep(0.02)


def make_videos(configs: "list[RunConfig]") -> None:
    """What the cache lacks is made here, once and with all cores, and not by each run."""
    import benchmarks
    from harness.common.machine import cores

    distinct = {str(config.benchmark): config for config in configs}
    for config in distinct.values():
        chosen, cache = config.benchmark, Path(config.execution.paths["cache"])
        benchmarks.load(chosen.name, chosen.options, cache, cores())


def start(asked: "Request", todo: list[Path]) -> list[str]:
    """Let the launcher carry out what is not done; the ids of runs that go on elsewhere."""
    from harness.launching import LAUNCHERS

    return LAUNCHERS.get(asked.execution.launcher)().start(todo, asked.execution) if todo else []


def carry_out(asked: "Request", todo: list[Path]) -> int:
    """Launch what is not done, print the table of all that was asked for, and a line for each run that is not done.

    Of runs that go on elsewhere it prints only how to see them.
    """
    from results.tables import print_table

    out, interrupted, handed_on = Path(asked.execution.out), False, []
    try:
        handed_on = start(asked, todo)
    except KeyboardInterrupt:
        interrupted = True
    except ValueError as error:  # of the launcher: what makes a run fail is in its status
        print(f"harness.run: {error}", file=sys.stderr)
        return 2
    if handed_on:
        print(
            f"their table, as far as they are done: python -m results.tables {shlex.quote(str(out))}", file=sys.stderr
        )
    else:
        print_table(out, list(asked.runs), asked.report.get("layout", "metrics"), asked.report.get("columns", ()))
    missing = [run_id for run_id in asked.runs if not (out / run_id / "record.json").exists()]
    for run_id in missing:
        if run_id in handed_on:
            continue  # the launcher has said how to see how it does
        status = RunFolder(out / run_id).status()
        why = f": {status.reason}" if status.reason else ""
        log = f" (see {out / run_id / 'log.txt'})" if status.state == "failed" else ""
        print(f"not done: {run_id} is {status.state}{why}{log}", file=sys.stderr)
    if interrupted:
        return 130
    return 0 if set(missing) <= set(handed_on) else 1


class _Callable(ModuleType):
    """This module is also the function `harness.run(methods=[...])`, since both have one name."""

    def __call__(self, *words: str | Mapping[str, Any], **settings: Any) -> "Loaded":
        """Carry out runs as the command does and return them; what is done already is not run again.

        words: words of the command line such as "replicates=3", or dicts of settings with dotted or nested names.
        settings: the same as keywords, e.g. methods=["cram", "er"], memory={"budget": "80kB"}. A text means what it
        means on the command line, so "50,100" is a sweep; a list is one value, a tuple is a sweep over its values.

        Raises:
            ValueError: a word is wrong; the line is the one that the command prints.
            NotDone: a run failed; all runs that were asked for stand in its `runs`.
        """
        check_packages()
        from harness.api import NotDone, words_of
        from harness.config.compose import request
        from results.load import Loaded, load

        line = words_of(*words, settings)
        with COMPOSING:
            asked = request(line)
            todo = prepare(asked, line)
        out = Path(asked.execution.out)
        if asked.plan:
            return Loaded((out,), (), (), ())
        handed_on = start(asked, todo)
        runs = load(out, list(asked.runs))
        missing = [each for each in runs.absent if each.run_id not in handed_on]
        if missing:
            raise NotDone(runs, missing)
        return runs


if __name__ == "__main__":
    sys.exit(main())
sys.modules[__name__].__class__ = _Callable
