"""Command lines that are not run: one clear line, exit code 2, nothing written."""

import os
from dataclasses import fields, is_dataclass

import pytest

from harness.config import hints
from harness.config.schema import GROUPS, Command
from harness.run import main


def refused(capsys, *words: str) -> str:
    """The one line on stderr of a command line that is not run."""
    capsys.readouterr()
    assert main(list(words)) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.strip().splitlines()) == 1
    return captured.err


BAD = {
    "": ["no method is given", "methods=[cram,er]"],
    "methods=[]": ["no method is given"],
    "methods=crma": ["unknown method 'crma'", "did you mean 'cram'"],
    "methods=[er,er]": ["'er' twice"],
    "methods=er benchmark=moving_digit": ["unknown benchmark 'moving_digit'", "did you mean 'moving_digits'"],
    "methods=er clasifier.steps=5": ["unknown setting 'clasifier.steps'", "did you mean 'classifier.steps'"],
    "methods=[er,cram": ["cannot read 'methods=[er,cram'", "a bracket is missing"],
    "methods=ER": ["unknown method 'ER'", "did you mean 'er'", "plugins=[FILE.py]"],
    "methods=er plugins=/": ["plugins: '/' is a folder"],
    "methods=er benchmark.taks=3": ["unknown setting 'benchmark.taks'", "did you mean 'benchmark.tasks'"],
    "methods=er memory.bugdet=1kB": ["unknown setting 'memory.bugdet'", "did you mean 'memory.budget'"],
    "methods=er er.codc=raw": ["method er has no setting 'codc'", "did you mean 'codec'"],
    "methods=cram cram.steps=3": ["method cram has no setting 'steps'"],
    "methods=er er.codec=jpg": ["er.codec=jpg is not allowed", "did you mean 'jpeg'"],
    "methods=cram er.codec=jpeg": ["'er' is not among methods"],
    "methods=er +x=1": ["'+x=1'", "write x=1 without +"],
    "methods=er ~label": ["'~label'", "without ~"],
    "methods=er --plan": ["unknown option '--plan'", "name=value"],
    "methods=er plan": ["'plan' is not of the form name=value"],
    "methods=er memory.budget=0": ["memory.budget=0", "more than 0"],
    "methods=er memory.budget=-5": ["memory.budget=-5", "more than 0"],
    "methods=er memory.budget=plenty": ["memory.budget=plenty", "700kB"],
    "methods=cram memory.budget=100": ["memory.budget=100 holds not one clip"],
    "methods=er benchmark.tasks=41": ["41 tasks", "40 classes"],
    "methods=er label=actoin": ["'actoin'", "did you mean 'action'"],
    "methods=er seeds=[]": ["seeds=[] is empty"],
    "methods=er seeds=x": ["seeds=[x]", "Integer"],
    "methods=er seeds=-1": ["seeds=[-1]", "from 0 on"],
    "methods=er replicates=0": ["replicates=0 asks for no run"],
    "methods=er replicates=2 seeds=[1]": ["not seeds too"],
    "methods=er replicates=2 order_seeds=[1]": ["not order_seeds too"],
    "methods=er launcher=locl": ["unknown launcher 'locl'", "did you mean 'local'"],
    "methods=er evaluate=tset": ["evaluate=tset", "did you mean 'test'"],
    "methods=er protocol=moving-digit-5": ["'moving-digit-5'", "did you mean 'moving-digits-5/v1'"],
    "methods=er preset=smoek": ["unknown preset 'smoek'", "did you mean 'smoke'"],
    "methods=er profile=smal": ["unknown profile 'smal'", "did you mean 'small'"],
    "methods=er workers=0": ["workers=0", "more than 0"],
    "methods=er compressor.batch=0": ["compressor.batch=0", "more than 0"],
    "methods=er compressor.steps=many": ["compressor.steps=many", "Integer"],
    "methods=er compressor=3": ["compressor is a group of settings"],
    "methods=er out=a,b": ["out takes one value"],
    "methods=er out=[": ["cannot read 'out=['"],
    "methods=er hydra.run.dir=x": ["unknown setting 'hydra.run.dir'"],
    "method=cram": ["method is a group of settings", "use methods=[cram]"],
    "methods=er lr=0.1": ["unknown setting 'lr'", "use classifier.rate or compressor.rate: peak learning rate"],
    "methods=er er.lr=0.1": ["method er has no setting 'lr'", "use classifier.rate"],
    "methods=er --lr=0.1": ["name=value without dashes", "use classifier.rate"],
    "methods=er log=wandb": ["log is a group of settings", "use log.to=[wandb]"],
    "methods=er memory=500": ["use memory.budget: bytes"],
    "methods=er workers.x=5": ["unknown setting 'workers.x'", "did you mean 'workers'"],
    "methods=er benchmark=UCF-101": ["protocol=vclimb-ucf101-10/v1"],
    "methods=finetune": ["unknown method 'finetune'", "did you mean 'naive'"],
}
# What people type who know mammoth, Avalanche, PyTorch Lightning, timm or argparse -> where it is here.
WORDS = {
    "methods": "method model strategy algorithm", "benchmark": "dataset", "memory.budget": "memory_size buffer_size",
    "classifier.batch": "batch_size train_mb_size", "classifier.epochs": "epochs n_epochs max_epochs num_epochs",
    "classifier.rate": "optimizer learning_rate optimizer.lr", "compressor.rate": "compressor.lr",
    "seeds": "seed", "benchmark.tasks": "n_tasks n_experiences", "benchmark.frames": "num_frames clip_len",
    "benchmark.size": "img_size resolution", "benchmark.videos": "data_dir root", "out": "output_dir log_dir results",
    "loader_workers": "num_workers", "device": "gpus gpu use_gpu", "slurm.minutes": "time slurm.time",
    "log.to": "wandb use_wandb logger", "paths.cache": "cache_dir", "precision": "amp fp16", "plan": "dry_run",
    "classifier.network": "backbone", "replay.share": "mem_batch_size", "checkpoint.resume": "ckpt_path",
}  # fmt: skip


def test_words_of_other_frameworks_lead_to_ours():
    found = {word: next(iter(hints.meant_by(word)), None) for words in WORDS.values() for word in words.split()}
    assert found == {word: ours for ours, words in WORDS.items() for word in words.split()}
    assert hints.use("wandb", "true").startswith("; use log.to=[wandb]: ")
    assert not hints.use("zqx")


def test_every_declared_word_is_unknown_as_a_setting_and_found():
    for name, says in hints.declarations():
        for word in says.also:
            assert word not in (*GROUPS, *(entry.name for entry in fields(Command) if not is_dataclass(entry.type)))
            assert name in hints.meant_by(word), f"{word} of {name} is hidden by another word"


@pytest.mark.parametrize("words", BAD)
def test_bad_input_ends_in_one_clear_line(capsys, cache, tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    message = refused(capsys, cache, *words.split())
    for part in BAD[words]:
        assert part in message
    assert list(tmp_path.iterdir()) == []


def test_an_out_folder_that_is_a_file_is_refused(capsys, cache, tmp_path):
    (tmp_path / "runs").write_text("")
    for out in ("runs", "runs/deeper"):
        assert f"{tmp_path / 'runs'} is a file" in refused(capsys, cache, "methods=er", f"out={tmp_path / out}")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_an_out_folder_that_cannot_be_written_is_refused(capsys, cache, tmp_path):
    tmp_path.chmod(0o500)
    assert "cannot be written" in refused(capsys, cache, "methods=er", f"out={tmp_path / 'runs'}")


REGISTER = "from methods.contract import Method, register\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("raise RuntimeError('boom')", "mine.py', line 1, does not load: RuntimeError: boom"),
        ("x = 1\ny = (", "mine.py', line 2, does not load: SyntaxError"),
        ("x = 1", "mine.py' registers nothing (a plug-in registers one or more of: "),
        (f"{REGISTER}\n@register('odd')\nclass Odd: ...", "mine.py', line 3, method 'odd' is <class 'plugin_mine"),
        (f"{REGISTER}\n@register('odd')\nclass Odd: ...", "which is not a methods.contract.Method"),
        (
            f"{REGISTER}\nregister('er')(Method)",
            "mine.py', line 3, method 'er' is built in, and its name cannot be taken",
        ),
        (
            f"{REGISTER}\nregister('o')(Method)\nregister('o')(Method)",
            "mine.py', line 4, method 'o' is registered twice",
        ),
        (f"{REGISTER}\nregister('o')(Method)\nregister('o')(Method)", "mine.py, line 3 and by "),
        (f"{REGISTER}\nregister('my method')(Method)", "line 3, method 'my method': a name is made of letters"),
        (
            f"{REGISTER}\n@register('odd')\nclass Odd(Method):\n    def __init__(self): ...",
            "method odd cannot be made: TypeError",
        ),
    ],
)
def test_a_plugin_that_does_not_work_is_named(capsys, cache, tmp_path, text, message):
    (tmp_path / "mine.py").write_text(text)
    words = ["methods=odd", f"plugins={tmp_path / 'mine.py'}", f"out={tmp_path / 'runs'}"]
    assert message in refused(capsys, cache, *words)


def test_one_name_in_two_plugins_is_refused_with_both_places(capsys, cache, tmp_path):
    for name in ("one.py", "two.py"):
        (tmp_path / name).write_text(f"{REGISTER}\nregister('odd')(Method)")
    words = ["methods=odd", f"plugins=[{tmp_path / 'one.py'},{tmp_path / 'two.py'}]"]
    message = refused(capsys, cache, *words)
    assert f"by {tmp_path / 'one.py'}, line 3 and by {tmp_path / 'two.py'}, line 3" in message


def test_debug_shows_the_trace(cache):
    with pytest.raises(ValueError, match="unknown method"):
        main(["methods=crma", cache, "debug=true"])
