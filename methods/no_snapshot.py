"""CRAM with neither use of the snapshot; it pays for none, so more codes fit its budget."""

from methods.contract import Experience, Phase
from methods.shared.code_method import CodeMethod


class NoSnapshot(CodeMethod):
    """codes neither refreshed nor rehearsed by the compressor; pays for no snapshot"""

    name = "no_snapshot"

    def phases(self, experience: Experience) -> list[Phase]:
        return [
            self.compressor_phase(experience),
            self.encode_phase(experience),
            self.classifier_phase(experience),
            *self.store_phases(experience),
        ]
