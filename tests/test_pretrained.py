"""A compressor saved by harness.pretrain and loaded by other runs, and views of current clips."""

import shutil

import numpy as np
import pytest
import torch

from harness import pretrain
from harness.config.compose import request
from harness.run import main
from harness.training.execute import run
from methods.shared import pretrained
from methods.shared.settings import CompressorSettings
from tests import tiny
from tests.test_annotations import kinetics_rows, write_rows


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A compressor of the pre-training part of the tiny benchmark."""
    file = tmp_path_factory.mktemp("pre") / "compressor.pt"
    assert pretrain.main([f"save={file}", *tiny.TINY, "compressor.steps=30"]) == 0
    return file


def test_runs_start_from_the_saved_compressor(saved):
    weights = torch.load(saved, weights_only=True)["weights"]
    assert list(saved.parent.iterdir()) == [saved]
    walk = tiny.begun("frozen", f"compressor.load={saved}")
    assert [phase.name for phase in walk.method.phases(walk.experiences[0])] == ["encode", "classifier", "store"]
    walk.to_the_end()
    after = walk.method.compressor.state_dict()
    assert all(after[name].equal(value) for name, value in weights.items())
    learns_on = tiny.begun("cram", f"compressor.load={saved}")
    assert learns_on.method.compressor.state_dict()["quantizer.codebook"].equal(weights["quantizer.codebook"])
    learns_on.next_experience()
    assert not learns_on.method.compressor.state_dict()["quantizer.codebook"].equal(weights["quantizer.codebook"])


def test_the_same_training_gives_the_same_file(saved, tmp_path):
    assert pretrain.main([f"save={tmp_path / 'again.pt'}", *tiny.TINY, "compressor.steps=30"]) == 0
    assert (tmp_path / "again.pt").read_bytes() == saved.read_bytes()


def test_its_bytes_are_part_of_the_run_and_its_path_is_not(saved, tmp_path):
    copy = shutil.copy(saved, tmp_path / "copy.pt")
    words = (*tiny.TINY, "methods=[cram]")
    (one, _), (two, config) = (
        next(iter(request([*words, f"compressor.load={f}"]).runs.items())) for f in (saved, copy)
    )
    assert one == two
    assert one not in request(words).runs
    record = run(config, tiny.new_folder())
    assert len(record["config"]["compressor"]["load"]) == 64
    copy.write_bytes(saved.read_bytes() + b"x")
    with pytest.raises(ValueError, match="was changed since the run was asked for"):
        run(config, tiny.new_folder())


def test_a_file_that_does_not_fit_is_refused_in_a_line(saved, tmp_path, capsys):
    (tmp_path / "text.pt").write_text("no weights")
    torch.save({"weights": {}}, tmp_path / "other.pt")
    others = {
        "pointer.pt": (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 1\n", "git lfs pull"),
        "page.pt": (b"<!DOCTYPE html><html>404</html>", "a web page"),
        "empty.pt": (b"", "it is empty"),
        "cut.pt": ((tmp_path / "other.pt").read_bytes()[:300], "cut or damaged"),
        "st.pt": ((2).to_bytes(8, "little") + b"{}", "a safetensors file"),
    }
    for name, (content, said) in others.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=said) as caught:
            pretrained.load(tmp_path / name, CompressorSettings())
        assert "weights_only" not in str(caught.value)
    torch.save(torch.nn.Linear(2, 2), tmp_path / "module.pt")
    with pytest.raises(ValueError, match="holds whole objects, such as a module"):
        pretrained.load(tmp_path / "module.pt", CompressorSettings())
    for words, said in (
        ([f"compressor.load={saved}", "compressor.width=16"], "compressor.width is 48 there and 16 here"),
        ([f"compressor.load={tmp_path / 'none.pt'}"], "no file"),
        ([f"compressor.load={tmp_path / 'text.pt'}"], "is no compressor of harness.pretrain"),
        ([f"compressor.load={tmp_path / 'other.pt'}"], "is no compressor of harness.pretrain"),
    ):
        assert main([*tiny.TINY, "methods=[cram]", "plan=true", *words]) == 2
        line = capsys.readouterr().err
        assert said in line
        assert line.count("\n") == 1


class Payload:
    def __reduce__(self):
        return (open, ("/nowhere/at/all", "w"))


def test_no_code_of_the_file_runs(tmp_path, capsys):
    torch.save({"format": Payload(), "settings": {}, "weights": {}}, tmp_path / "code.pt")
    assert main([*tiny.TINY, "methods=[cram]", "plan=true", f"compressor.load={tmp_path / 'code.pt'}"]) == 2
    said = capsys.readouterr().err
    assert "is no compressor of harness.pretrain (it holds whole objects" in said


def test_a_benchmark_without_clips_to_pre_train_on_takes_a_compressor_along(saved, tmp_path, capsys):
    for k in range(12):
        (tmp_path / f"{k}.mp4").touch()  # a plan does not open the videos
    rows = [f"{k}.mp4,0,2,{'ab'[k % 2]},{'test' if k > 7 else 'train'}" for k in range(12)]
    (tmp_path / "mine.csv").write_text("\n".join(["file,start,stop,label,split", *rows]))
    words = ["benchmark=video_csv", f"benchmark.annotations={tmp_path / 'mine.csv'}", f"benchmark.videos={tmp_path}",
             "benchmark.frames=8", "benchmark.size=32", "benchmark.tasks=2", "methods=[frozen]", "memory.budget=1MB",
             "setting=pretrained", "plan=true"]  # fmt: skip
    assert main(words) == 2
    assert "compressor.load=FILE brings a compressor along" in capsys.readouterr().err
    assert main([*words, f"compressor.load={saved}"]) == 0


def test_kinetics_with_pre_training_is_the_protocol_that_keeps_classes_for_it(tmp_path):
    header = "label,youtube_id,time_start,time_end,split"
    write_rows(tmp_path / "kinetics700_train.csv", header, kinetics_rows("train", 0, 20))
    write_rows(tmp_path / "kinetics700_validate.csv", header, kinetics_rows("validate", 30, 8))
    words = ["benchmark=kinetics", f"benchmark.annotations={tmp_path}", "methods=[er]"]
    for setting, protocol in (("scratch", "k700-10/v1"), ("pretrained", "k700-k400pre-10/v1")):
        assert {c.protocol for c in request([*words, f"setting={setting}"]).runs.values()} == {protocol}


def test_pretrain_says_what_it_cannot_do(tmp_path, capsys):
    assert pretrain.main([*tiny.TINY]) == 2
    assert "save=FILE is missing" in capsys.readouterr().err
    assert pretrain.main([f"save={tmp_path / 'x.pt'}", *tiny.TINY, "seeds=[0,1]"]) == 2
    assert "one compressor at a time" in capsys.readouterr().err


# ---- views of current clips


def test_codes_of_several_views_are_trained_on_and_one_is_stored():
    walk = tiny.begun("frozen", "classifier.views=3")
    experience = walk.experiences[0]
    for phase in walk.method.phases(experience):
        walk.one_phase(experience, phase)
        walk.position["step"] = 0
        if phase.name == "encode":
            codes = walk.method.codes.take(np.arange(len(walk.method.codes)))
    n = len(experience.clips)
    assert len(codes) == 3 * n
    assert codes.sample_id.tolist() == np.repeat(experience.clips.rows, 3).tolist()
    assert (codes.codes[0::3] != codes.codes[1::3]).any()
    own = walk.method.compressor.encode(experience.clips.take(np.arange(n)).clips)
    assert codes.codes[0::3].equal(own)
    stored = walk.method.buffer.take(np.arange(len(walk.method.buffer)))
    assert sorted(stored.sample_id.tolist()) == sorted(experience.clips.rows.tolist())
    place = {row: k for k, row in enumerate(experience.clips.rows.tolist())}
    assert stored.codes.equal(own[[place[row] for row in stored.sample_id.tolist()]])


def test_pixel_methods_see_as_many_views(monkeypatch):
    walk = tiny.begun("naive", "classifier.views=3", "classifier.steps=30")
    experience, seen = walk.experiences[0], []
    take = experience.clips.take
    monkeypatch.setattr(experience.clips, "take", lambda index, view=None: seen.append(view) or take(index, view))
    walk.one_phase(experience, walk.method.phases(experience)[0])
    assert set(np.concatenate(seen).tolist()) == {0, 1, 2}


def test_settings_that_came_later_leave_earlier_runs_as_they_were():
    config = next(iter(request(["methods=[cram]"]).runs.values()))
    assert not {"training"} & set(config.plain())
    assert not {"network", "epochs", "load"} & set(config.plain()["compressor"])
    assert not {"network", "epochs", "views"} & set(config.plain()["classifier"])
