"""AQM: stacked quantizers that are frozen one by one, and the rate of each clip chosen under an error bound.

Caccia et al., ICML 2020, Online Learned Continual Compression with Adaptive Quantization Modules. It is the upkeep aqm
of methods/shared/adaptive_quantization.py, which says what differs from the released code.
"""

from typing import ClassVar

from methods.shared.adaptive_quantization import AdaptiveQuantization
from methods.shared.settings import NoSettings


class AQM(AdaptiveQuantization):
    """codes of stacked quantizers, each frozen once it is good enough; the rate is chosen clip by clip"""

    name = "aqm"
    Settings: ClassVar[type] = NoSettings  # those of the upkeep, aqm.bound=... on the command line
