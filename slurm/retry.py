"""Submit again the runs that failed or were lost. Runs that are done or have a job are left alone.

Lost runs continue with the code that they were submitted with. Failed runs take the code as it is now: if it is the
code of their checkpoint, they continue, else they start anew. With resume=force they continue in any case, and the
record says which sources made the earlier part.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.common import plugins
from harness.common.files import read_json, sha256, write_json
from harness.common.words import DONE, Option, help_text, one_folder, parse, run_command
from slurm import launcher, snapshot
from slurm.jobs import QueuedRun, runs, squeue, submissions

RETRIED = ("failed", "lost")
OPTIONS = {
    "only": Option("", "only the runs in this state", choices=RETRIED),
    "method": Option(None, "only the runs of this method"),
    "memory": Option(None, "memory of a job in GB, in place of what was asked for before", "number"),
    "minutes": Option(None, "time limit of a job, in place of what was asked for before", "int", least=1),
    "resume": Option("same", "continue from what the same sources saved, or from any (recorded)",
                     choices=("same", "force")),
}  # fmt: skip


def main(words: list[str] | None = None) -> int:
    """Submit again. Returns exit code 0 if all went well (also if there is nothing to do), else 2."""
    words = sys.argv[1:] if words is None else words
    help = help_text("slurm.retry", __doc__ or "", "OUT", OPTIONS)
    return run_command("slurm.retry", help, lambda: command(words), words)


def command(words: list[str]) -> int:
    """Carry out a command line; returns the exit code."""
    folders, given, _ = parse(words, OPTIONS)
    out = one_folder("slurm.retry", folders)
    launcher.check_slurm()
    found, note = runs(out)
    if note is not None:
        raise ValueError(note)
    states = (given["only"],) if given["only"] else RETRIED
    again = [run for run in found if run.state in states and given["method"] in (None, run.method)]
    more = {name: given[name] for name in ("memory", "minutes") if given[name] is not None}
    jobs = resubmit(out, again, more, given["resume"] == "force")
    if again:
        print(f"{len(again)} runs in {len(jobs)} jobs submitted again; how they do: {launcher.status_command(out)}")
    else:
        print(f"no run is {given['only']}" if given["only"] else "no run failed or was lost")
    return DONE


def resubmit(out: Path, again: list[QueuedRun], more: dict[str, Any], force: bool) -> list[str]:
    """Submit runs, those with equal settings and code together; returns the ids of the jobs."""
    before = {run: content for content in submissions(out) for of_job in content["jobs"].values() for run in of_job}
    known = squeue(out) if before else {}
    alike: dict[str, tuple[dict[str, Any], list[str], Path, dict[Path, str]]] = {}
    for run in again:
        config, old = read_json(out / run.run_id / "config.json"), before.get(run.run_id, {})
        if not isinstance(config.get("execution"), dict) or not isinstance(config.get("plugins"), list):
            raise ValueError(f"{out / run.run_id / 'config.json'} is no config of a run; ask for the run again")
        for plugin in plugins.of_run(config) if run.state == "failed" else ():
            unchanged(plugin, run)
        # The run itself sees which sources made its checkpoint. If they are others, it starts anew.
        config["execution"].setdefault("checkpoint", {})["resume"] = "force" if force else "same"
        write_json(out / run.run_id / "config.json", config)
        if read_json(out / run.run_id / "lock").get("job") not in (None, *known):
            (out / run.run_id / "lock").unlink(missing_ok=True)  # its job is gone: no need to wait until it is stale
        settings = with_more(old.get("settings") or config["execution"]["slurm"], run.method, more)
        command = old.get("command") or [sys.executable, "-m", "harness.run_folders"]
        code = Path(old["code"]) if run.state == "lost" and "code" in old else None
        if code is None or not code.is_dir():
            code = snapshot.take(out, [plugins.of_run(config)])
        key = json.dumps([settings, command, str(code)])
        alike.setdefault(key, (settings, command, code, {}))[3][out / run.run_id] = run.method
    jobs = []
    for settings, command, code, folders in alike.values():
        jobs += launcher.submit(out, folders, settings, command, code)
    return jobs


def unchanged(plugin: Mapping[str, str], run: QueuedRun) -> None:
    """ValueError if a plug-in was changed: its bytes are part of what identifies a run."""
    file = Path(plugin["path"])
    if not file.is_file() or sha256(file) != plugin["sha256"]:
        raise ValueError(
            f"plug-in {file} was changed or removed since {run.run_id} was asked for; with another plug-in it is "
            "another run: ask for it with harness.run (method=NAME retries the runs of one method)"
        )


def with_more(settings: dict[str, Any], method: str, more: dict[str, Any]) -> dict[str, Any]:
    """The settings with other resources for this method; they win over what was set for it before."""
    own = {**settings["per_method"].get(method, {}), **more}
    return {**settings, **more, "per_method": {**settings["per_method"], method: own} if own else {}}


if __name__ == "__main__":
    sys.exit(main())
