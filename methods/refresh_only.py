"""CRAM without rehearsal of the compressor: old codes are refreshed, the compressor sees current clips alone."""

from methods.contract import register
from methods.cram import CRAM


@register("refresh_only")
class RefreshOnly(CRAM):
    """cram whose compressor does not rehearse: the snapshot serves the refresh alone"""

    def rehearses(self) -> bool:
        return False
