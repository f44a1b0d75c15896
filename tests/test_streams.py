"""Streams of experiences, clip tables and protocols."""

import subprocess
import sys
from dataclasses import asdict, replace

import numpy as np
import pytest

import benchmarks
from benchmarks import protocols
from benchmarks.clips import ClipTable
from benchmarks.stream import build_stream


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    """The default benchmark without its frames."""
    return benchmarks.describe("moving_digits", {}, tmp_path_factory.mktemp("cache"))


@pytest.mark.parametrize(
    ("label", "tasks", "sizes"),
    [
        ("action", 10, [4] * 10),
        ("action", 3, [16, 12, 12]),
        ("action", 20, [2] * 20),
        ("action", 12, [4] * 4 + [3] * 8),
        ("noun", 5, [2] * 5),
        ("verb", 3, [4, 3, 3]),
        ("noun", 1, [10]),
    ],
)
def test_a_stream_cuts_all_classes_into_disjoint_tasks(full, label, tasks, sizes):
    stream = build_stream(full.table, label, tasks, order_seed=3)
    assert [len(members) for members in stream.class_order] == sizes
    assert sorted(sum(stream.class_order, ())) == list(range(stream.n_classes))
    assert list(stream.classes) == sorted(set(full.table.frame.loc[full.table.frame.split == "train", label]))
    assert any("do not divide" in note for note in stream.notes) == (len(set(sizes)) > 1)
    frame = full.table.frame
    for split, experiences in (
        ("train", stream.train_stream),
        ("valid", stream.valid_stream),
        ("test", stream.test_stream),
    ):
        rows = np.concatenate([each.indices for each in experiences])
        assert sorted(rows) == np.flatnonzero(frame.split == split).tolist()
        for task, each in enumerate(experiences):
            assert each.current_experience == task
            assert each.classes_in_this_experience == stream.class_order[task]
            assert each.classes_seen_so_far == sum(stream.class_order[: task + 1], ())
            assert set(each.targets) == set(stream.class_order[task])
            assert frame[label].to_numpy()[each.indices].tolist() == [stream.classes[i] for i in each.targets]


def test_blocks_stay_whole_and_other_labels_say_that_they_mix(full):
    frame = full.table.frame
    for seed in range(3):
        stream = build_stream(full.table, "action", 10, seed)
        assert all(frame.block[each.indices].nunique() == 1 for each in stream.train_stream)
        assert stream.notes == ()
    note = build_stream(full.table, "noun", 5, 0).notes[0]
    assert "holds up to 4 of the 10 blocks" in note
    assert "holds up to 4 of the 10 blocks" in build_stream(full.table, "action", 3, 0).notes[1]


def test_order_is_a_function_of_its_seed(full):
    orders = [build_stream(full.table, "action", 10, seed).class_order for seed in (0, 1, 2, 0)]
    assert orders[0] == orders[3]
    assert len(set(orders)) == 3


def test_pretraining_is_an_experience_of_its_own(full):
    scratch = build_stream(full.table, "action", 10, 0)
    stream = build_stream(full.table, "action", 10, 0, "pretrained")
    assert (scratch.pretraining, scratch.pretraining_classes) == (None, ())
    assert stream.class_order == scratch.class_order
    before = stream.pretraining
    assert (before.current_experience, before.is_pretraining) == (-1, True)
    assert len(before.indices) == 400
    names = full.table.frame.action.to_numpy()[before.indices].tolist()
    assert names == [stream.pretraining_classes[i] for i in before.targets]
    assert set(stream.pretraining_classes).isdisjoint(stream.classes)
    rest = ClipTable.of(full.table.frame.query("split != 'pretrain'"), full.table.root, full.table.labels)
    with pytest.raises(ValueError, match="'pretrained' needs clips"):
        build_stream(rest, "action", 10, 0, "pretrained")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("action", 41, 0), "at most 40"),
        (("action", 0, 0), "at least 1"),
        (("action", 10, -1), "order_seed"),
        (("actoin", 10, 0), "did you mean 'action'"),
        (("action", 10, 0, "pretraind"), "did you mean 'pretrained'"),
    ],
)
def test_bad_streams_say_what_is_allowed(full, arguments, message):
    with pytest.raises(ValueError, match=message):
        build_stream(full.table, *arguments)


def test_classes_that_cannot_be_trained_or_tested_are_named(full):
    frame = full.table.frame
    lost = (frame.split == "train") & (frame.noun == "digit 3") | (frame.split == "test") & (frame.noun == "digit 5")
    notes = build_stream(ClipTable.of(frame[~lost], full.table.root, full.table.labels), "noun", 3, 0).notes
    assert "1 classes have test but no train clips and are not streamed: digit 3" in notes
    assert "1 classes have train but no test clips: digit 5" in notes


def test_a_wrong_clip_table_is_refused(full):
    frame, root, labels = full.table.frame.head(4), full.table.root, full.table.labels
    for wrong, message in (
        (frame.drop(columns="start"), "lacks the columns start"),
        (frame.assign(sample_id="a"), "more than once"),
        (frame.assign(split="eval"), "unknown split 'eval'"),
        (frame.assign(stop=0.0), "stops at 0.0 s"),
        (frame.assign(noun=None), "empty noun"),
    ):
        with pytest.raises(ValueError, match=message):
            ClipTable.of(wrong, root, labels)


# ---- protocols


def test_protocols_are_found_named_and_hashed(full):
    default = protocols.find("moving-digits-10")
    assert (str(default), default.budget, default.primary) == ("moving-digits-10/v1", "700kB", "final_accuracy")
    assert protocols.find("moving-digits-5/v1").budget == "400kB"
    with pytest.raises(ValueError, match="did you mean 'moving-digits-10/v1'"):
        protocols.find("moving-digit-10")
    assert len(default.hash(full.table.hash)) == 12
    assert replace(default, budget="1MB").hash("x") == default.hash("x")
    assert len({default.hash("x"), default.hash("y"), replace(default, tasks=9).hash("x")}) == 3


def test_choices_are_identified_as_a_protocol_or_custom():
    def identify(label="action", tasks=10, benchmark="moving_digits", **options):
        return protocols.identify(benchmark, label, tasks, options)

    for _, protocol in protocols.PROTOCOLS.items():
        assert identify(protocol.label, protocol.tasks, protocol.benchmark, **protocol.options) == str(protocol)
        other = {"size": 112} if "size" in protocol.options else {"data_seed": 1}
        assert identify(protocol.label, protocol.tasks, protocol.benchmark, **{**protocol.options, **other}) == "custom"
    assert identify(**{**asdict(benchmarks.parse("moving_digits", {})), "name": "moving_digits"}) == protocols.DEFAULT
    assert identify(tasks=5) == identify(label="noun") == identify(leak=0.1) == identify(data_seed=1) == "custom"


def test_names_and_options_are_known_without_heavy_imports():
    script = (
        "import sys, benchmarks, benchmarks.protocols as p; p.identify('moving_digits', 'action', 10, {});"
        "heavy = {'torch', 'pandas', 'numpy', 'av', 'sklearn'} & set(sys.modules); assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
