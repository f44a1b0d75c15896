"""The page of a report: one HTML file that holds its tables and pictures, filled in from report.html.j2."""

import base64
import math
import os
import shlex
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from results import plots
from results.build import build
from results.comparison import compare_table, paired
from results.pooling import Pooled, select
from results.registries import METRICS, column
from results.render import not_run
from results.runs import DoneRun, LoadedRun, Runs
from results.table import Entry, title_of

LARGEST_SVG = 200_000  # a plot of more bytes than this is shown as PNG
WAITING = ("queued", "running", "preempted")  # states of runs that are not over
FILES = ("config.json", "log.txt", "status.json", "record.json")


def html(runs: Runs, folder: Path, choice: dict[str, Any]) -> str:
    """The page as text. Its links are relative to `folder`, where the page will be. Texts of records are escaped."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    every = runs
    runs, pooled = select(runs, choice["mixed"], choice["methods"])
    drawn, not_drawn = _plots(runs, pooled, choice["plots"])
    states = Counter(run.state for run in runs.runs)
    return environment.get_template("report.html.j2").render(
        title=choice["title"] or f"Results of {', '.join(out.name or str(out) for out in runs.outs)}",
        question=choice["question"],
        counts=f"{len(runs.runs)} runs: " + ", ".join(f"{n} {state}" for state, n in states.most_common()) + ".",
        sweeps=[_sweep(sweep) for sweep in runs.sweeps],
        absent=[{"run_id": run.run_id, "state": run.state, "reason": run.reason, "links": _links(run, folder)}
                for run in runs.absent],
        waiting=WAITING,
        problems=runs.problems,
        table=build(runs, pooled, choice["layout"], choice["columns"]),
        value=_sort_value,
        not_run=not_run,
        comparisons=_comparisons(every, choice),
        plots=drawn,
        not_drawn=not_drawn,
        holders=_holders(pooled),
        environment=_environment(runs.done),
        runs=[_run(run, folder) for run in runs.done],
    )  # fmt: skip


def _sort_value(entry: Entry) -> str:
    if entry.summary is None or math.isnan(entry.summary.mean):
        return ""
    return f"{entry.summary.mean:.6g}"


def _sweep(sweep: dict[str, Any]) -> dict[str, Any]:
    words = sweep.get("command", "")
    text = shlex.join(map(str, words)) if isinstance(words, list) else str(words)
    return {"command": text, "created": str(sweep.get("created", "")), "n": len(sweep["runs"])}


def _links(run: LoadedRun, folder: Path) -> list[tuple[str, str]]:
    files = [name for name in FILES if (run.folder / name).exists()]
    return [(name, quote(os.path.relpath(run.folder / name, folder).replace(os.sep, "/"))) for name in files]


def _run(run: DoneRun, folder: Path) -> dict[str, Any]:
    final, lost = (METRICS.get(name).of(run.record) for name in ("final_accuracy", "forgetting"))
    return {
        "run_id": run.run_id, "final": _share(final), "forgetting": _share(lost),
        "seconds": f"{run.record.seconds.total:.0f}", "links": _links(run, folder),
    }  # fmt: skip


def _share(value: float) -> str:
    return "–" if math.isnan(value) else f"{100 * value:.1f}"


def _comparisons(runs: Runs, choice: dict[str, Any]) -> dict[str, Any]:
    """The words and tables of results.compare, or one sentence that says why there are none."""
    shown = column(choice["metric"], runs.done)
    compared = choice["compared"] or choice["methods"]
    try:
        _, pooled, comparisons = paired(runs, choice["reference"], shown, compared, choice["mixed"])
    except ValueError as error:
        return {"title": "", "words": [f"No comparison: {error}."], "sections": [], "caption": []}
    if not comparisons:
        words = [f"There is no method to compare with {choice['reference']}."]
        return {"title": "", "words": words, "sections": [], "caption": []}
    table = compare_table(comparisons, pooled, shown)
    return {"title": table.title, "words": table.notes, "sections": table.sections, "caption": table.caption}


def _plots(runs: Runs, pooled: Pooled, names: Sequence[str]) -> tuple[list[dict[str, str]], list[plots.Plot]]:
    """The pictures as data addresses, and the plots that cannot be drawn from these records."""
    drawn, not_drawn = [], []
    for plot in plots.draw(runs, pooled, names) if runs.done else ():
        if plot.figure is None:
            not_drawn.append(plot)
            continue
        drawn.append({"about": plot.about, "source": _picture(plot)})
    return drawn, not_drawn


def _picture(plot: plots.Plot) -> str:
    """The figure as a data address: SVG, or PNG if the SVG is too large."""
    assert plot.figure is not None
    content, mime = plots.picture(plot.figure, "svg"), "image/svg+xml"
    if len(content) > LARGEST_SVG:
        content, mime = plots.picture(plot.figure, "png", dpi=110), "image/png"
    return f"data:{mime};base64,{base64.b64encode(content).decode()}"


def _holders(pooled: Pooled) -> dict[str, Any]:
    """One row per cell: bytes of each holder when most was carried, their sum, the live model, and the total."""
    rows: list[dict[str, Any]] = []
    names: dict[str, None] = {}
    for condition in pooled.conditions or ((),):
        cells = [pooled.cells.get((row, condition)) for row in pooled.rows]
        for cell in [cell for cell in cells if cell is not None and cell.done]:
            memory = max((run.record.memory for run in cell.done), key=lambda memory: memory.carried_max)
            names |= dict.fromkeys(memory.carried)
            sums = {"carried": memory.carried_max, "live": memory.live, "total": memory.total}
            rows.append({"method": cell.name, "condition": title_of(cell.condition or ()),
                         "holders": memory.carried, "sums": sums, "budget": memory.budget})  # fmt: skip
    return {"names": list(names), "rows": rows, "conditions": len({row["condition"] for row in rows}) > 1}


def _environment(done: Sequence[DoneRun]) -> list[dict[str, Any]]:
    """Each circumstance with its values, and how many runs had each value."""
    counts: dict[str, Counter[str]] = {}
    for run in done:
        record = run.record
        dirty = {True: ", with changes not committed", False: "", None: ""}[record.git.dirty]
        facts = {
            "git commit": f"{record.git.commit or 'none'}{dirty}", "sources": record.sources[:12],
            "clip table": record.clip_table_hash[:12], "device": record.device,
            "precision": record.precision_used, "deterministic": str(record.deterministic).lower(),
            **record.versions,
        }  # fmt: skip
        for what, value in facts.items():
            if value is not None:
                counts.setdefault(what, Counter())[str(value)] += 1
    return [{"what": what, "value": value, "n": n} for what, values in counts.items() for value, n in values.items()]
