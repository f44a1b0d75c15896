"""A frozen compressor: trained in the first experience or in pre-training, then never again, codebook included.

Codes keep their meaning, so there is nothing to refresh (the paper's pre-trained CRAM; REMIND's regime).
"""

from methods.answers import Answers
from methods.contract import Experience, Phase
from methods.shared.code_method import CodeMethod


class Frozen(CodeMethod):
    """codes of a compressor that is frozen after the first experience or pre-training, or as loaded"""

    name = "frozen"
    answers = Answers(form="codes", upkeep="frozen")

    def phases(self, experience: Experience) -> list[Phase]:
        return [
            *([self.compressor_phase(experience)] if experience.opens_run and self.spec.weights is None else []),
            self.encode_phase(experience),
            *self.learning_phases(experience),
        ]
