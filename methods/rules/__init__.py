"""Rules: how the classifier learns from the current and the replayed part of a batch. One file a rule.

A rule is a class with `loss(current, replayed)`; methods/rules/rule.py says what else it may give. It works
on clips and on codes alike, unless it says `of="clips"`. This file lists the built-in ones and imports none of them.
"""

from typing import TYPE_CHECKING

from harness.common.registry import Registry

if TYPE_CHECKING:
    from methods.rules.rule import Rule

# Facts: `source` says where a rule comes from; `needs="buffer"` that it makes no sense without stored samples;
# `of="clips"` or `of="codes"` that it works on these alone.
RULES: "Registry[type[Rule]]" = Registry("rule", base="methods.rules.rule:Rule")
RULES.add(
    "er",
    "methods.rules.er:ER",
    "cross-entropy over all classes, current and replayed samples alike",
    source="Chaudhry et al. 2019, On Tiny Episodic Memories",
)
RULES.add(
    "ace",
    "methods.rules.ace:ACE",
    "current samples do not push older classes away",
    source="Caccia et al. 2022, New Insights on Reducing Abrupt Representation Change, section 4",
    needs="buffer",
)
RULES.add(
    "grcl",
    "methods.rules.grcl:GRCL",
    "parameters that mattered before are held where they were, by one bit each",
    source="GRCL, gated regularization; importance of Aljundi et al. 2018, MAS",
)
RULES.add(
    "memo",
    "methods.rules.memo:MEMO",
    "a new last block an experience; the older ones are frozen and counted",
    source="Zhou et al. 2023, A Model or 603 Exemplars",
)
RULES.add(
    "prd",
    "methods.rules.prd:PRD",
    "prototypes of old classes keep their relation to new samples",
    source="Asadi et al. 2023, Prototype-Sample Relation Distillation",
)
RULES.add(
    "derpp",
    "methods.rules.derpp:DERpp",
    "stored samples are learnt by label and by the logits stored with them",
    source="Buzzega et al. 2020, Dark Experience for General Continual Learning, equation 6",
    needs="buffer",
)
RULES.add(
    "lwf",
    "methods.rules.lwf:LwF",
    "the classifier of before is a teacher of its classes",
    source="Li and Hoiem 2017, Learning without Forgetting",
)
RULES.add(
    "gdumb",
    "methods.rules.gdumb:GDumb",
    "a fresh classifier after each experience, trained on what is stored alone",
    source="Prabhu et al. 2020, GDumb, algorithm 1",
    needs="buffer",
)
