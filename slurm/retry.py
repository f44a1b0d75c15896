"""`python -m slurm.retry OUT [only=failed|lost] [method=NAME] [memory=GB] [minutes=N] [resume=force]`

Submits again the runs that failed or were lost, with more memory or time if asked; never one that is done, or that has
a job. Lost runs go on with the code that they were submitted with. Failed ones run with the code as it is now: they
continue from their checkpoint if that is the same code, else from the start (resume=force: from the checkpoint, and
the record says which sources made what came before).
"""

import hashlib
import json
import sys
from pathlib import Path
from typing import Any

from harness.common.words import nearest
from slurm import launcher, snapshot
from slurm.folders import read_json, write_json
from slurm.jobs import Run, runs, squeue, submissions
from slurm.words import parse

DEFAULTS = {"only": None, "method": None, "memory": None, "minutes": None, "resume": None}
CHOICES = {"only": ("failed", "lost"), "resume": ("force",)}


def main(words: list[str] | None = None) -> int:
    """Submit again; exit code 0 if all went well (also if there is nothing to do), else 2."""
    words = sys.argv[1:] if words is None else words
    try:
        out, given = parse("slurm.retry", __doc__, words, DEFAULTS)
        more = wanted(given)
        launcher.check_slurm()
        found, note = runs(out)
        if note is not None:
            raise ValueError(note)
        states = CHOICES["only"] if given["only"] is None else (given["only"],)
        again = [run for run in found if run.state in states and given["method"] in (None, run.method)]
        jobs = resubmit(out, again, more, given["resume"] == "force")
    except (ValueError, OSError) as error:
        print(f"slurm.retry: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    if again:
        print(f"{len(again)} runs in {len(jobs)} jobs submitted again; how they do: {launcher.status_command(out)}")
    else:
        print("no run failed or was lost" if given["only"] is None else f"no run is {given['only']}")
    return 0


def wanted(given: dict[str, Any]) -> dict[str, float | int]:
    """The resources asked for; ValueError for a value that is none of those allowed."""
    for name, allowed in CHOICES.items():
        if given[name] not in (None, *allowed):
            raise ValueError(f"{name}={given[name]} is not allowed{nearest(given[name], allowed)} "
                             f"(allowed: {', '.join(allowed)})")  # fmt: skip
    more: dict[str, float | int] = {}
    for name, kind in (("memory", float), ("minutes", int)):
        try:
            value = None if given[name] is None else kind(given[name])
        except ValueError as error:
            raise ValueError(f"{name}={given[name]} is no number") from error
        if value is not None and not 0 < value < float("inf"):
            raise ValueError(f"{name}={given[name]} must be more than 0")
        if value is not None:
            more[name] = value
    return more


def resubmit(out: Path, again: list[Run], more: dict[str, Any], force: bool) -> list[str]:
    """Submit runs, those of the same settings and code together; ids of the jobs."""
    before = {run: content for content in submissions(out) for of_job in content["jobs"].values() for run in of_job}
    known = squeue(out) if before else {}
    alike: dict[str, tuple[dict[str, Any], list[str], Path, dict[Path, str]]] = {}
    for run in again:
        config, old = read_json(out / run.run_id / "config.json"), before.get(run.run_id, {})
        if not isinstance(config.get("execution"), dict) or not isinstance(config.get("plugins"), list):
            raise ValueError(f"{out / run.run_id / 'config.json'} is no config of a run; ask for the run again")
        for plugin in config["plugins"] if run.state == "failed" else ():
            unchanged(plugin, run)
        # The run itself sees which sources made its checkpoint, and starts anew if they are others.
        config["execution"].setdefault("checkpoint", {})["resume"] = "force" if force else "same"
        write_json(out / run.run_id / "config.json", config)
        if read_json(out / run.run_id / "lock").get("job") not in (None, *known):
            (out / run.run_id / "lock").unlink(missing_ok=True)  # its job is gone: no need to wait until it is stale
        settings = with_more(old.get("settings") or config["execution"]["slurm"], run.method, more)
        command = old.get("command") or [sys.executable, "-m", "harness.run_folders"]
        code = Path(old["code"]) if run.state == "lost" and "code" in old else None
        if code is None or not code.is_dir():
            code = snapshot.take(out, [Path(plugin["path"]) for plugin in config["plugins"]])
        key = json.dumps([settings, command, str(code)])
        alike.setdefault(key, (settings, command, code, {}))[3][out / run.run_id] = run.method
    jobs = []
    for settings, command, code, folders in alike.values():
        jobs += launcher.submit(out, folders, settings, command, code)
    return jobs


def unchanged(plugin: dict[str, str], run: Run) -> None:
    """ValueError for a plug-in that is not the one of this run any more: its bytes are part of what a run is."""
    file = Path(plugin["path"])
    if not file.is_file() or hashlib.sha256(file.read_bytes()).hexdigest() != plugin["sha256"]:
        raise ValueError(
            f"plug-in {file} was changed or removed since {run.run_id} was asked for; with another plug-in it is "
            "another run: ask for it with harness.run (method=NAME retries the runs of one method)"
        )


def with_more(settings: dict[str, Any], method: str, more: dict[str, Any]) -> dict[str, Any]:
    """Settings in which this method gets the resources asked for, over what was set for it alone."""
    own = {**settings["per_method"].get(method, {}), **more}
    return {**settings, **more, "per_method": {**settings["per_method"], method: own} if own else {}}


if __name__ == "__main__":
    sys.exit(main())
