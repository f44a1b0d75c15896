"""Paired comparison with a reference method: `python -m results.compare OUT reference=cram [metric=] [methods=]`."""

import signal
import sys
from collections.abc import Sequence

from harness.common.words import Option
from results.command import MIXED, SWEEP, carry_out, checked_names
from results.registries import column, comparable_columns


def run(outs: list[str], reference: str, metric: str, methods: list[str], sweep: str, format: str, mixed: bool) -> int:
    """Print one comparison; returns the exit code."""
    # --help needs none of these, and they take longer to import than it to answer.
    from results.captions import notes
    from results.comparison import compare_table, paired, primary_metric, to_json
    from results.predictions import usable
    from results.read import read
    from results.render import FORMATS, to_terminal

    runs = read(outs).of_sweep(sweep)
    checked_names("metric", [metric] if metric else [], comparable_columns())
    shown = column(metric or primary_metric(runs))
    runs = usable(runs, [shown.name])
    runs, pooled, comparisons = paired(runs, reference, shown, methods, mixed)
    if not comparisons:
        raise ValueError(f"nothing to compare with {reference}: no other row without a bound shares a block with it")
    if format == "json":
        sys.stdout.write(to_json(comparisons, shown))
        return 0
    table = compare_table(comparisons, pooled, shown, notes(runs, pooled))
    if format == "terminal":
        to_terminal(table)
    else:
        sys.stdout.write(FORMATS[format](table))
    return 0


OPTIONS = {
    "reference": Option("cram", "the row that the others are compared with"),
    "metric": Option("", "what is compared (default: the protocol's primary metric): "
                         f"{', '.join(comparable_columns())}"),
    "methods": Option([], "methods or rows to compare; the fewer were declared before, the more can be shown", "list"),
    "sweep": SWEEP,
    "format": Option("terminal", "how to print", choices=("terminal", "markdown", "latex", "json")),
    "mixed": MIXED,
}  # fmt: skip


def main(words: Sequence[str]) -> int:
    """Carry out the command; returns the exit code."""
    return carry_out("compare", __doc__.splitlines()[0], OPTIONS, run, words)


if __name__ == "__main__":
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)  # `| head` ends it quietly
    sys.exit(main(sys.argv[1:]))
