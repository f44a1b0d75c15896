"""Upper bound on pixels: one classifier trained once, at the end, on the clips of all experiences."""

from methods.contract import Experience, Phase
from methods.shared.pixel_method import PixelMethod
from methods.shared.settings import STEM


class Joint(PixelMethod):
    """bound: a pixel classifier trained on all experiences at once, with as many steps in all"""

    name = "joint"
    uses = (*STEM, "classifier", "training")

    answers = None
    bound = True
    joint = True

    def phases(self, experience: Experience) -> list[Phase]:
        return [self.classifier_phase(experience)]
