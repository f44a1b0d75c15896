"""One assertion for each kind of entry that a user registers. Torch is imported when one is called."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.common import plugins

if TYPE_CHECKING:
    import numpy as np

    from methods.forms.kinds import PayloadForm, RowForm

CLIP = (8, 32, 32, 3)


def assert_method(name: str, *words: str) -> None:
    """A method keeps the contract: all that `python -m harness.check` looks at, about a minute.

    words: more words of the command line, such as "plugins=[mine.py]" and "mine.weight=0.5".
    """
    from harness.testing.methods import MethodCheck, asked_for

    for config in asked_for([f"method={name}", *words]):
        with tempfile.TemporaryDirectory(prefix="check-") as scratch:
            wrong = [str(outcome) for outcome in MethodCheck(config, Path(scratch)).outcomes() if outcome.problem]
        assert not wrong, f"method {config.method.name}:\n" + "\n".join(wrong)


def assert_benchmark(name: str, *plugin_files: str | Path, cache: Path | None = None, **settings: Any) -> None:
    """A benchmark's two methods agree: the same clips described and loaded, frames as they are declared, read alike."""
    import numpy as np

    import benchmarks

    plugins.load([str(file) for file in plugin_files])
    with tempfile.TemporaryDirectory(prefix="check-") as scratch:
        cache = cache or Path(scratch)
        described, loaded = (make(name, settings, cache) for make in (benchmarks.describe, benchmarks.load))
        assert described.reader is None, f"benchmark {name}: describe() reads frames, and a plan must not"
        assert described.table.hash == loaded.table.hash, f"benchmark {name}: describe() and load() give other clips"
        label, frame = loaded.default_label, loaded.table.frame
        for split in ("train", "test"):
            assert (frame["split"] == split).any(), f"benchmark {name}: no clip has split={split}"
        assert label in loaded.table.labels, f"benchmark {name}: its default label '{label}' is no label of the table"
        assert loaded.reader is not None, f"benchmark {name}: load() gives no reader"
        rows = np.unique(np.linspace(0, len(frame) - 1, 5).astype(np.int64))
        clips, shape = loaded.reader.read(rows), (len(rows), loaded.frames, loaded.height, loaded.width, 3)
        assert clips.dtype == np.uint8, f"benchmark {name}: clips are {clips.dtype}, not uint8"
        assert clips.shape == shape, f"benchmark {name}: clips are {clips.shape}, not {shape} as it declares"
        again = loaded.reader.read(rows[::-1])[::-1]
        assert np.array_equal(clips, again), f"benchmark {name}: the same rows in another order are other clips"


def assert_form(name: str, *plugin_files: str | Path, quality: int = 0, error: float = 40.0) -> None:
    """A form of clips gives back what it was given, up to a mean `error` in grey levels, in the bytes it declares."""
    import numpy as np

    from methods.forms import FORMS
    from methods.forms.kinds import PayloadForm, RowForm

    plugins.load([str(file) for file in plugin_files])
    rows, columns, time = (np.arange(n) for n in (32, 32, 8))
    moving = 128 + 100 * np.sin(rows[:, None] / 5 + columns[None, :] / 7 + time[:, None, None] / 3)
    clips = np.stack([np.repeat(moving[..., None], 3, -1), np.repeat(255 - moving[..., None], 3, -1)]).astype(np.uint8)
    form = FORMS.get(name)(CLIP, quality)
    assert isinstance(form, PayloadForm | RowForm), f"form {name} is neither a RowForm nor a PayloadForm"
    back = _through_payloads(name, form, clips) if isinstance(form, PayloadForm) else _through_rows(name, form, clips)
    assert back.dtype == np.uint8, f"form {name} gives back {back.dtype}, not uint8"
    assert back.shape == clips.shape, f"form {name} gives back {back.shape} for {clips.shape}"
    off = float(np.abs(back.astype(float) - clips).mean())
    assert off <= error, f"form {name} is off by {off:.1f} grey levels on the mean, more than {error:g}"


def _through_payloads(name: str, form: "PayloadForm", clips: "np.ndarray") -> "np.ndarray":
    payloads = [form.encode(clip) for clip in clips]
    for payload in payloads:
        assert isinstance(payload, bytes), f"form {name}: encode gives a {type(payload).__name__}, not bytes"
    one = form.decode(payloads[1:])
    back = form.decode(payloads)
    assert (one == back[1:]).all(), f"form {name}: a clip is another one when it is decoded alone"
    return back


def _through_rows(name: str, form: "RowForm", clips: "np.ndarray") -> "np.ndarray":
    import torch

    rows = form.to_rows(torch.from_numpy(clips))
    assert rows.shape == (len(clips), form.row_bytes), f"form {name}: rows are {rows.shape}, row_bytes {form.row_bytes}"
    found: np.ndarray = form.from_rows(rows, "cpu")["clips"].numpy()
    return found


def assert_network(name: str, *plugin_files: str | Path, clip_shape: tuple[int, ...] = CLIP) -> None:
    """A classifier network answers with logits, by a linear head over its features, on clips and on codes; all learns.

    Networks of other sizes than the embedded benchmark's take their own `clip_shape`.
    """
    import torch

    from methods.networks import CLASSIFIERS
    from methods.shared.code_size import code_shape
    from methods.shared.settings import ClassifierSettings, CompressorSettings

    plugins.load([str(file) for file in plugin_files])
    compressor, classifier = CompressorSettings(), ClassifierSettings(network=name)
    network = CLASSIFIERS.get(name)
    grid = code_shape(clip_shape, compressor)[:3]
    inputs = {"on_pixels": torch.rand(3, *clip_shape), "on_codes": torch.rand(3, *grid, compressor.dim)}
    for kind, seen in inputs.items():
        made = getattr(network, kind)(clip_shape, compressor, classifier, 7)
        logits, what = made(seen), f"network {name}, {kind}"
        assert logits.shape == (3, 7), f"{what}: logits are {tuple(logits.shape)}, not (3, 7)"
        logits.sum().backward()
        still = [key for key, value in made.named_parameters() if value.requires_grad and value.grad is None]
        assert not still, f"{what}: no gradient reaches {', '.join(still)}"
        made.eval()
        features = made.features(seen)
        assert features.shape == (3, made.n_features), f"{what}: features are {tuple(features.shape)}"
        assert torch.allclose(made.head(features), made(seen), atol=1e-4), f"{what}: head(features) is not the answer"
        made.new_head(5)
        assert made(seen).shape == (3, 5), f"{what}: new_head(5) leaves {made(seen).shape[1]} classes"
