"""LwF (Li and Hoiem 2017): naive with the rule lwf. The paper and the deviations: methods/rules/lwf.py."""

from methods.answers import NOTHING, Answers
from methods.shared.pixel_method import PixelMethod
from methods.shared.settings import STEM


class LwF(PixelMethod):
    """fine-tuning with the classifier of before as a teacher; no clips kept"""

    name = "lwf"
    answers = Answers(form=NOTHING, rule="lwf")
    uses = (*STEM, "classifier", "training", "replay.rule")
