"""Show the runs of a folder and how each of them does.

States: queued, running, preempted (it is saved and waits to continue), failed, lost (its job is gone without a word;
slurm.retry submits it again), done.
"""

import json
import sys
import time
from collections import Counter
from pathlib import Path

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from harness.common.units import seconds_text
from harness.common.words import DONE, NOT_DONE, Option, help_text, one_folder, parse, run_command
from slurm.jobs import ENDED, STATES, QueuedRun, runs

WATCH_SECONDS = 5
SHOWN = 40  # rows that a live table holds
OPTIONS = {
    "json": Option(False, "print JSON for programs", "flag"),
    "watch": Option(False, "stay and show a live table until all runs are over", "flag"),
    "method": Option(None, "only the runs of this method"),
}


def main(words: list[str] | None = None) -> int:
    """Print the states. Exit code: 0 if no run is failed or lost, 1 if some are, 2 for a command that cannot be run."""
    words = sys.argv[1:] if words is None else words
    help = help_text("slurm.status", __doc__ or "", "OUT", OPTIONS)
    return run_command("slurm.status", help, lambda: command(words), words)


def command(words: list[str]) -> int:
    """Carry out a command line; returns the exit code."""
    folders, given, _ = parse(words, OPTIONS)
    out = one_folder("slurm.status", folders)
    if given["watch"]:
        watch(out, method=given["method"])
    found, note = runs(out)
    found = selected(found, None, given["method"])
    if given["json"]:
        counts = {state: sum(run.state == state for run in found) for state in STATES}
        rows = [{**vars(run), "seconds_to_go": seconds_to_go(run)} for run in found]
        print(json.dumps({"note": note, "states": counts, "runs": rows}, indent=1))
    else:
        Console(highlight=False, width=None if sys.stdout.isatty() else 200).print(rendered(found, note))
    return NOT_DONE if any(run.state in ("failed", "lost") for run in found) else DONE


def watch(out: Path, only: set[str] | None = None, method: str | None = None) -> None:
    """Show a live table until all runs (or those in `only`) are over. Without a terminal, print plain lines."""
    console, before = Console(stderr=True, highlight=False), None
    with Live(console=console, auto_refresh=False, transient=True) as live:
        while True:
            found, note = runs(out)
            found = selected(found, only, method)
            if console.is_terminal:
                going = [run for run in found if run.state != "done"]
                live.update(rendered(going[:SHOWN], note, found), refresh=True)
            elif before != (before := summary(found)):
                console.print(before)
            if note is None and all(run.state in ENDED for run in found):
                return
            time.sleep(WATCH_SECONDS)


def selected(found: list[QueuedRun], only: set[str] | None, method: str | None) -> list[QueuedRun]:
    """The runs whose id is in `only` and whose method is `method`; None stands for all."""
    kept = [run for run in found if only is None or run.run_id in only]
    return [run for run in kept if method in (None, run.method)]


def rendered(shown: list[QueuedRun], note: str | None, found: list[QueuedRun] | None = None) -> Group:
    """A table of the runs in `shown`, ordered by state, and how many of `found` are in which state."""
    table = Table(box=None, pad_edge=False)
    for name in ("run", "state", "job", "where", "to go", "heartbeat", "restarts", "reason"):
        table.add_column(name, overflow="fold", no_wrap=name == "state")
    for run in sorted(shown, key=lambda run: STATES.index(run.state)):
        left, going = seconds_to_go(run), run.state == "running"
        beat = f"{seconds_text(run.age)} ago" if going and run.age is not None else ""
        to_go = "" if left is None else seconds_text(left)
        table.add_row(run.run_id, run.state, run.job or "", plain(where(run)), to_go, beat, str(run.restarts or ""),
                      plain(run.reason or ""))  # fmt: skip
    return Group(table, summary(shown if found is None else found), *([f"note: {note}"] if note else []))


def plain(text: str) -> Text:
    """Text without markup and without characters that move a terminal's cursor."""
    return Text("".join(each if each.isprintable() else " " for each in text))


def summary(found: list[QueuedRun]) -> str:
    """How many runs are in which state."""
    count = Counter(run.state for run in found)
    return f"{len(found)} runs: " + ", ".join(f"{count[state]} {state}" for state in STATES if count[state])


def where(run: QueuedRun) -> str:
    """Task, phase and step of a run that is under way."""
    place = run.position
    if run.state not in ("running", "preempted") or not place:
        return ""
    task = "pre-training" if place["experience"] < 0 else f"task {place['experience'] + 1}"
    return f"{task}/{place.get('n_experiences', '?')} {place['phase']} {place['step']}/{place['steps']}"


def seconds_to_go(run: QueuedRun) -> float | None:
    """Estimated seconds to go, by the experiences that this process has finished; None before the first one."""
    place = run.position
    if run.state != "running" or run.started is None or not place or place.get("first") is None:
        return None
    finished, now = place["experience"] - place["first"], time.time() - (run.age or 0.0)
    if finished < 1:
        return None
    inside = place["step"] / max(place["steps"], 1)
    each = (now - run.started) / (finished + inside)
    return max((place["n_experiences"] - place["experience"] - inside) * each, 0.0)


if __name__ == "__main__":
    sys.exit(main())
