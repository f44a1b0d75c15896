"""MEMO (Zhou et al. 2023): er with the rule memo and herding. The paper and the deviations: methods/rules/memo.py."""

from methods.answers import Answers
from methods.shared.pixel_method import PixelMethod


class MEMO(PixelMethod):
    """replay with a new block of the classifier an experience; the blocks are paid for"""

    name = "memo"
    answers = Answers(rule="memo", selection="herding")
