"""CRAM with the refresh off and nothing else: codes stay as they were written, the compressor still rehearses."""

from typing import Any

from methods.contract import Phase, register
from methods.cram import CRAM


@register("no_refresh")
class NoRefresh(CRAM):
    """cram without the refresh; the compressor still rehearses through the previous decoder"""

    def refresh_phase(self, experience: Any) -> list[Phase]:
        return []
