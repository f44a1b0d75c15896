"""One self-contained HTML file from records: `python -m results.report OUT [reference=] [plots=] [to=report.html]`."""

import base64
import io
import math
import os
import shlex
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from results import compare, plots
from results.arguments import Option, command, value_of
from results.columns import COLUMNS
from results.load import Loaded, Run, load, of_sweep, run_row
from results.pooling import Pooled, select
from results.render import not_run
from results.tables import LAYOUTS, Entry, build, title_of

LARGEST_SVG = 200_000  # a plot of more bytes than this is shown as PNG
WAITING = ("queued", "running", "preempted")  # states of runs that may yet be done
FILES = ("config.json", "log.txt", "status.json", "record.json")


def wishes(loaded: Loaded, sweep: str) -> tuple[Loaded, dict[str, Any]]:
    """The runs to show, and what a preset asks its report to show: its sweep's key `report` (question, layout, ...).

    Where no sweep is named, the newest decides: if a preset asked for it, the report is about its runs alone.
    """
    if not sweep:
        newest = max(loaded.sweeps, key=lambda each: str(each.get("created")), default={})
        sweep = str(newest.get("id")) if isinstance(newest.get("report"), dict) else "all"
    loaded = of_sweep(loaded, sweep)
    asked = loaded.sweeps[0].get("report") if sweep != "all" else {}
    return loaded, asked if isinstance(asked, dict) else {}


def html(loaded: Loaded, folder: Path, choice: dict[str, Any]) -> str:
    """The page; links are relative to `folder`, where it will lie. Every text from a record is escaped."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    every = loaded
    loaded, pooled = select(loaded, choice["mixed"], choice["methods"])
    drawn, not_drawn = _plots(loaded, pooled, choice["plots"])
    states = Counter(run.state for run in loaded.runs)
    return environment.get_template("report.html.j2").render(
        title=choice["title"] or f"Results of {', '.join(out.name or str(out) for out in loaded.outs)}",
        question=choice["question"],
        counts=f"{len(loaded.runs)} runs: " + ", ".join(f"{n} {state}" for state, n in states.most_common()) + ".",
        sweeps=[_sweep(sweep) for sweep in loaded.sweeps],
        absent=[{"run_id": run.run_id, "state": run.state, "reason": run.reason, "links": _links(run, folder)}
                for run in loaded.absent],
        waiting=WAITING,
        problems=loaded.problems,
        table=build(loaded, pooled, choice["layout"], choice["columns"]),
        value=_sort_value,
        not_run=not_run,
        comparisons=_comparisons(every, choice),
        plots=drawn,
        not_drawn=not_drawn,
        holders=_holders(pooled),
        environment=_environment(loaded.done),
        runs=[_run(run, folder) for run in loaded.done],
    )  # fmt: skip


def _sort_value(entry: Entry) -> str:
    if entry.summary is None or math.isnan(entry.summary.mean):
        return ""
    return f"{entry.summary.mean:.6g}"


def _sweep(sweep: dict[str, Any]) -> dict[str, Any]:
    words = sweep.get("command", "")
    text = shlex.join(map(str, words)) if isinstance(words, list) else str(words)
    return {"command": text, "created": str(sweep.get("created", "")), "n": len(sweep["runs"])}


def _links(run: Run, folder: Path) -> list[tuple[str, str]]:
    files = [name for name in FILES if (run.folder / name).exists()]
    return [(name, quote(os.path.relpath(run.folder / name, folder).replace(os.sep, "/"))) for name in files]


def _run(run: Run, folder: Path) -> dict[str, Any]:
    row = run_row(run)
    return {
        "run_id": run.run_id, "final": _share(row["final_accuracy"]), "forgetting": _share(row["forgetting"]),
        "seconds": f"{row['seconds']:.0f}", "links": _links(run, folder),
    }  # fmt: skip


def _share(value: float) -> str:
    return "–" if math.isnan(value) else f"{100 * value:.1f}"


def _comparisons(loaded: Loaded, choice: dict[str, Any]) -> dict[str, Any]:
    """Words and tables of results.compare, or one sentence why there are none."""
    column = COLUMNS[choice["metric"]]
    compared = choice["compared"] or choice["methods"]
    try:
        _, pooled, comparisons = compare.paired(loaded, choice["reference"], column, compared, choice["mixed"])
    except ValueError as error:
        return {"title": "", "words": [f"No comparison: {error}."], "sections": [], "caption": []}
    if not comparisons:
        words = [f"There is no method to compare with {choice['reference']}."]
        return {"title": "", "words": words, "sections": [], "caption": []}
    table = compare.compare_table(comparisons, pooled, column)
    return {"title": table.title, "words": table.notes, "sections": table.sections, "caption": table.caption}


def _plots(loaded: Loaded, pooled: Pooled, names: Sequence[str]) -> tuple[list[dict[str, str]], list[plots.Plot]]:
    """Pictures as data addresses, and the plots that these records do not allow."""
    from matplotlib import pyplot

    drawn, not_drawn = [], []
    for plot in plots.draw(loaded, pooled, names) if loaded.done else ():
        if plot.figure is None:
            not_drawn.append(plot)
            continue
        drawn.append({"about": plot.about, "source": _picture(plot)})
        pyplot.close(plot.figure)
    return drawn, not_drawn


def _picture(plot: plots.Plot) -> str:
    """The figure as a data address: SVG, or PNG where the SVG would be large."""
    content = io.BytesIO()
    plot.figure.savefig(content, format="svg", metadata={"Date": None})
    mime = "image/svg+xml"
    if content.tell() > LARGEST_SVG:
        content, mime = io.BytesIO(), "image/png"
        plot.figure.savefig(content, format="png", dpi=110)
    return f"data:{mime};base64,{base64.b64encode(content.getvalue()).decode()}"


def _holders(pooled: Pooled) -> dict[str, Any]:
    """A row a cell: bytes of each holder when the most was carried, their sum, the live model, and all together."""
    rows, names = [], {}
    for condition in pooled.conditions or ((),):
        cells = [pooled.cells.get((row, condition)) for row in pooled.rows]
        for cell in [cell for cell in cells if cell is not None and cell.done]:
            memory = max((run.record["memory"] for run in cell.done), key=lambda memory: memory["carried_max"])
            names |= dict.fromkeys(memory["carried"])
            sums = {"carried": memory["carried_max"], "live": memory["live"], "total": memory["total"]}
            rows.append({"method": cell.name, "condition": title_of(cell.condition or ()),
                         "holders": memory["carried"], "sums": sums, "budget": memory["budget"]})  # fmt: skip
    return {"names": list(names), "rows": rows, "conditions": len({row["condition"] for row in rows}) > 1}


def _environment(done: Sequence[Run]) -> list[dict[str, Any]]:
    """Each circumstance with its values and how many runs had each."""
    counts: dict[str, Counter[str]] = {}
    for run in done:
        record = run.record
        dirty = {True: ", with changes not committed", False: "", None: ""}[record["git"]["dirty"]]
        facts = {
            "git commit": f"{record['git']['commit'] or 'none'}{dirty}", "sources": record["sources"][:12],
            "clip table": record["clip_table_hash"][:12], "device": record["device"],
            "precision": record["precision_used"], "deterministic": str(record["deterministic"]).lower(),
            **record["versions"],
        }  # fmt: skip
        for what, value in facts.items():
            if value is not None:
                counts.setdefault(what, Counter())[str(value)] += 1
    return [{"what": what, "value": value, "n": n} for what, values in counts.items() for value, n in values.items()]


def run(outs: list[str], to: str, sweep: str, **choice: Any) -> int:
    loaded, asked = wishes(load(outs), sweep)
    if isinstance(asked.get("compared"), list):  # a preset's methods may have been narrowed on the command line
        ran = {run.method for run in loaded.runs}
        asked = asked | {"compared": [name for name in asked["compared"] if name in ran]}
    for key, value in asked.items():
        if key in choice and choice[key] == OPTIONS[key].default:
            text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
            choice[key] = value_of(key, text, OPTIONS[key])
    choice["metric"] = choice["metric"] or compare.primary_metric(loaded)
    path = Path(to) if to else Path(outs[0]) / "report.html"
    if path.is_dir():
        raise ValueError(f"to={to} is a folder; give the name of the HTML file, such as {path / 'report.html'}")
    path.parent.mkdir(parents=True, exist_ok=True)
    page = html(loaded, path.parent, choice)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(page, encoding="utf-8", errors="replace")
    os.replace(beside, path)
    print(f"{path}: {len(loaded.done)} of {len(loaded.runs)} runs, {path.stat().st_size / 1e6:.2f} MB")
    return 0


OPTIONS = {
    "to": Option("", "HTML file to write (default: OUT/report.html)"),
    "sweep": Option("", "preset or id of the sweep to show, or all (default: the newest, if a preset's; else all)"),
    "title": Option("", "heading (default: the out folder's name)"),
    "question": Option("", "the question that the runs are to answer"),
    "layout": Option("metrics", "of the main table: metrics or grid", choices=LAYOUTS),
    "columns": Option([], "quantities of the main table (default: the main ones)", "list", tuple(COLUMNS)),
    "plots": Option([], f"which plots (default: all that the records allow): {', '.join(plots.PLOTS)}", "list",
                    tuple(plots.PLOTS)),
    "reference": Option("cram", "the row that the others are compared with"),
    "metric": Option("", "what is compared (default: the protocol's primary metric)", choices=("", *compare.METRICS)),
    "methods": Option([], "methods or rows to show (default: all)", "list"),
    "compared": Option([], "methods or rows to compare with the reference (default: all shown, bounds apart)", "list"),
    "mixed": Option(False, "pool runs of different sources, devices or precisions; captions say so", "flag"),
}  # fmt: skip

if __name__ == "__main__":
    sys.exit(command("results.report", __doc__.splitlines()[0], OPTIONS, run))
