"""Memory: codes bit-packed without loss, reservoirs that are fair, bytes that agree with a count by hand."""

import numpy as np
import pytest
import torch
from scipy import stats

from methods import find, native
from methods.contract import Batch, Spec
from methods.cram import CRAM
from methods.er import ER, ERSettings
from methods.forms import FORMS
from methods.forms.codes import CodeRows, pack, unpack
from methods.forms.raw import RawRows
from methods.shared.buffers import Buffer, PayloadBuffer
from tests import tiny

CLIP = (8, 32, 32, 3)
SNAPSHOT = 4 * ((8 * 48 + 48) + (48 * 48 * 9 + 48) + (48 * 48 + 48) + (48 * 192 + 192) + 256 * 8)  # decoder, codebook
TIGHT = {"er": "memory.budget=400kB", "cram": "memory.budget=147kB", "no_snapshot": "memory.budget=7kB"}


# ---- packing


@pytest.mark.parametrize("bits", range(1, 13))
@pytest.mark.parametrize("n", [1, 7, 128])
def test_indices_come_back_from_as_many_bits_as_they_need(bits, n):
    indices = np.random.default_rng(bits).integers(0, 2**bits, (50, n))
    indices[0], indices[1] = 0, 2**bits - 1
    packed = pack(indices, bits)
    assert packed.dtype == np.uint8
    assert packed.shape == (50, -(-n * bits // 8))
    assert (unpack(packed, bits, n) == indices).all()


def test_codes_are_stored_written_over_and_taken_back():
    rows = CodeRows((2, 8, 8, 2), bits=9)
    buffer = Buffer(rows, 6, torch.Generator())
    codes = torch.randint(512, (6, 2, 8, 8, 2))
    buffer.offer(batch([0, 0, 1, 1, 2, 2]), codes)
    assert (buffer.take(np.arange(6)).codes == codes).all()
    assert buffer.data.nbytes == 6 * 2 * 8 * 8 * 2 * 9 / 8
    buffer.write(np.array([4, 1]), codes[[0, 5]])
    taken = buffer.take(np.array([1, 4, 5]))
    assert (taken.codes == codes[[5, 0, 5]]).all()
    assert taken.target.tolist() == [0, 2, 2]
    assert taken.sample_id.tolist() == [1, 4, 5]


# ---- reservoirs


def batch(targets, first_id=0):
    return Batch(target=torch.tensor(targets), sample_id=torch.arange(first_id, first_id + len(targets)))


def filled(targets: list[int], capacity: int, seed: int, chunk: int = 8) -> Buffer:
    """A buffer that was shown items numbered 0, 1, ... of these classes, a few at a time."""
    buffer = Buffer(CodeRows((1, 1, 1, 1), 8), capacity, torch.Generator().manual_seed(seed))
    for start in range(0, len(targets), chunk):
        part = targets[start : start + chunk]
        buffer.offer(batch(part, start), torch.tensor(part).reshape(-1, 1, 1, 1, 1))
    return buffer


def kept(targets: list[int], capacity: int, repeats: int) -> np.ndarray:
    """How often each item is in the buffer at the end, over seeds."""
    times = np.zeros(len(targets))
    for seed in range(repeats):
        buffer = filled(targets, capacity, seed)
        times[buffer.sample_id[: len(buffer)]] += 1
    return times


ORDERS = {
    "one class after the other": [c for c in range(3) for _ in range(16)],
    "classes in turn": [c for _ in range(16) for c in range(3)],
    "unequal classes": [0] * 30 + [1, 2] * 9,
}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("capacity", [9, 10, 11])
def test_reservoir_keeps_classes_balanced(order, capacity):
    for seed in range(5):
        sizes = np.bincount(filled(ORDERS[order], capacity, seed).target, minlength=3)
        assert sizes.sum() == capacity
        assert sizes.max() - sizes.min() <= 1


@pytest.mark.parametrize("order", ORDERS)
def test_every_item_of_a_class_has_the_same_chance(order):
    targets = np.array(ORDERS[order])
    times = kept(ORDERS[order], capacity=11, repeats=300)
    for c in range(3):
        assert stats.chisquare(times[targets == c]).pvalue > 1e-3, times[targets == c]


@pytest.mark.parametrize("in_turn", [False, True])
def test_below_a_slot_a_class_every_item_seen_has_the_same_chance(in_turn):
    targets = [c for _ in range(6) for c in range(8)] if in_turn else [c for c in range(8) for _ in range(6)]
    times = kept(targets, capacity=5, repeats=600)
    assert times.sum() == 5 * 600
    assert stats.chisquare(times).pvalue > 1e-3, times


def test_stored_items_keep_their_label_and_contents():
    targets = ORDERS["classes in turn"]
    buffer = filled(targets, 10, seed=1)
    taken = buffer.take(np.arange(10))
    assert taken.codes.flatten().tolist() == taken.target.tolist()
    assert taken.target.tolist() == [targets[k] for k in taken.sample_id]
    assert len(set(taken.sample_id.tolist())) == 10


@pytest.mark.parametrize("codec", ["jpeg", "h264"])
def test_payloads_are_evicted_by_bytes_and_stay_balanced(codec):
    rng = np.random.default_rng(0)
    plain = np.broadcast_to(rng.integers(0, 256, (30, 8, 1, 1, 3)), (30, *CLIP)).astype(np.uint8)
    noise = rng.integers(0, 60, plain.shape)
    clips = np.where((np.arange(30) % 3 == 0)[:, None, None, None, None], plain // 2 + noise, plain).astype(np.uint8)
    made = FORMS.get(codec)(CLIP, 0)
    sizes = [len(made.encode(clip)) for clip in clips]
    budget = len(made.header) + int(sum(sizes) * 0.4) + 30 * 12
    buffer = PayloadBuffer(made, budget, torch.Generator(), "cpu")
    for k in range(30):
        buffer.offer(batch([k % 3], k), torch.from_numpy(clips[k : k + 1]))
        assert buffer.used == sum(len(p) for p in buffer.payloads) + 12 * len(buffer)
        assert len(made.header) + buffer.used <= budget
    assert len(set(buffer.target)) == 3
    assert max(sizes) > 3 * min(sizes)  # or nothing was shown


# ---- bytes


def measured(method: str, *words: str) -> dict:
    """What the record of a tiny run says of memory."""
    return tiny.done(method, *words)[0]["memory"]


@pytest.mark.parametrize("method", native())
def test_no_row_is_over_the_budget_and_the_sums_agree(method):
    memory = measured(method, *([TIGHT[method]] if method in TIGHT else []))
    rows = memory["per_experience"]
    assert all(row["carried"] == sum(row["holders"].values()) for row in rows)
    assert memory["carried_max"] == max(row["carried"] for row in rows) == sum(memory["carried"].values())
    assert memory["total"] == max(row["carried"] + row["live"] for row in rows)
    assert memory["live"] == max(row["live"] for row in rows)
    within = [row["at"] for row in rows if row["phase"]]
    assert within == ["start", "end"] * (len(within) // 2) != []
    assert sum(row["at"] == "boundary" for row in rows) == (1 if find(method).joint else 2)
    if find(method).bound:
        assert memory["budget"] is None
    else:
        assert memory["carried_max"] <= memory["budget"]
        assert memory["live"] > 0
    if method in TIGHT:
        assert memory["clips_stored"] == memory["capacity"] < 100  # full
        assert memory["carried_max"] > memory["budget"] - 25_000


@pytest.mark.parametrize(("method", "budget"), [("er", 900_000), ("cram", 985_000), ("no_snapshot", 845_000)])
def test_a_budget_of_everything_counts_the_live_model_too(method, budget):
    memory = measured(method, f"memory.budget={budget}", "memory.count=total")
    assert memory["count"] == "total"
    assert all(row["carried"] + row["live"] <= budget for row in memory["per_experience"])
    assert memory["clips_stored"] >= 1


def test_codes_cost_what_a_count_by_hand_says():
    memory = measured("cram")
    assert memory["clips_stored"] == 100
    # 128 bytes a clip, 8 for label and id; a counter of 16 bytes a class
    assert memory["carried"] == {"buffer": 100 * (128 + 8) + 20 * 16, "snapshot": SNAPSHOT}
    memory = measured("cram", TIGHT["cram"])
    fits = (147_000 - SNAPSHOT - 20 * 16) // (128 + 8)
    assert memory["capacity"] == fits
    assert memory["carried"]["buffer"] == fits * (128 + 8) + 20 * 16
    # Codes of the current experience: the first has three blocks of four actions.
    assert max(row["scratch"] for row in memory["per_experience"]) == memory["scratch_peak"] == 60 * (128 + 8)


def test_raw_clips_cost_what_a_count_by_hand_says():
    memory = measured("er", TIGHT["er"])
    fits = (400_000 - 20 * 16) // (8 * 32 * 32 * 3 + 8)
    assert memory["capacity"] == memory["clips_stored"] == fits == 16
    assert memory["carried"] == {"buffer": fits * (8 * 32 * 32 * 3 + 8) + 20 * 16}


def test_payloads_cost_what_a_count_by_hand_says():
    walk = tiny.begun("er", "er.codec=jpeg", "memory.budget=100kB")
    walk.to_the_end()
    buffer = walk.method.buffer
    again = [buffer.codec.encode(walk.context.reader.read(np.array([row]))[0]) for row in buffer.sample_id]
    carried = len(buffer.codec.header) + sum(len(p) + 4 + 8 for p in again) + 20 * 16
    assert walk.memory.summary()["carried"] == {"buffer": carried}
    assert 90_000 < carried <= 100_000


def test_naive_carries_nothing():
    memory = measured("naive")
    assert memory["carried"] == {}
    assert memory["carried_max"] == 0
    assert memory["clips_stored"] is None


# ---- not one clip fits


def spec(budget: int | None) -> Spec:
    return Spec(clip_shape=CLIP, n_classes=20, budget=budget)


@pytest.mark.parametrize(
    ("cls", "settings", "least"),
    [(ER, ERSettings(), 8 * 32 * 32 * 3 + 8 + 320), (CRAM, None, SNAPSHOT + 320 + 128 + 8)],
)
def test_a_budget_below_one_clip_says_what_takes_it(cls, settings, least):
    assert cls(spec(least), settings, torch.Generator()).buffer.capacity == 1
    with pytest.raises(ValueError, match=rf"memory.budget={least - 1} holds not one clip.*a clip takes \d+"):
        cls(spec(least - 1), settings, torch.Generator())
    with pytest.raises(ValueError, match=r"needs a memory\.budget, such as 700kB"):
        cls(spec(None), settings, torch.Generator())


def test_a_payload_above_the_budget_says_so():
    with pytest.raises(ValueError, match=r"memory.budget holds not one clip: one takes \d+ bytes"):
        tiny.begun("er", "er.codec=jpeg", "memory.budget=1500").to_the_end()


def test_rows_of_raw_clips_come_back_as_they_were():
    rows = RawRows(CLIP)
    clips = torch.randint(256, (3, *CLIP), dtype=torch.uint8)
    assert (rows.from_rows(rows.to_rows(clips), "cpu")["clips"] == clips).all()
    assert rows.row_bytes == 24_576
