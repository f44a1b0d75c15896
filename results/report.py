"""One self-contained HTML file from records: `python -m results.report OUT [reference=] [plots=] [to=report.html]`."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.common.files import write_bytes
from harness.common.words import Option, value_of
from results.command import MIXED, carry_out, checked_names
from results.registries import PLOTS, check_columns, column_names, comparable_columns
from results.tables import LAYOUTS

if TYPE_CHECKING:
    from results.runs import Runs


def report_options(runs: "Runs", sweep: str) -> tuple["Runs", dict[str, Any]]:
    """The runs to show, and what a preset asks its report to show: its sweep's key `report` (question, layout, ...).

    If no sweep is named, the newest one decides: if it is a preset's, the report shows only its runs.
    """
    if not sweep:
        newest = max(runs.sweeps, key=lambda each: str(each.get("created")), default={})
        sweep = str(newest.get("id")) if isinstance(newest.get("report"), dict) else "all"
    runs = runs.of_sweep(sweep)
    asked = runs.sweeps[0].get("report") if sweep != "all" else {}
    return runs, asked if isinstance(asked, dict) else {}


def check_names(choice: dict[str, Any]) -> None:
    """ValueError with the nearest name for a column, a plot or a metric that is not known."""
    check_columns(choice.get("columns", ()))
    checked_names("plots", choice.get("plots", ()), PLOTS.names())
    checked_names("metric", [choice["metric"]] if choice.get("metric") else [], comparable_columns())


def run(outs: list[str], to: str, sweep: str, **choice: Any) -> int:
    """Write one report; returns the exit code."""
    # --help needs none of these, and they take longer to import than it to answer.
    from results.comparison import primary_metric
    from results.page import html
    from results.read import read

    runs, asked = report_options(read(outs), sweep)
    if isinstance(asked.get("compared"), list):  # a preset's methods may have been narrowed on the command line
        ran = {run.method for run in runs.runs}
        asked = asked | {"compared": [name for name in asked["compared"] if name in ran]}
    for key, value in asked.items():
        if key in choice and choice[key] == OPTIONS[key].default:
            text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
            choice[key] = value_of(key, text, OPTIONS[key])
    check_names(choice)
    choice["metric"] = choice["metric"] or primary_metric(runs)
    path = Path(to) if to else Path(outs[0]) / "report.html"
    if path.is_dir():
        raise ValueError(f"to={to} is a folder; give the name of the HTML file, such as {path / 'report.html'}")
    path.parent.mkdir(parents=True, exist_ok=True)
    page = html(runs, path.parent, choice)
    write_bytes(path, page.encode("utf-8", "replace"))
    print(f"{path}: {len(runs.done)} of {len(runs.runs)} runs, {path.stat().st_size / 1e6:.2f} MB")
    return 0


OPTIONS = {
    "to": Option("", "HTML file to write (default: OUT/report.html)"),
    "sweep": Option("", "preset or id of the sweep to show, or all (default: the newest, if a preset's; else all)"),
    "title": Option("", "heading (default: the out folder's name)"),
    "question": Option("", "the question that the runs are to answer"),
    "layout": Option("metrics", "of the main table: metrics or grid", choices=LAYOUTS),
    "columns": Option([], f"quantities of the main table (default: the main ones): {', '.join(column_names())}",
                      "list"),
    "plots": Option([], f"which plots (default: all that the records allow): {', '.join(PLOTS)}", "list"),
    "reference": Option("cram", "the row that the others are compared with"),
    "metric": Option("", "what is compared (default: the protocol's primary metric)"),
    "methods": Option([], "methods or rows to show (default: all)", "list"),
    "compared": Option([], "methods or rows to compare with the reference (default: all shown, bounds apart)", "list"),
    "mixed": MIXED,
}  # fmt: skip


def main(words: Sequence[str]) -> int:
    """Carry out the command; returns the exit code."""
    return carry_out("report", __doc__.splitlines()[0], OPTIONS, run, words)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
