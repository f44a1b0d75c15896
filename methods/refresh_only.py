"""CRAM without rehearsal of the compressor: old codes are refreshed, the compressor sees current clips alone."""

from methods.answers import Answers
from methods.cram import CRAM


class RefreshOnly(CRAM):
    """cram whose compressor does not rehearse: the snapshot serves the refresh alone"""

    name = "refresh_only"
    answers = Answers(form="codes", upkeep="refresh_only")

    def rehearses(self) -> bool:
        return False
