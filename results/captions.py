"""The sentences below a table, made from the records: how to read the table, and what is not in it."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from harness.common.units import bytes_text
from results.metrics import as_matrix
from results.pooling import Condition, Pooled, summarise
from results.registries import Column
from results.runs import LoadedRun, Runs

NAMED = 3  # runs named in a line
MATRIX = "R[i, j]: accuracy on task j after task i, both counted from 0; T tasks."


def heading(runs: Runs, pooled: Pooled) -> str:
    """One line about the table: stream, methods, budget, n. Empty if no run is done."""
    done = runs.done
    if not done:
        return ""
    protocols = " and ".join(dict.fromkeys(run.record.protocol.id for run in done))
    stream = dict.fromkeys(f"{run.record.label}, {run.record.setting}" for run in done)
    methods = len({row for row, _ in pooled.cells})
    return (
        f"{protocols} ({'; '.join(stream)}): {methods} method{'s' * (methods > 1)}, {_within(runs)}, {_sizes(pooled)}"
    )


def caption(runs: Runs, pooled: Pooled, shown: Sequence[Column]) -> list[str]:
    """Sentences that say how to read the table."""
    done = runs.done
    if not done:
        states = Counter(run.state for run in runs.absent)
        return [f"No run is done: {', '.join(f'{n} {state}' for state, n in states.most_common())}."]
    protocols = dict.fromkeys(f"{r.record.protocol.id} ({r.record.protocol.hash})" for r in done)
    stream = dict.fromkeys(f"{r.record.benchmark} {r.record.label}, setting {r.record.setting}" for r in done)
    texts = [
        f"Protocol {'; '.join(protocols)}; {'; '.join(stream)}; measured on the "
        f"{' and the '.join(dict.fromkeys(r.record.evaluate for r in done))} part.",
        f"Memory budget: {_budgets(runs)}.",
        _varies(pooled),
    ]
    if any(column.kind == "share" for column in shown):
        texts[-1] += " Accuracies and forgetting in per cent."
        texts.append(_chance(runs))
    texts += definitions([column for column in shown if column.always_defined])
    texts += dict.fromkeys(column.caveat for column in shown if column.caveat)
    if any(pooled.is_bound(row) for row in pooled.rows):
        texts.append("Below the rule: bounds, which keep to no budget.")
    texts += warnings(runs)
    if any(column.better for column in shown) and sum(not pooled.is_bound(row) for row in pooled.rows) > 1:
        texts.append(
            "Bold (* in plain text): best mean of the column, bounds apart; that is no test, results.compare is."
        )
    texts += _unequal(pooled)
    texts += _untested(runs)
    data_seeds = {r.config.get("benchmark", {}).get("data_seed") for r in done} - {None}
    if data_seeds:
        texts.append(f"Data seed {', '.join(str(seed) for seed in sorted(data_seeds, key=str))}.")
    texts += [f"Mixed: {text}." for text in pooled.mixtures]
    n_sources = len({run.record.sources for run in done})
    if n_sources > 1 and not any("sources" in text for text in pooled.mixtures):
        texts.append(f"The rows were made by {n_sources} different versions of the sources.")
    skipped = [run.record.n_skipped for run in done if run.record.n_skipped]
    if skipped:
        texts.append(f"Without clips that cannot be read: up to {max(skipped):,} in {len(skipped)} of the runs.")
    texts.append(f"{len(done)} records, hash {runs.digest}.")
    return texts


def warnings(runs: Runs) -> list[str]:
    """What a reader of the numbers has to know of a method: a sentence per kind, with its methods."""
    found: dict[str, dict[str, None]] = {}
    for run in runs.done:
        record, name = run.record, run.method
        if record.over_budget:
            found.setdefault("Below the rule too, over the budget (memory.enforce=false)", {})[name] = None
        for text in record.undeclared_work():
            what = "Work that the harness counted and the method did not declare"
            found.setdefault(what, {})[f"{name} ({text})"] = None
        reference = record.reference_live
        if reference and record.memory.live > 2 * reference:
            live, usual = bytes_text(record.memory.live), bytes_text(reference)
            what = f"Live models of more than twice the {usual} of the reference network"
            found.setdefault(what, {})[f"{name} ({live})"] = None
        if record.changed_code:
            names = ", ".join(record.changed_code[:NAMED])
            found.setdefault("The harness itself was changed while it ran", {})[f"{name} ({names})"] = None
        if record.plugin_imports:
            what = "Plug-in files import what can reach clips of other experiences"
            found.setdefault(what, {})[f"{name} ({', '.join(record.plugin_imports)})"] = None
    return [f"{what}: {_some(list(names))}." for what, names in found.items()]


def _some(names: list[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")


def definitions(columns: Sequence[Column]) -> list[str]:
    """One sentence per column. If a formula uses R, the last sentence says what R is."""
    texts = [f"{c.heading[0].upper()}{c.heading[1:]}: {c.definition.rstrip('.')}." for c in columns]
    uses = [i for i, c in enumerate(columns) if c.names_matrix]
    return [*texts[: uses[-1] + 1], MATRIX, *texts[uses[-1] + 1 :]] if uses else texts


def notes(runs: Runs, pooled: Pooled) -> list[str]:
    """What is not counted and why: one line per reason, with its runs. The report names all of them."""
    groups: dict[tuple[str, str, str], list[LoadedRun]] = {}
    for run in runs.absent:  # files that cannot be used are named one by one, whatever is wrong with them
        groups.setdefault((run.state, run.reason, run.run_id if run.state == "bad" else ""), []).append(run)
    lines = []
    for (state, reason, _), group in groups.items():
        shown = ", ".join(run.run_id for run in group[:NAMED])
        if len(group) > NAMED:
            shown = f"{len(group)} runs, {shown} and {len(group) - NAMED} more"
        lines.append(f"{state}: {shown}{f': {reason}' if reason else ''}")
    unknown = [run for run in pooled.unplaced if run.state != "bad"]  # what is bad was named above
    lines += [f"unknown cell: {run.run_id} (it left no configuration)" for run in unknown]
    return lines + [f"not used: {problem}" for problem in runs.problems]


def unequal_replicates(pooled: Pooled, condition: Condition) -> dict[str, list[tuple[int, int]]]:
    """Row -> its replicates (order seed, seed), where the rows of a condition that compete have not the same ones."""
    cells = [cell for (_, place), cell in pooled.cells.items() if place == condition and cell.done and not cell.bound]
    sets = {cell.name: sorted((run.order_seed, run.seed) for run in cell.done) for cell in cells}
    return sets if len({tuple(each) for each in sets.values()}) > 1 else {}


def _unequal(pooled: Pooled) -> list[str]:
    """A sentence where means of unequal replicates stand side by side."""
    for condition in pooled.conditions:
        sets = unequal_replicates(pooled, condition)
        if sets:
            common = set.intersection(*(set(each) for each in sets.values()))
            sizes = ", ".join(f"{name} {len(each)}" for name, each in list(sets.items())[:4])
            return [
                f"Unequal replicates ({sizes}{', ...' if len(sets) > 4 else ''}; {len(common)} are in all rows): their "
                "means are not marked against each other; results.compare pairs what two methods share."
            ]
    return []


def _untested(runs: Runs) -> list[str]:
    """A sentence on tasks without test items: no mean has them in it."""
    counts = {}
    for run in runs.done:
        tested = ~np.isnan(as_matrix(run.record.accuracy)).all(axis=0)
        if not tested.all() and tested.any():
            counts[run.record.protocol.id] = (np.flatnonzero(~tested).tolist(), len(tested))
    return [
        f"Without test items: task{'s' * (len(tasks) > 1)} {', '.join(map(str, tasks[:10]))}"
        f"{', ...' if len(tasks) > 10 else ''} of {n} (counted from 0, {protocol}); no mean has them in it."
        for protocol, (tasks, n) in counts.items()
    ]


def _budgets(runs: Runs) -> str:
    """Every budget, and its protocol if several protocols have one budget each."""
    by_protocol: dict[str, dict[tuple[int, str], None]] = {}
    for run in runs.done:
        memory, protocol = run.record.memory, run.record.protocol.id
        if memory.budget is not None and not run.record.bound:
            by_protocol.setdefault(protocol, {})[memory.budget, memory.count] = None
    if len(by_protocol) > 1 and all(len(budgets) == 1 for budgets in by_protocol.values()):
        return ", ".join(f"{_budget(next(iter(budgets)))} ({protocol})" for protocol, budgets in by_protocol.items())
    every = sorted({budget for budgets in by_protocol.values() for budget in budgets})
    return ", ".join(map(_budget, every)) or "none"


def _within(runs: Runs) -> str:
    """The budgets in a few words: one or two, or their range."""
    kept = [run.record.memory for run in runs.done if not run.record.bound]
    sizes = sorted({memory.budget for memory in kept if memory.budget is not None})
    if not sizes:
        return "no budget"
    texts = [bytes_text(size) for size in sizes]
    counts = dict.fromkeys(memory.count for memory in kept if memory.budget is not None)
    amount = " and ".join(texts) if len(texts) <= 2 else f"{texts[0]} to {texts[-1]}"
    return f"memory of {amount} ({' or '.join(counts)})"


def _budget(budget: tuple[int, str]) -> str:
    return f"{bytes_text(budget[0])} {budget[1]}"


def _sizes(pooled: Pooled) -> str:
    """n of the cells that have runs: n=5, or n=4 to 5."""
    sizes = {summarise([(r.order_seed, r.seed, 0.0) for r in cell.done]).n for cell in pooled.cells.values()} - {0}
    return f"n={min(sizes)}" if len(sizes) == 1 else f"n={min(sizes)} to {max(sizes)}"


def _chance(runs: Runs) -> str:
    """Chance: one over the number of classes after the last task, by protocol if they differ."""
    classes: dict[int, dict[str, None]] = {}
    for run in runs.done:
        classes.setdefault(run.record.n_classes, {})[run.record.protocol.id] = None
    texts = []
    for n, protocols in classes.items():
        where = f", {', '.join(protocols)}" if len(classes) > 1 else ""
        texts.append(f"{100 / n:.3g} % (1 of {n} classes{where})")
    return f"Chance after the last task: {'; '.join(texts)}."


def _varies(pooled: Pooled) -> str:
    """In what the values of one cell differ, and what ± means."""
    cells = [cell for cell in pooled.cells.values() if cell.done]
    summaries = [summarise([(r.order_seed, r.seed, 0.0) for r in cell.done]) for cell in cells]
    n = _sizes(pooled)
    if n == "n=1":
        return "n=1: one run a cell, hence no interval."
    over = {summary.over for summary in summaries if summary.n > 1}
    words = {
        "replicates": "replicates (class order, weights and sampling vary together)",
        "orders": "class orders (seeds averaged within an order)",
        "seeds": "seeds (weights and sampling vary, one class order)",
    }
    return f"Mean ± half width of the 95 % t-interval over {n} {' or '.join(words[name] for name in sorted(over))}."
