"""CRAM with the refresh off and nothing else: codes stay as they were written, the compressor still rehearses."""

from typing import Any

from methods.contract import Phase
from methods.cram import CRAM


class NoRefresh(CRAM):
    """cram without the refresh; the compressor still rehearses through the previous decoder"""

    name = "no_refresh"

    def refresh_phase(self, experience: Any) -> list[Phase]:
        return []
