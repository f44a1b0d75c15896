"""Heads: who answers at test time, given the classifier's features. One file a head.

This file lists the built-in ones and imports none of them.
"""

from typing import TYPE_CHECKING

from harness.common.registry import Registry

if TYPE_CHECKING:
    from methods.heads.head import Head

# Facts: `source` says where a head comes from; `needs="buffer"` that it makes no sense without stored samples.
HEADS: "Registry[type[Head]]" = Registry("head", base="methods.heads.head:Head")
HEADS.add("linear", "methods.heads.linear:Linear", "the classifier's own last layer, as the rule reads it")
HEADS.add(
    "nearest_mean",
    "methods.heads.nearest_mean:NearestMean",
    "the class whose stored samples have the nearest mean of features",
    source="Rebuffi et al. 2017, iCaRL, algorithm 1",
    needs="buffer",
)
