"""Upkeeps: what happens to stored codes while the compressor learns on. Each is the method that shows it alone.

This file lists the built-in ones and imports none of them.
"""

from typing import TYPE_CHECKING

from harness.common.registry import Registry

if TYPE_CHECKING:
    from methods.shared.replay_method import ReplayMethod

UPKEEPS: "Registry[type[ReplayMethod]]" = Registry("upkeep", base="methods.shared.replay_method:ReplayMethod")
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
UPKEEPS.add(
    "aqm",
    "methods.shared.adaptive_quantization:AdaptiveQuantization",
    "a codebook is frozen once it is good enough; the rate is chosen clip by clip under an error bound",
    source="Caccia et al. 2020, Online Learned Continual Compression with Adaptive Quantization Modules",
)
