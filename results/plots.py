"""Plots from records, each with its data as CSV: `python -m results.plots OUT [plots=] [format=svg,png,pdf] [to=]`."""

import io
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from harness.common.files import write_bytes, write_json
from harness.common.words import Option
from results.command import MIXED, SWEEP, carry_out, checked_names
from results.registries import PLOTS, NoData

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from results.pooling import Pooled
    from results.runs import Runs


@dataclass(frozen=True)
class Plot:
    """A drawn plot: its figure, its data and what it shows. Without a figure, `reason` says why."""

    name: str
    about: str
    figure: "Figure | None"
    data: "pd.DataFrame | None"
    reason: str = ""


def draw(runs: "Runs", pooled: "Pooled", names: Sequence[str] = ()) -> Iterator[Plot]:
    """Draw plots one by one (all by default), so that a caller can save each and free its memory.

    Raises:
        ValueError: a name is unknown.
    """
    from results import style

    for name in names or PLOTS.names():
        function, about = PLOTS.get(name), PLOTS.summary(name)
        try:
            with style.applied():
                figure, data = function(runs, pooled)
        except NoData as reason:
            yield Plot(name, about, None, None, str(reason))
        else:
            yield Plot(name, about, figure, data)


def picture(figure: "Figure", kind: str, dpi: int | None = None) -> bytes:
    """A figure as a file of a kind (svg, png, pdf); equal figures give equal bytes."""
    from results import style

    content = io.BytesIO()
    dateless = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind)
    with style.applied():
        figure.savefig(content, format=kind, metadata=dateless, dpi=dpi or "figure")
    return content.getvalue()


def shown(figure: "Figure") -> "Figure":
    """The figure, which a notebook now shows where nobody has imported pyplot."""
    figure._repr_png_ = partial(picture, figure, "png")  # type: ignore[attr-defined]
    return figure


def save(plot: Plot, folder: Path, formats: Sequence[str]) -> list[Path]:
    """Write the figure in each format, and its data as CSV. Returns the paths. Old files are replaced when complete."""
    assert plot.figure is not None
    assert plot.data is not None
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{plot.name}.{kind}" for kind in (*formats, "csv")]
    for path, kind in zip(paths, (*formats, "csv"), strict=True):
        data = plot.data.to_csv(index=False).encode() if kind == "csv" else picture(plot.figure, kind)
        write_bytes(path, data)
    return paths


def run(
    outs: list[str], plots: list[str], format: list[str], methods: list[str], sweep: str, to: str, mixed: bool
) -> int:
    """Draw plots into a folder. Returns the exit code, which is 1 if no plot could be drawn."""
    from results.pooling import select
    from results.read import read

    runs, pooled = select(read(outs).of_sweep(sweep), mixed, methods)
    if not runs.done:
        raise ValueError(f"no run in {', '.join(outs)} is done: there is nothing to plot")
    folder = Path(to) if to else Path(outs[0]) / "plots"
    drawn = 0
    for plot in draw(runs, pooled, checked_names("plots", plots, PLOTS.names())):
        if plot.figure is None:
            print(f"{plot.name}: not drawn: {plot.reason}")
            continue
        paths = save(plot, folder, format)
        drawn += 1
        print(f"{plot.name}: {plot.about}: {', '.join(map(str, paths))}")
    if drawn:
        caption = {"records": len(runs.done), "hash": runs.digest, "mixed": list(pooled.mixtures)}
        write_json(folder / "records.json", caption)
    return 0 if drawn else 1


OPTIONS = {
    "plots": Option([], f"which to draw (default: all that the records allow): {', '.join(PLOTS)}", "list"),
    "format": Option(["svg"], "file formats: svg, png, pdf", "list", ("svg", "png", "pdf")),
    "methods": Option([], "methods or rows to draw (default: all)", "list"),
    "sweep": SWEEP,
    "to": Option("", "folder to write to (default: OUT/plots)"),
    "mixed": MIXED,
}


def main(words: Sequence[str]) -> int:
    """Carry out the command; returns the exit code."""
    return carry_out("plots", __doc__.splitlines()[0], OPTIONS, run, words)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
