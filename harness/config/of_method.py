"""The part of a run's config that belongs to its method: its own settings, its answers and their settings."""

from collections.abc import Iterable, Mapping
from dataclasses import field, fields, make_dataclass
from pathlib import Path
from typing import Any

from harness.common import plugins
from harness.common.files import sha256
from harness.common.settings import check, declared, entry_files, recorded
from methods import METHODS, find
from methods.answers import QUESTIONS, effective, settings_of, settled
from methods.contract import Method
from methods.shared.settings import SHARED


def schema() -> dict[str, type]:
    """Dataclasses of the settings of all methods by name, and of all answers: method, forms, rules, ..."""
    return {"method": _of_methods(), **{f"{question}s": _of_answers(question) for question in QUESTIONS}}


def _of_methods() -> type:
    """The settings of all methods by name, those of a family (avalanche:...) under its name."""
    families: dict[str, list[Any]] = {}
    plain: list[Any] = []
    for name in METHODS:
        cls = find(name)
        family, colon, member = name.partition(":")
        of_one = (member or name, cls.Settings, field(default_factory=cls.Settings))
        (families.setdefault(family, []) if colon else plain).append(of_one)
    for family, members in families.items():
        node = make_dataclass(family.title(), members)
        plain.append((family, node, field(default_factory=node)))
    return make_dataclass("Method", plain)


def _of_answers(question: str) -> type:
    groups = {name: settings_of(question, name) for name in QUESTIONS[question]}
    of_each = [(name, group, field(default_factory=group)) for name, group in groups.items() if fields(group)]
    return make_dataclass(question.title(), of_each)


def part(name: str, command: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str], list[Path | None]]:
    """Of one method: its part of the config, the paths of the files that it names, and the plug-in files it is in.

    Raises:
        ValueError: a setting that is not allowed, or answers that make no sense together.
    """
    cls, settings = find(name), command["method"]
    for key in name.split(":"):
        settings = settings[key]
    check(cls.Settings, settings, f"method.{name.replace(':', '.')}.")
    replay, settings = settled(cls, command["replay"], settings)
    settings, paths = _named_files(cls, recorded(cls.Settings, settings))
    files, with_settings = _answers(cls, replay, command)
    shared = [file for group in SHARED for file in entry_files(SHARED[group], command[group])]
    own = {"method": {"name": name, "settings": settings}, "replay": recorded(SHARED["replay"], replay)}
    return (
        own | with_settings,
        paths,
        [METHODS.entries[name].file, *entry_files(cls.Settings, settings), *shared, *files],
    )


def _answers(
    cls: type[Method], replay: Mapping[str, Any], command: Mapping[str, Any]
) -> tuple[list[Path | None], dict[str, Any]]:
    """The plug-in files of a method's answers, and their settings as a part of its config, such as rules.derpp."""
    files: list[Path | None] = []
    kept: dict[str, Any] = {}
    for question, answer in effective(cls, replay).items():
        files.append(QUESTIONS[question].entries[answer].file)
        values = command[f"{question}s"].get(answer, {})
        group = settings_of(question, answer)
        check(group, values, f"{answer}.")
        of_answer = recorded(group, values) if values else {}
        kept |= {f"{question}s": {answer: of_answer}} if of_answer else {}
    return files, kept


def _named_files(cls: type[Method], settings: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """A method's settings with the sha256 of each file in place of its path, and the paths, by METHOD.SETTING."""
    settings, paths = dict(settings), {}
    for entry in fields(cls.Settings):
        if declared(entry).kind == "file" and settings.get(entry.name):
            name, path = f"{cls.name}.{entry.name}", Path(settings[entry.name]).expanduser().resolve()
            if not path.is_file():
                raise ValueError(f"{name}: no file '{path}'")
            settings[entry.name], paths[name] = sha256(path), str(path)
    return settings, paths


def listed(files: Iterable[Path | None]) -> list[dict[str, str]]:
    """Plug-in files and what these import, as a config lists them."""
    return [each for file in dict.fromkeys(files) if file for each in plugins.LOADED[file].files()]
