"""CRAM with the refresh off and nothing else: codes stay as they were written, the compressor still rehearses."""

from methods.answers import Answers
from methods.contract import Experience, Phase
from methods.cram import CRAM


class NoRefresh(CRAM):
    """cram without the refresh; the compressor still rehearses through the previous decoder"""

    name = "no_refresh"
    answers = Answers(form="codes", upkeep="no_refresh")

    def refresh_phase(self, experience: Experience) -> list[Phase]:
        return []
