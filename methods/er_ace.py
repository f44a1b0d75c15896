"""ER-ACE (Caccia et al. 2022): er with the rule ace. The paper and the deviations: methods/rules/ace.py."""

from methods.answers import Answers
from methods.shared.pixel_method import PixelMethod


class ERACE(PixelMethod):
    """replay whose current clips do not push older classes away"""

    name = "er_ace"
    answers = Answers(rule="ace")
