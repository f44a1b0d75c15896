"""What holds for any input: packed codes, buffers, batches cut anywhere, units, words of a command, pooled cells."""

import itertools
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.common.units import BYTES, bytes_text, parse_bytes, seconds_text
from harness.common.words import Option, parse
from harness.config import overrides
from harness.config.compose import request
from harness.training.batches import Plan, batches
from methods.contract import Batch, Phase
from methods.forms.codes import CodeRows, pack, unpack
from methods.forms.kinds import PayloadForm
from methods.selection import SELECTIONS
from methods.shared.buffers import Buffer, PayloadBuffer
from results import METRICS
from results.pooling import pool
from results.runs import Runs, done_run
from results.schema import parse as parse_record
from tests.synthetic import record

many = settings(max_examples=150, deadline=None, derandomize=True, database=None)
few = settings(many, max_examples=40)


def one_line(error: Exception) -> None:
    """Fails where the message is empty or goes over a line."""
    assert str(error)
    assert "\n" not in str(error)


# ---- codes as bits


@many
@given(st.data(), st.integers(1, 16), st.integers(1, 20), st.integers(0, 4))
def test_any_indices_come_back_from_their_bits(data, bits, n, rows):
    numbers = data.draw(st.lists(st.integers(0, 2**bits - 1), min_size=rows * n, max_size=rows * n))
    indices = np.array(numbers, np.int64).reshape(rows, n)
    packed = pack(indices, bits)
    assert packed.shape == (rows, -(-n * bits // 8))
    assert (unpack(packed, bits, n) == indices).all()


# ---- buffers: any stream of labels, shown in parts of any size


class Repeated(PayloadForm):
    """A payload of as many bytes as the clip's first number says."""

    def encode(self, clip):
        return bytes([clip.flat[0]]) * int(clip.flat[0])

    def decode(self, payloads):
        return np.array([payload[0] for payload in payloads], np.uint8).reshape(-1, 1, 1, 1, 1)


def buffer_of(selection: str, capacity: int, payloads: bool, seed: int) -> Buffer | PayloadBuffer:
    generator, extra = torch.Generator().manual_seed(seed), {"twice": 1}
    if not payloads:
        return Buffer(CodeRows((1,), 16), capacity, generator, extra=extra, selection=selection)
    return PayloadBuffer(Repeated((1, 1, 1, 1)), 40 * capacity + 300, generator, extra=extra, selection=selection)


def shown(buffer: Buffer | PayloadBuffer, targets: list[int], first: int, last: int) -> None:
    """Offers items first..last-1; an item's content and vector follow from its number."""
    ids = torch.arange(first, last)
    content = 1 + ids % 250 if isinstance(buffer, PayloadBuffer) else 7 * ids
    batch = Batch(torch.tensor(targets[first:last]), ids.int(), extra={"twice": 2.0 * ids[:, None]})
    buffer.offer(batch, content.to(torch.uint8 if isinstance(buffer, PayloadBuffer) else torch.int64)[:, None])


def contents(buffer: Buffer | PayloadBuffer) -> tuple[list, ...]:
    taken = buffer.take(np.arange(len(buffer))) if len(buffer) else None
    if taken is None:
        return ([], [], [], [])
    held = taken.clips if isinstance(buffer, PayloadBuffer) else taken.codes
    return (
        taken.sample_id.tolist(),
        taken.target.tolist(),
        held.flatten().tolist(),
        taken.extra["twice"][:, 0].tolist(),
    )


streams = st.one_of(st.lists(st.integers(0, 5), min_size=1, max_size=60),
                    st.lists(st.integers(0, 5), min_size=1, max_size=60).map(sorted))  # fmt: skip
kinds = st.tuples(st.sampled_from(SELECTIONS.names()), st.integers(1, 12), st.booleans(), st.integers(0, 3))


@many
@given(kinds, streams, st.lists(st.integers(0, 60), max_size=4), st.integers(0, 60))
def test_a_buffer_holds_real_items_and_no_cut_or_resume_changes_it(kind, targets, cuts, saved_at):
    whole, cut = buffer_of(*kind), buffer_of(*kind)
    shown(whole, targets, 0, len(targets))
    edges = sorted({0, len(targets), *(c for c in (*cuts, saved_at) if c < len(targets))})
    for first, last in itertools.pairwise(edges):
        if first == saved_at and first:
            other = buffer_of(*kind)
            if len(cut):
                other.load(cut.state())
            other.generator.set_state(cut.generator.get_state())
            cut = other
        shown(cut, targets, first, last)
    ids, labels, held, twice = contents(whole)
    assert contents(cut) == (ids, labels, held, twice)
    assert len(set(ids)) == len(ids)
    assert labels == [targets[k] for k in ids]
    assert held == [1 + k % 250 if kind[2] else 7 * k for k in ids]
    assert twice == [2 * k for k in ids]
    if isinstance(whole, PayloadBuffer):
        assert whole.used <= whole.budget
    else:
        assert len(ids) == min(kind[1], len(targets))


@many
@given(st.sampled_from(["reservoir", "ring", "herding"]), st.integers(1, 12), streams, st.integers(0, 3))
def test_classes_have_equal_shares_of_a_buffer_as_far_as_they_have_items(selection, capacity, targets, seed):
    n_classes = len(set(targets))
    if capacity < n_classes:
        return  # a reservoir then is a sample of all items
    buffer = buffer_of(selection, capacity, False, seed)
    shown(buffer, targets, 0, len(targets))
    sizes = np.bincount(contents(buffer)[1], minlength=6)
    for c, seen in enumerate(np.bincount(targets, minlength=6)):
        assert sizes[c] == seen or sizes[c] >= sizes.max() - 1, (sizes, c, seen)


@few
@given(kinds, streams, st.data())
def test_a_buffer_goes_on_after_places_were_taken_out(kind, targets, data):
    buffer = buffer_of(*kind)
    shown(buffer, targets, 0, len(targets))
    before = contents(buffer)
    slots = data.draw(st.lists(st.integers(0, len(buffer) - 1), unique=True)) if len(buffer) else []
    buffer.keep(np.array(slots, np.int64))
    assert contents(buffer) == tuple([values[slot] for slot in slots] for values in before)
    more = targets + targets
    shown(buffer, more, len(targets), len(more))
    ids, labels, *_ = contents(buffer)
    assert labels == [more[k] for k in ids]
    assert len(set(ids)) == len(ids)


# ---- batches


class Numbers:
    """A source of numbers that remembers nothing."""

    def __init__(self, length):
        self.length = length

    def __len__(self):
        return self.length

    def take(self, index, view=None):
        return Batch(torch.from_numpy(index), torch.from_numpy(np.asarray(view)))


@many
@given(st.integers(1, 30), st.integers(1, 40), st.booleans(), st.integers(1, 3), st.integers(0, 5),
       st.one_of(st.tuples(st.none(), st.integers(1, 4)), st.tuples(st.integers(1, 15), st.none())),
       st.integers(0, 60))  # fmt: skip
def test_a_phase_that_is_cut_anywhere_gives_the_same_batches(length, size, shuffle, views, seed, long, at):
    source = Numbers(length)
    phase = Phase("p", lambda: source, lambda batch: None, steps=long[0], epochs=long[1], batch=size, shuffle=shuffle,
                  views=views)  # fmt: skip
    plan = Plan.of(phase, source, (seed, 0, "p"))
    n, at = plan.n_steps(), min(at, plan.n_steps())

    def told(first, last):
        return [(b.target.tolist(), b.sample_id.tolist()) for b in batches(source, plan, first, last)]

    whole = told(0, n)
    assert len(whole) == n
    assert told(0, at) + told(at, n) == whole
    order = [index for batch, _ in whole for index in batch]
    for start in range(0, len(order) - length + 1, length):
        assert sorted(order[start : start + length]) == list(range(length))  # each once an epoch
    if long[1]:
        assert len(order) == long[1] * length


# ---- units


@many
@given(st.integers(1, 10**14))
def test_bytes_for_people_are_read_back_to_three_digits(size):
    read = parse_bytes(bytes_text(size))
    assert read == pytest.approx(size, rel=5.1e-3)
    assert bytes_text(read) == bytes_text(size)
    assert parse_bytes(size) == parse_bytes(f"{size}B") == size


numbers = st.one_of(st.integers(-3, 10**30).map(str), st.floats().map(str),
                    st.tuples(st.integers(0, 99), st.integers(0, 400)).map("{0[0]}e{0[1]}".format))  # fmt: skip


@many
@given(st.one_of(st.text(max_size=8), numbers, st.floats(), st.booleans(), st.none(),
                 st.tuples(numbers, st.sampled_from([*BYTES, "KB", "gb", "xB", " MB"])).map("".join)))  # fmt: skip
def test_any_budget_is_bytes_or_none_or_one_line(text):
    try:
        size = parse_bytes(text)
    except ValueError as error:
        one_line(error)
        return
    assert size is None or (isinstance(size, int) and size >= 1)


@many
@given(st.floats())
def test_any_length_of_time_has_words(seconds):
    assert seconds_text(seconds)


# ---- words of a command line

KEYS = ("methods", "replicates", "memory.budget", "er.codec", "classifier.steps", "classifier.network", "plan", "out",
        "benchmark", "benchmark.tasks", "protocol", "profile", "preset", "log.to", "seeds", "slurm.extra.x", "label",
        "compressor", "method.cram", "precision", "plugins", "lock.stale_minutes", "er.codec", "x.y")  # fmt: skip
VALUES = ("cram", "[cram,er]", "[all]", "[]", "{}", "{a:1}", "null", "true", "-1", "0", "1e999", "nan", "1,2", "[1,2]",
          "[[1]]", "''", "'", '"', "\\", "${out}", "${oc.env:HOME}", "range(1,4)", "choice(a,b)", "glob(*)", "~", "=",
          "a=b", "é", "a b", "moving_digits", "cram,er", "none", "700kB", "0.5x", "er:x", "???", "@", "#", "[cr*]",
          "1.5", "[a,[b]]", "shuffle(1,2)", "int(3)", "\x00", "\n", "_", "[tensorboard]")  # fmt: skip
values = st.one_of(
    st.sampled_from(VALUES), st.text(max_size=6), st.lists(st.sampled_from(VALUES), max_size=3).map("".join)
)
words = st.one_of(
    st.text(max_size=12),
    st.tuples(st.sampled_from(KEYS), values).map("=".join),
    st.tuples(st.text(st.sampled_from("ab._-+~[]{}="), max_size=8), values).map("=".join),
)


@settings(many, max_examples=200)
@given(st.lists(words, max_size=3))
def test_any_words_are_read_or_refused_in_one_line(given_words):
    try:
        read = overrides.parse(given_words)
        overrides.combinations(read)
        overrides.value_of(read, "methods")
    except ValueError as error:
        one_line(error)


assignments = st.lists(st.tuples(st.sampled_from(KEYS), values).map("=".join), min_size=1, max_size=2)


@settings(many, max_examples=10)
@given(assignments)
def test_any_settings_are_runs_or_refused_in_one_line(given_words):
    try:
        asked = request(["methods=[naive]", "plan=true", *given_words])
    except (ValueError, OSError) as error:
        one_line(error)
        return
    assert all(config.method.name for config in asked.runs.values())


@pytest.mark.slow
@settings(many, max_examples=300)
@given(assignments)
def test_many_more_settings_are_runs_or_refused_in_one_line(given_words):
    test_any_settings_are_runs_or_refused_in_one_line.hypothesis.inner_test(given_words)


OPTIONS = {"one": Option("", "x"), "many": Option([], "x", "list", ("a", "b")), "flag": Option(False, "x", "flag"),
           "whole": Option(1, "x", "int"), "number": Option(1.0, "x", "number")}  # fmt: skip


@many
@given(st.lists(st.one_of(st.text(max_size=8), st.tuples(st.sampled_from(sorted(OPTIONS)), values).map("=".join))))
def test_any_words_of_a_small_command_are_read_or_refused_in_one_line(given_words):
    try:
        _, found, _ = parse(given_words, OPTIONS)
    except ValueError as error:
        one_line(error)
        return
    assert found.keys() == OPTIONS.keys()
    assert isinstance(found["flag"], bool)
    assert found["number"] > 0


# ---- pooling


def run_of(method: str, seed: int, final: float, budget: int) -> object:
    made = record(method, seed, final, n=3, config={"memory": {"budget": budget}})
    content = json.dumps(made).encode()
    return done_run(Path("runs") / made["run_id"], parse_record(content), content)


asked = st.lists(
    st.tuples(
        st.sampled_from(["cram", "er", "joint"]), st.integers(0, 4), st.floats(0, 1), st.sampled_from([1000, 2000])
    ),
    min_size=1, max_size=12, unique_by=lambda run: (run[0], run[1], run[3]),
)  # fmt: skip


@few
@given(asked, st.randoms(use_true_random=False))
def test_the_order_in_which_runs_are_read_moves_no_cell(asked, random):
    runs = [run_of(*each) for each in asked]
    mixed = list(runs)
    random.shuffle(mixed)
    one, other = (pool(Runs((Path("runs"),), tuple(each), (), ())) for each in (runs, mixed))
    assert set(one.rows) == set(other.rows)
    assert one.cells.keys() == other.cells.keys()
    final = METRICS.get("final_accuracy").of
    for place, cell in one.cells.items():
        again = other.cells[place]
        assert {run.run_id for run in cell.done} == {run.run_id for run in again.done}
        assert np.mean([final(run.record) for run in cell.done]) == pytest.approx(
            np.mean([final(run.record) for run in again.done])
        )
    assert sum(len(cell.done) for cell in one.cells.values()) == len(runs)
    assert replace(Runs((), tuple(runs), (), ())).digest == Runs((), tuple(mixed), (), ()).digest
