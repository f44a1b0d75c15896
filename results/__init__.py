"""From records to tables, plots, comparisons and a report; importing this imports no numpy, pandas or drawing library.

The way of the data: `read` finds the runs of out folders (`runs`) and their typed records (`record`, `schema`);
`pooling` sorts them into cells; `registries` and `builtin` name the metrics, columns and plots; `build` lays out a
`table`, with sentences from `captions`, and `render` prints it; `figures` draws. `statistics` compares methods.
Commands: `tables`, `plots`, `compare`, `report`. From Python: `results.load.load("runs")`.
This room imports `harness.common` and no other room.
"""

from results import builtin as builtin  # registers what the project brings
from results.registries import COLUMNS, METRICS, PLOTS, NoData

__all__ = ["COLUMNS", "METRICS", "PLOTS", "NoData"]
