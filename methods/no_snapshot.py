"""CRAM with neither use of the snapshot; it pays for none, so more codes fit its budget."""

from methods.answers import Answers
from methods.contract import Experience, Phase
from methods.shared.code_method import CodeMethod


class NoSnapshot(CodeMethod):
    """codes neither refreshed nor rehearsed by the compressor; pays for no snapshot"""

    name = "no_snapshot"
    answers = Answers(form="codes", upkeep="none")

    def phases(self, experience: Experience) -> list[Phase]:
        return [
            self.compressor_phase(experience),
            self.encode_phase(experience),
            *self.learning_phases(experience),
        ]
