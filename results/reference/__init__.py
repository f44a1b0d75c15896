"""Published numbers. They are shown only beside runs on the same stream. Each paper is one CSV file in this folder.

Columns: paper, year, table, protocol (of ours: it fixes splits and class order), dataset, tasks, method, metric (a name
of results.metrics), value in per cent, memory in the paper's unit, memory_unit, memory_bytes (empty where it cannot be
computed), backbone, initialisation, url. A number that is not known is left out and never guessed. The tables of SMILE
and of CRAM could not be obtained.
"""

import csv
from collections.abc import Sequence
from pathlib import Path

from harness.common.units import bytes_text
from results.pooling import Pooled
from results.registries import column, column_names
from results.render import Table
from results.table import Entry, Heading, Row, Section, cell_summary, number

TITLE = "same stream, different model"


def add_published(table: Table, pooled: Pooled) -> None:
    """Append published numbers on the same streams to a table, and a note on streams without such numbers."""
    sections, sentences = beside(pooled)
    table.sections += sections
    table.caption += sentences


def published() -> list[dict[str, str]]:
    """Every published number; each is one row of a CSV file.

    Raises:
        ValueError: a figure cannot be right; the line names file and line.
    """
    rows, known = [], column_names()
    for path in sorted(Path(__file__).parent.glob("*.csv")):
        with open(path, newline="", encoding="utf-8") as file:
            for line, row in enumerate(csv.DictReader(file), start=2):
                if row["metric"] not in known or not 0 <= float(row["value"]) <= 100 or not row["url"]:
                    raise ValueError(f"{path.name}, line {line}: unknown metric, value outside 0 to 100, or no url")
                rows.append(row)
    return rows


def beside(pooled: Pooled) -> tuple[list[Section], list[str]]:
    """For each protocol a section with published numbers and our cells; and a note on protocols without any."""
    rows = published()
    sections, sentences = [], []
    protocols = {run.record.protocol.id for cell in pooled.cells.values() for run in cell.done}
    for protocol in sorted(protocols):
        theirs = [row for row in rows if row["protocol"] == protocol]
        if theirs:
            sections.append(_section(pooled, protocol, theirs))
        else:
            sentences.append(f"No published number known here was measured on the stream of {protocol}.")
    return sections, sentences


def _section(pooled: Pooled, protocol: str, theirs: Sequence[dict[str, str]]) -> Section:
    names = list(dict.fromkeys(row["metric"] for row in theirs))
    texts = ["memory", "bytes", "backbone", "initialisation", "source"]
    headings = [Heading("", column(name).heading, "share") for name in names]
    headings += [Heading("", text, "text") for text in texts]
    return Section(
        f"{TITLE}: {protocol}", headings, [*_published_rows(theirs, names), *_our_rows(pooled, protocol, names)]
    )


def _published_rows(theirs: Sequence[dict[str, str]], names: Sequence[str]) -> list[Row]:
    rows = []
    for key in dict.fromkeys((row["paper"], row["method"]) for row in theirs):
        group = {row["metric"]: row for row in theirs if (row["paper"], row["method"]) == key}
        first = next(iter(group.values()))
        values = [Entry(f"{float(group[name]['value']):.1f}" if name in group else "–") for name in names]
        size = bytes_text(float(first["memory_bytes"])) if first["memory_bytes"] else "not known"
        memory = f"{int(first['memory']):,} {first['memory_unit']}" if first["memory"] else "not known"
        rest = (memory, size, first["backbone"] or "not known", first["initialisation"] or "not known", first["url"])
        rows.append(Row(f"{key[1]} ({key[0].split(' (')[0]})", False, "", [*values, *map(Entry, rest)]))
    return rows


def _our_rows(pooled: Pooled, protocol: str, names: Sequence[str]) -> list[Row]:
    rows = []
    for cell in pooled.cells.values():
        if not cell.done or cell.done[0].record.protocol.id != protocol:
            continue
        record = cell.done[0].record
        summaries = [cell_summary(cell, column(name)) for name in names]
        values = [Entry(number(s.mean, s.half_width, "share"), s) for s in summaries]
        stored = record.memory.clips_stored
        carried = max(run.record.memory.carried_max for run in cell.done)
        rest = ("none" if stored is None else f"{stored:,} clips", bytes_text(carried), f"profile {record.profile}",
                record.setting, "these records")  # fmt: skip
        rows.append(Row(f"ours: {cell.name}", False, str(len(cell.done)), [*values, *map(Entry, rest)]))
    return rows
