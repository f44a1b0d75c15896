"""The test kit on what the project registers, and on entries that are wrong."""

import pytest

from harness.testing import assert_benchmark, assert_form, assert_network
from methods.forms import of_clips
from tests.tiny import CACHE

FORM = """
from methods.forms import FORMS
from methods.forms.kinds import PayloadForm

@FORMS.register("{name}")
class Bad(PayloadForm):
    def encode(self, clip):
        return {payload}
    def decode(self, payloads):
        import numpy as np
        return np.stack([np.frombuffer(p, np.uint8).reshape(self.shape) for p in payloads])
"""


@pytest.mark.parametrize("name", of_clips())
def test_forms(name):
    assert_form(name)


@pytest.mark.parametrize(("payload", "said"), [("clip", "encode gives a ndarray"),
                                               ("(255 - clip).tobytes()", "grey levels")])  # fmt: skip
def test_a_wrong_form_is_told(tmp_path, payload, said):
    (tmp_path / "bad.py").write_text(FORM.format(name="bad", payload=payload))
    with pytest.raises(AssertionError, match=said):
        assert_form("bad", tmp_path / "bad.py")


def test_the_small_network():
    assert_network("small")


def test_a_network_without_a_linear_head_is_told(tmp_path):
    (tmp_path / "net.py").write_text(
        "from methods.networks import CLASSIFIERS\nfrom methods.networks.small import Small, PixelClassifier\n"
        "class Odd(PixelClassifier):\n    def forward(self, clips):\n        return super().forward(clips) * 2\n"
        "@CLASSIFIERS.register('odd')\nclass Net(Small):\n    @staticmethod\n"
        "    def on_pixels(shape, compressor, classifier, n):\n"
        "        return Odd(shape, compressor, classifier.width, n)\n"
    )
    with pytest.raises(AssertionError, match="head"):
        assert_network("odd", tmp_path / "net.py")


def test_moving_digits():
    assert_benchmark("moving_digits", cache=CACHE, tasks=2, actions=20, clips_per_class=5)
