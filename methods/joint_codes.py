"""Upper bound on codes: compressor and classifier trained once, at the end, on the clips of all experiences."""

from methods.contract import Experience, Phase
from methods.shared.code_method import CodeMethod


class JointCodes(CodeMethod):
    """bound: compressor and classifier trained on all experiences at once, with as many steps in all"""

    name = "joint_codes"

    answers = None
    bound = True
    joint = True

    def phases(self, experience: Experience) -> list[Phase]:
        return [self.compressor_phase(experience), self.encode_phase(experience), self.classifier_phase(experience)]
