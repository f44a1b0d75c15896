"""Out folders from Python: a frame, tables and figures of the runs in them."""

from collections import Counter
from collections.abc import Sequence
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from results import plots
from results.build import build
from results.explain import explanation
from results.pooling import select
from results.predictions import usable
from results.read import read
from results.registries import column, column_names, own_columns
from results.render import Table
from results.runs import DoneRun, Runs

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


class Loaded(Runs):
    """All runs of some out folders, and the ways to look at them; a notebook shows them as a table."""

    def __repr__(self) -> str:
        states = Counter(run.state for run in self.runs)
        counts = ", ".join(f"{number} {state}" for state, number in states.items())
        return f"{len(self.runs)} runs in {', '.join(map(str, self.outs))}" + (f" ({counts})" if counts else "")

    def _repr_html_(self) -> str:
        table = self.table(mixed=True)._repr_html_() if self.runs else ""
        return f"<p>{escape(repr(self))}</p>{table}"

    def frame(self) -> "pd.DataFrame":
        """One row per run, even without a record: state, reason, what the run is, and every column of the tables.

        Shares lie between 0 and 1, times are seconds, sizes bytes; NaN where a value is not known.
        """
        import pandas as pd

        done = {run.run_id: run for run in self.done}
        names = [*column_names(), *own_columns(self.done)]
        columns = [column(name, self.done) for name in names] if done else []
        rows = []
        for run in self.runs:
            row: dict[str, Any] = {
                "run_id": run.run_id, "out": str(run.folder.parent), "state": run.state, "reason": run.reason,
                "method": run.method, "seed": run.seed, "order_seed": run.order_seed,
            }  # fmt: skip
            if isinstance(run, DoneRun):
                row |= _facts(run) | {each.name: each.of(run) for each in columns}
            rows.append(row)
        return pd.DataFrame(rows)

    def table(
        self,
        layout: str = "metrics",
        columns: Sequence[str] = (),
        methods: Sequence[str] = (),
        sweep: str = "all",
        explain: Sequence[str] = (),
        mixed: bool = False,
    ) -> Table:
        """The table that `python -m results.tables` prints with the same options.

        Raises:
            ValueError: a name is unknown, or a cell would mix sources, devices or precisions.
        """
        runs, pooled = select(usable(self.of_sweep(sweep), columns), mixed, methods)
        return explanation(runs, pooled, explain) if explain else build(runs, pooled, layout, columns)

    def plot(self, name: str, methods: Sequence[str] = (), sweep: str = "all", mixed: bool = False) -> "Figure":
        """The figure of one plot, see `results.PLOTS`; nothing is written and no state of pyplot is used.

        Raises:
            ValueError: a name is unknown, or these records do not allow the plot.
        """
        runs, pooled = select(self.of_sweep(sweep), mixed, methods)
        (drawn,) = plots.draw(runs, pooled, [name])
        if drawn.figure is None:
            raise ValueError(f"{name} cannot be drawn: {drawn.reason}")
        return plots.shown(drawn.figure)


def load(outs: Sequence[Path | str] | Path | str = "runs", run_ids: Sequence[str] | None = None) -> Loaded:
    """Read out folders; see `results.read.read`."""
    runs = read(outs, run_ids)
    return Loaded(runs.outs, runs.runs, runs.problems, runs.methods, runs.sweeps)


def _facts(run: DoneRun) -> dict[str, Any]:
    record = run.record
    return {
        "benchmark": record.benchmark, "label": record.label, "setting": record.setting, "profile": record.profile,
        "evaluate": record.evaluate, "bound": record.bound, "opaque": record.opaque,
        "protocol": record.protocol.id, "protocol_hash": record.protocol.hash, "count": record.memory.count,
        "sources": record.sources, "device": record.device, "precision": record.precision_used,
        "clip_table": record.clip_table_hash, "digest": run.digest,
    }  # fmt: skip
