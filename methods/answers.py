"""The table of questions that a method with a memory answers, each apart from the others.

form: what is kept of a clip? upkeep: what happens to codes while the compressor learns on? selection: which clips
stay? rule: how is learnt from them? head: who answers? A method names its own answers (`Method.answers`); on the
command line `form=jpeg,codes rule=er,ace` gives others. It imports no torch.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from harness.common.registry import Registry
from methods.forms import FORMS
from methods.heads import HEADS
from methods.rules import RULES
from methods.selection import SELECTIONS
from methods.shared.settings import NoSettings
from methods.upkeeps import UPKEEPS

if TYPE_CHECKING:
    from methods.contract import Method

QUESTIONS: dict[str, Registry[Any]] = {
    "form": FORMS,
    "upkeep": UPKEEPS,
    "selection": SELECTIONS,
    "rule": RULES,
    "head": HEADS,
}
NOTHING = "nothing"  # the form of a method that keeps no clip


@dataclass(frozen=True)
class Answers:
    """The answers of a method. An upkeep is of codes alone."""

    form: str = "raw"
    upkeep: str = ""
    selection: str = "reservoir"
    rule: str = "er"
    head: str = "linear"

    def but(self, given: Mapping[str, str]) -> "Answers":
        """With the answers that are given in place of these; an empty one is not given. Codes need an upkeep."""
        chosen = replace(self, **{question: given[question] for question in QUESTIONS if given.get(question)})
        usual = "refresh" if chosen.form == "codes" != self.form else ""
        return replace(chosen, upkeep=chosen.upkeep or usual)

    def check(self, what: str) -> None:
        """ValueError where these answers make no sense together; `what` names the method."""
        kind = "nothing" if self.form == NOTHING else FORMS.entries[self.form].facts.get("of", "clips")
        if self.upkeep and kind != "codes":
            raise ValueError(f"{what}: upkeep={self.upkeep} is of codes, and form={self.form} keeps {kind}; "
                             "give form=codes")  # fmt: skip
        for question in ("rule", "head"):
            answer = getattr(self, question)
            facts = QUESTIONS[question].entries[answer].facts
            if facts.get("needs") == "buffer" and kind == "nothing":
                raise ValueError(f"{what}: {question}={answer} needs stored samples, and the method keeps none")
            if kind != "nothing" and facts.get("of", kind) != kind:
                raise ValueError(
                    f"{what}: {question}={answer} works on {facts['of']}, and form={self.form} keeps {kind}"
                )


def settled(
    cls: "type[Method]", replay: Mapping[str, Any], settings: Mapping[str, Any]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """The settings of `replay` and of a method, in the one spelling that the run is known by.

    An answer that is the method's own is left out, and so is one to a question that the method does not ask, so that
    equal runs have equal ids. What er calls codec and quality stays under these names.

    Raises:
        ValueError: answers that make no sense together, or that the method cannot give.
    """
    replay, settings, own = dict(replay), dict(settings), cls.answers
    given = {question: str(replay.get(question, "")) for question in QUESTIONS}
    nothing = dict.fromkeys(QUESTIONS, "")
    if own is None:
        return replay | nothing | {"quality": 0}, settings
    if own.form == NOTHING:
        given |= {"form": "", "upkeep": "", "selection": ""}
        replay["quality"] = 0
    answered(cls, given)
    own.but(given).check(f"method {cls.name}")
    default = asdict(own.but({"form": given["form"]})) | {"form": own.form}
    kept = {question: answer if answer != default[question] else "" for question, answer in given.items()}
    replay |= kept
    if "codec" in settings and kept["form"] != "codes":
        _as_codec(cls.name, replay, settings)
    return replay, settings


def _as_codec(name: str, replay: dict[str, Any], settings: dict[str, Any]) -> None:
    """Move form and quality to er.codec and er.quality, their older names. ValueError where both are given."""
    for old, new, unset, default in (("codec", "form", "", "raw"), ("quality", "quality", 0, 0)):
        value = replay.get(new, unset)
        if value == unset:
            continue
        if settings[old] not in (default, value):
            raise ValueError(f"{name}.{old}={settings[old]} is another word for {new}, and {new}={value} is given; "
                             "give one of them")  # fmt: skip
        settings[old], replay[new] = value, unset


def answered(cls: "type[Method]", replay: Mapping[str, Any]) -> "type[Method]":
    """The class of a method with the answers of `replay`: itself, or for form=codes that of the upkeep.

    ValueError where the method cannot keep what is asked for.
    """
    own = cls.answers
    if own is None or own.form == NOTHING or not (replay.get("form") or replay.get("upkeep")):
        return cls
    chosen = own.but(replay)
    if own.form == "codes":
        if (chosen.form, chosen.upkeep) != (own.form, own.upkeep):
            asked = f"form={chosen.form}" + (f" upkeep={chosen.upkeep}" if chosen.form == "codes" else "")
            raise ValueError(f"method {cls.name} keeps codes in a way of its own (upkeep={own.upkeep or 'its own'}); "
                             f"for another give methods=[er] {asked}")  # fmt: skip
        return cls
    if chosen.form != "codes":
        return cls
    if _has_steps_of_its_own(cls):
        raise ValueError(f"method {cls.name} has steps of its own on clips, so form=codes is not for it")
    base = UPKEEPS.get(chosen.upkeep)
    about = {"name": cls.name, "Settings": cls.Settings, "answers": chosen, "__doc__": cls.__doc__}
    return type(base.__name__, (base,), about)


def _has_steps_of_its_own(cls: type) -> bool:
    """Whether a method is more than its answers."""
    for each in cls.__mro__:
        if each.__module__ == "methods.er" or each.__module__.startswith("methods.shared."):
            return False
        if {name for name in vars(each) if not name.startswith("__")} - {"name", "answers", "Settings", "uses"}:
            return True
    return True


def effective(cls: "type[Method]", replay: Mapping[str, Any]) -> dict[str, str]:
    """Question -> answer of a method with the settings of `replay`; of a method without questions none."""
    answers = {} if cls.answers is None else asdict(cls.answers.but(replay))
    return {question: answer for question, answer in answers.items() if answer in QUESTIONS[question]}


def settings_of(question: str, answer: str) -> type:
    """The dataclass of an answer's own settings; imports the answer."""
    found: type = getattr(QUESTIONS[question].get(answer), "Settings", NoSettings)
    return found
