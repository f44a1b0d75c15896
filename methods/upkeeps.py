"""Upkeeps: what happens to stored codes while the compressor learns on. Each is the method that shows it alone.

This file lists the built-in ones and imports none of them.
"""

from typing import TYPE_CHECKING

from harness.common.registry import Registry

if TYPE_CHECKING:
    from methods.shared.code_method import CodeMethod

UPKEEPS: "Registry[type[CodeMethod]]" = Registry("upkeep", base="methods.shared.code_method:CodeMethod")
UPKEEPS.add(
    "refresh",
    "methods.cram:CRAM",
    "codes are written anew through the decoder of before, which the compressor rehearses too",
    source="Mall and Henriques 2025, CRAM",
)
UPKEEPS.add("none", "methods.no_snapshot:NoSnapshot", "codes stay as written, though the compressor learns on")
UPKEEPS.add(
    "frozen",
    "methods.frozen:Frozen",
    "the compressor is frozen after the first experience",
    source="Hayes et al. 2020, REMIND",
)
UPKEEPS.add("no_refresh", "methods.no_refresh:NoRefresh", "codes stay as written; the compressor rehearses them")
UPKEEPS.add("refresh_only", "methods.refresh_only:RefreshOnly", "codes are refreshed; the compressor does not rehearse")
UPKEEPS.add(
    "current_decoder", "methods.current_decoder:CurrentDecoder", "control: codes are refreshed by the wrong decoder"
)
