"""GDumb (Prabhu et al. 2020): er with the rule gdumb. The paper and the deviations: methods/rules/gdumb.py."""

from methods.answers import Answers
from methods.shared.pixel_method import PixelMethod


class GDumb(PixelMethod):
    """a fresh classifier after each experience, trained on a balanced buffer alone"""

    name = "gdumb"
    answers = Answers(rule="gdumb")
