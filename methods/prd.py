"""PRD (Asadi et al. 2023): naive with the rule prd. The paper and the deviations: methods/rules/prd.py."""

from methods.answers import NOTHING, Answers
from methods.shared.pixel_method import PixelMethod
from methods.shared.settings import STEM


class PRD(PixelMethod):
    """prototypes that keep their relation to new samples; no clips kept"""

    name = "prd"
    answers = Answers(form=NOTHING, rule="prd")
    uses = (*STEM, "classifier", "training", "replay.rule")
