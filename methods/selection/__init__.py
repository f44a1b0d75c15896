"""Selections: which of the clips that a method was shown stay in its buffer. One file a selection."""

from typing import TYPE_CHECKING

from harness.common.registry import Registry

if TYPE_CHECKING:
    from methods.selection.policy import Selection

SELECTIONS: "Registry[type[Selection]]" = Registry("selection", base="methods.selection.policy:Selection")
SELECTIONS.add("reservoir", "methods.selection.reservoir:Reservoir", "a class-balanced random sample of all clips seen")
SELECTIONS.add("ring", "methods.selection.ring:Ring", "the latest clips of each class")
SELECTIONS.add("herding", "methods.selection.herding:Herding", "those whose features come nearest to the class mean")
