"""Presets: named experiments, each a YAML file that says its question, its runs, and what its report shows.

A file of conf/preset holds `question`, `settings` (words of the command line that hold for all its runs), `runs` (a
list of blocks of such words; `when: {profile: NAME}` keeps a block for one profile) and `report` (options of
results.report). Words of the user win over those of a preset.
"""

import fnmatch
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any

from omegaconf import OmegaConf

from benchmarks import SETTINGS, protocols
from harness.common.words import unknown
from harness.config import overrides
from harness.config.overrides import Argument
from harness.config.schema import CONF

FOLDER = CONF / "preset"


@dataclass(frozen=True)
class Preset:
    """One file; each block is (words, the profile that it is kept for or None)."""

    name: str
    question: str
    blocks: tuple[tuple[dict[str, Any], str | None], ...]
    report: dict[str, Any]


def find(name: str) -> Preset:
    """The preset called `name`; ValueError with the nearest name otherwise."""
    known = sorted(file.stem for file in FOLDER.glob("*.yaml"))
    if name not in known:
        raise ValueError(unknown("preset", name, known))
    content: Any = OmegaConf.to_container(OmegaConf.load(FOLDER / f"{name}.yaml"))
    blocks = []
    for block in content["runs"]:
        when = block.pop("when", {}).get("profile")
        blocks.append(({**content.get("settings", {}), **block}, when))
    return Preset(name, content["question"], tuple(blocks), content.get("report", {}))


def arguments(preset: Preset, given: list[Argument], methods_only: Iterable[str]) -> list[list[Argument]]:
    """The words of each block of a preset, overlaid by those of the user (in the long form); ValueError if they clash.

    `methods_only`: names whose own settings go where the method does, as `method.NAME.x`.
    """
    mine = {argument.key: argument for argument in given}
    found = []
    for words, when in preset.blocks:
        profiles = mine["profile"].values if "profile" in mine else (str(words.get("profile", "small")),)
        if when is None or when in profiles:
            block = _overlaid(preset, words, mine, methods_only)
            found.append(block if when is None else [*block, Argument("profile", (when,))])
    if not found:
        made_for = ", ".join(dict.fromkeys(when for _, when in preset.blocks if when))
        raise ValueError(f"preset={preset.name} has no runs for profile={profiles[0]} (it has for: {made_for})")
    return [list({argument.key: argument for argument in block}.values()) for block in found]


def _overlaid(
    preset: Preset, words: Mapping[str, Any], mine: Mapping[str, Argument], methods: Iterable[str]
) -> list[Argument]:
    """The words of one block that the user left, then the user's."""
    dropped = set(mine)
    if "benchmark" in mine:
        dropped.add("protocol")
    if dropped & {"seeds", "order_seeds"}:
        dropped.add("replicates")
    texts = [f"{key}={_text(value)}" for key, value in words.items()]
    block = [
        Argument(f"method.{argument.key}", argument.values) if argument.head in methods else argument
        for argument in overrides.parse(texts)
    ]
    kept = [argument for argument in block if argument.key not in dropped]
    _check_benchmark(preset, words, kept, mine)
    run = {str(name) for value in overrides.value_of([*kept, *mine.values()], "methods") for name in value}
    if "all" not in run:  # a method's own settings go with the method
        kept = [a for a in kept
                if a.head != "method" or any(fnmatch.fnmatch(a.key.split(".")[1], name) for name in run)]  # fmt: skip
    return [*kept, *mine.values()]


def _check_benchmark(
    preset: Preset, words: Mapping[str, Any], kept: list[Argument], mine: Mapping[str, Argument]
) -> None:
    """ValueError where the preset sets an option that the user's benchmark has not."""
    names = [str(name) for name in overrides.value_of(list(mine.values()), "benchmark")]
    names += [protocols.find(str(name)).benchmark for name in overrides.value_of(list(mine.values()), "protocol")
              if name != "none"]  # fmt: skip
    own = protocols.find(str(words.get("protocol", protocols.DEFAULT)).partition(",")[0])
    for name in (name for name in names if name in SETTINGS):
        has = {entry.name for entry in fields(SETTINGS[name])}
        for argument in kept:
            if argument.head == "benchmark" and argument.key.partition(".")[2] not in has:
                raise ValueError(
                    f"preset={preset.name} sets {argument.key}, which benchmark={name} has not: it is made for "
                    f"benchmark={own.benchmark} (protocol={own})"
                )


def _text(value: Any) -> str:
    """A value of YAML as it is typed on the command line."""
    if isinstance(value, list):
        return f"[{','.join(map(_text, value))}]"
    return str(value).lower() if isinstance(value, bool) or value is None else str(value)
