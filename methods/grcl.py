"""GRCL: naive with the rule grcl. The paper and the deviations: methods/rules/grcl.py."""

from methods.answers import NOTHING, Answers
from methods.shared.pixel_method import PixelMethod
from methods.shared.settings import STEM


class GRCL(PixelMethod):
    """fine-tuning in which parameters that mattered are held, by one bit each; no clips kept"""

    name = "grcl"
    answers = Answers(form=NOTHING, rule="grcl")
    uses = (*STEM, "classifier", "training", "replay.rule")
