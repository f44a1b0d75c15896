"""DER++ (Buzzega et al. 2020): er with the rule derpp. The paper and the deviations: methods/rules/derpp.py."""

from methods.answers import Answers
from methods.shared.pixel_method import PixelMethod


class DERpp(PixelMethod):
    """replay by label and by the logits that were stored with each clip"""

    name = "derpp"
    answers = Answers(rule="derpp")
