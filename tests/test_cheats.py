"""Each way to hold, see or do more than is charged: refused with a line, counted, or named in record and caption."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from harness.common import plugins
from harness.common.files import write_json
from harness.testing.methods import MethodCheck
from harness.training.execute import run
from methods import METHODS
from results.captions import warnings
from results.read import read
from tests import tiny

# Refused by the run itself, whoever carries it out.
BY_THE_RUN = {
    "reads_again": r"clip \d+ is not one of this experience's own training clips",
    "reads_test_rows": r"clip \d+ is not one of this experience's own training clips",
    "keeps_a_copy": r"experience 0 is over: only a buffer keeps any of its clips",
    "trains_in_predict": r"predict\(clips\) changes the method's state \(classifier\)",
    "keeps_keys": r"over its budget: \d+ bytes .*holders: notes \d+",
    "keeps_wide_text": r"over its budget: \d+ bytes .*holders: notes \d+",
    "keeps_attributes": r"over its budget: \d+ bytes",
    "keeps_shapes": r"over its budget: \d+ bytes .*holders: notes \d+",
    "writes_on_settings": r"has changed its settings: what it learns belongs in its state",
    "open_settings": r"its settings could be written on.*put @dataclass\(frozen=True\) above class Open",
    "other_generator": r"has changed its generator",
    "two_faces": r"state \(notes\), or state\(\) gives another answer when it is saved than when it is counted",
}
# Found by harness.check: the check that fails, and its line.
BY_THE_CHECK = {
    "guesses_the_task": ("contract", r"gives other logits for \d+ of \d+ clips when they come singly"),
    "adapts_in_secret": ("contract", r"gives other logits for \d+ of \d+ clips when they come"),
    "never_moves": ("contract", r"no weight of a live module moved in the first experience"),
    "frozen_answers": ("contract", r"the same logits after an experience as before it: nothing is learnt"),
    "first_batch_alone": ("learning", r"its steps ignore the batch they are given"),
    "more_clips": ("work", r"counted 256 clips in phase classifier, 64 declared"),
    "more_steps": ("work", r"counted 32 optimizer steps in phase classifier, 8 declared"),
    "trains_in_start": ("work", r"counted 16 optimizer steps in phase classifier, 8 declared"),
    "trains_while_storing": ("work", r"counted 8 optimizer steps in phase keep of kind store"),
    "trains_unseen": ("work", r"phase more of kind other trains classifier.*give it kind='classifier'"),
    "changes_the_harness": ("work", r"the harness itself was changed: harness.training.memory.MemoryMeter._check"),
}
HIDDEN = ("hides_in_a_global", "hides_on_its_class", "hides_in_a_closure", "hides_on_a_module",
          "hides_in_a_passing_buffer")  # fmt: skip
# A run is carried out and its row says it below the table.
NAMED = {
    "more_clips": "Work that the harness counted and the method did not declare: more_clips (256 clips in phase "
    "classifier, 64 declared).",
    "large_from_the_start": "Live models of more than twice the 690 kB of the reference network: large_from_the_start "
    "(2.49 MB).",
    "changes_the_harness": "The harness itself was changed while it ran: changes_the_harness "
    "(harness.training.memory.MemoryMeter._check).",
}


@pytest.fixture(scope="module")
def cheats(tmp_path_factory):
    """The toys as files outside the project; their names are free again afterwards."""
    folder = tmp_path_factory.mktemp("cheats")
    for name in ("toys.py", "cheats.py"):
        shutil.copy(Path(__file__).parent / name, folder)
    before = set(METHODS)
    yield f"plugins=[{folder / 'cheats.py'}]"
    for name in set(METHODS) - before:
        sys.modules.pop(METHODS.entries.pop(name).target.__module__, None)
    sys.modules.pop("toys", None)


@pytest.fixture
def restored(monkeypatch):
    """What a toy writes on the harness is gone after its test."""
    from harness.training.memory import MemoryMeter

    monkeypatch.setattr(MemoryMeter, "_check", MemoryMeter._check)


@pytest.mark.parametrize("name", BY_THE_RUN)
def test_a_run_refuses_what_it_cannot_charge(cheats, name):
    with pytest.raises((ValueError, RuntimeError), match=BY_THE_RUN[name]):
        run(tiny.config(name, cheats, "memory.budget=260kB"), tiny.new_folder())


@pytest.mark.parametrize("name", BY_THE_CHECK)
def test_the_check_says_what_a_method_does_beside(cheats, restored, name, tmp_path):
    step, line = BY_THE_CHECK[name]
    check = MethodCheck(tiny.config(name, cheats, "memory.budget=260kB"), tmp_path)
    if step != "contract":
        check.contract()
    with pytest.raises(ValueError, match=line):
        getattr(check, step)()


@pytest.mark.parametrize("name", HIDDEN)
def test_a_new_process_knows_nothing_that_is_hidden(cheats, name, tmp_path):
    config = tiny.config(name, cheats)
    check = MethodCheck(config, tmp_path)
    check.reference = run(config, tiny.new_folder())
    with pytest.raises(ValueError, match=r"not that of the run left alone.*kept outside the state"):
        check.strict()


def warned(config: dict, folder: Path) -> list[str]:
    """What the caption of a table warns of after a run."""
    record = run(config, tiny.new_folder())
    (folder / record["run_id"]).mkdir()
    write_json(folder / record["run_id"] / "record.json", record)
    return warnings(read([str(folder)]))


@pytest.mark.parametrize("name", NAMED)
def test_a_table_names_what_is_not_refused(cheats, restored, name, tmp_path):
    assert warned(tiny.config(name, cheats), tmp_path) == [NAMED[name]]


def test_a_plugin_that_imports_what_reads_clips_is_named(tmp_path):
    file = tmp_path / "peeks.py"
    file.write_text("import benchmarks\nfrom methods.contract import register\nfrom methods.naive import Naive\n"
                    "register('peeks')(type('Peeks', (Naive,), {}))\n")  # fmt: skip
    (said,) = warned(tiny.config("peeks", f"plugins=[{file}]"), tmp_path)
    assert said == "Plug-in files import what can reach clips of other experiences: peeks (benchmarks)."


def test_the_name_of_a_built_in_method_cannot_be_taken(tmp_path):
    file = tmp_path / "worse.py"
    file.write_text("from methods.contract import register\nfrom methods.naive import Naive\n"
                    "register('er')(type('Worse', (Naive,), {}))\n")  # fmt: skip
    with pytest.raises(ValueError, match="method 'er' is built in, and its name cannot be taken"):
        plugins.load([str(file)])


def test_what_a_method_is_given_leads_to_its_own_clips_alone():
    walk = tiny.begun("er")
    experience = walk.experiences[0]
    source, own = experience.clips, set(experience.clips.rows.tolist())
    strange = {type(walk.context.reader), type(walk.context.table), type(walk.stream), type(walk.context.benchmark)}
    seen, todo = set(), [source, experience, source.take(np.arange(4)), walk.method.spec, walk.method]
    while todo:
        thing = todo.pop()
        if id(thing) in seen:
            continue
        seen.add(id(thing))
        assert type(thing) not in strange
        if isinstance(thing, np.ndarray | torch.Tensor):
            assert len(thing) <= len(own) or thing.dtype in (np.uint8, torch.uint8, torch.float32), thing
        elif isinstance(thing, dict | list | tuple):
            todo += thing.values() if isinstance(thing, dict) else thing
        elif hasattr(thing, "__dict__") and not isinstance(thing, type | torch.nn.Module):
            todo += vars(thing).values()
    with pytest.raises(TypeError, match="cannot be saved or sent elsewhere"):
        torch.save(source, tiny.new_folder() / "source.pt")


def test_items_of_all_seen_tasks_come_in_an_order_that_says_nothing():
    walk = tiny.begun("naive")
    evaluation = walk.evaluation
    first, later = evaluation.order(0), evaluation.order(1)
    assert set(evaluation.task[evaluation.item[first]]) == {0}
    assert sorted(later) == list(range(len(evaluation.rows)))
    tasks = evaluation.task[evaluation.item[later]]
    assert (np.diff(tasks) != 0).sum() > 10  # not one task after the other
    assert [place for place in later if place in set(first)] != first.tolist()  # nor as the time before
    assert (evaluation.order(1) == later).all()
