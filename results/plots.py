"""Plots from records, each with its data as CSV: `python -m results.plots OUT [plots=] [format=svg,png,pdf] [to=]`."""

import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from results.arguments import SWEEP, Option, command
from results.figures import NoData
from results.load import Loaded, load, of_sweep
from results.pooling import Pooled, select

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

# Name -> (module, what it shows). Modules are imported when a plot is drawn: they need seaborn, which takes seconds.
PLOTS = {
    "accuracy_over_tasks": (
        "curves",
        "accuracy on the tasks learnt so far after each task, with 95 % bands (cut at the frame)",
    ),
    "accuracy_matrices": ("matrices", "accuracy on each task after each task, mean over replicates"),
    "forgetting_by_task": ("curves", "how far each task falls from right after learning to the end"),
    "confusion": ("matrices", "which classes are taken for which after the last task"),
    "accuracy_bytes": (
        "trade_offs",
        "final accuracy against bytes carried and in total, with the Pareto front; points of equal bytes side by side",
    ),
    "accuracy_rate": ("trade_offs", "final accuracy against compression rate; points of equal rate side by side"),
    "accuracy_buffer": ("trade_offs", "final accuracy against clips stored; points of equal number side by side"),
    "drift": ("curves", "latent shift of stored codes over tasks, before the refresh and after the task"),
    "cost": (
        "trade_offs",
        "wall seconds by phase; rehearsal (decoding old clips) apart from the compressor, the harness apart",
    ),
    "per_class": ("matrices", "change of each class from right after learning to the end"),
    "filmstrip": ("matrices", "the same stored clips decoded after each task (white: not in the buffer then)"),
    "training": ("curves", "training loss over steps"),
}


@dataclass(frozen=True)
class Plot:
    """A drawn plot: its figure, its data and what it shows; or the reason why there is none."""

    name: str
    about: str
    figure: "Figure | None"
    data: "pd.DataFrame | None"
    reason: str = ""


def draw(loaded: Loaded, pooled: Pooled, names: Sequence[str] = ()) -> Iterator[Plot]:
    """Draw plots one by one (all by default), so that a caller can save and close each."""
    import importlib

    from results import style

    style.use()
    for name in names or PLOTS:
        module, about = PLOTS[name]
        function: Callable = getattr(importlib.import_module(f"results.figures.{module}"), name)
        try:
            figure, data = function(loaded, pooled)
        except NoData as reason:
            yield Plot(name, about, None, None, str(reason))
        else:
            yield Plot(name, about, figure, data)


def save(plot: Plot, folder: Path, formats: Sequence[str]) -> list[Path]:
    """Write the figure in each format and its data as CSV, beside and then replaced; returns the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{plot.name}.{kind}" for kind in (*formats, "csv")]
    for path in paths:
        beside = path.with_name(f".{path.name}.{os.getpid()}")
        if path.suffix == ".csv":
            plot.data.to_csv(beside, index=False)
        else:
            kind = path.suffix[1:]
            dateless = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind)
            plot.figure.savefig(beside, format=kind, metadata=dateless)
        os.replace(beside, path)
    return paths


def run(
    outs: list[str], plots: list[str], format: list[str], methods: list[str], sweep: str, to: str, mixed: bool
) -> int:
    from matplotlib import pyplot

    loaded, pooled = select(of_sweep(load(outs), sweep), mixed, methods)
    if not loaded.done:
        raise ValueError(f"no run in {', '.join(outs)} is done: there is nothing to plot")
    folder = Path(to) if to else Path(outs[0]) / "plots"
    drawn = 0
    for plot in draw(loaded, pooled, plots):
        if plot.figure is None:
            print(f"{plot.name}: not drawn: {plot.reason}")
            continue
        paths = save(plot, folder, format)
        pyplot.close(plot.figure)
        drawn += 1
        print(f"{plot.name}: {plot.about}: {', '.join(map(str, paths))}")
    caption = {"records": len(loaded.done), "hash": loaded.digest, "mixed": list(pooled.mixtures)}
    (folder / "records.json").write_text(json.dumps(caption) + "\n") if drawn else None
    return 0 if drawn else 1


OPTIONS = {
    "plots": Option(
        [], f"which to draw (default: all that the records allow): {', '.join(PLOTS)}", "list", tuple(PLOTS)
    ),
    "format": Option(["svg"], "file formats: svg, png, pdf", "list", ("svg", "png", "pdf")),
    "methods": Option([], "methods or rows to draw (default: all)", "list"),
    "sweep": SWEEP,
    "to": Option("", "folder to write to (default: OUT/plots)"),
    "mixed": Option(False, "pool runs of different sources, devices or precisions", "flag"),
}

if __name__ == "__main__":
    sys.exit(command("results.plots", __doc__.splitlines()[0], OPTIONS, run))
