"""The part of a run's config that belongs to its method: its own settings, its answers and their settings."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from harness.common import plugins
from harness.common.files import sha256
from harness.common.settings import check, declared, entry_files, recorded
from harness.config import store
from harness.config.run_config import MethodChoice
from methods import METHODS, find
from methods.answers import QUESTIONS, effective, settings_of, settled
from methods.contract import Method
from methods.shared.settings import SHARED, ReplaySettings


@dataclass(frozen=True)
class OwnPart:
    """What of a run's config belongs to its method. paths: of the files it names; files: the plug-ins it is in."""

    method: MethodChoice
    replay: ReplaySettings
    answers: dict[str, dict[str, Any]]  # forms, rules, ... -> answer -> its settings
    paths: dict[str, str]
    files: list[Path | None]


def part(name: str, command: dict[str, Any]) -> OwnPart:
    """The part of one method.

    Raises:
        ValueError: a setting that is not allowed, or answers that make no sense together.
    """
    cls, settings = find(name), store.settings_given(command, name)
    check(cls.Settings, settings, f"method.{name.replace(':', '.')}.")
    replay, settings = settled(cls, command["replay"], settings)
    settings, paths = _named_files(cls, recorded(cls.Settings, settings))
    files, answers = _answers(cls, replay, command)
    shared = [file for group in SHARED for file in entry_files(SHARED[group], command[group])]
    files = [METHODS.entries[name].file, *entry_files(cls.Settings, settings), *shared, *files]
    return OwnPart(MethodChoice(name, settings), ReplaySettings(**replay), answers, paths, files)


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
