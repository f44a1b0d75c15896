"""Fine-tuning on each experience in turn, without any memory: the lower end."""

from methods.shared.pixel_method import PixelMethod
from methods.shared.settings import STEM


class Naive(PixelMethod):
    """fine-tuning on pixels, no memory"""

    name = "naive"
    uses = (*STEM, "classifier", "training", "replay.rule")
