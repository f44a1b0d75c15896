"""All settings as Hydra knows them: what Python declares, made into Hydra's groups and structured configs."""

from collections.abc import Mapping
from dataclasses import field, fields, make_dataclass
from typing import Any

from hydra import compose
from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from benchmarks import SETTINGS, protocols
from harness.common.settings import text_settings
from harness.config.schema import GROUPS, Command, all_settings
from methods import METHODS, find
from methods.answers import QUESTIONS, settings_of
from methods.shared.settings import SHARED


def store_schema() -> None:
    """Make what is defined in Python known to Hydra: the settings, the benchmarks' options, the protocols."""
    known = ConfigStore.instance()
    parts = {**SHARED, "method": _own_settings(), **{f"{question}s": _of_answers(question) for question in QUESTIONS}}
    root = make_dataclass(
        "Settings",
        [(name, part, field(default_factory=part)) for name, part in parts.items()]
        + [("benchmark", Any, field(default_factory=dict))],
        bases=(Command,),
    )
    known.store("schema", node=_writable(OmegaConf.structured(root)))
    for name, settings in SETTINGS.items():
        known.store(group="benchmark", name=name, node=_writable(OmegaConf.structured(settings)))
    for _, protocol in protocols.PROTOCOLS.items():
        node = {
            "label": protocol.label,
            "benchmark": {"tasks": protocol.tasks, **protocol.options},
        }
        known.store(group="protocol", name=file_name(str(protocol)), node=node, package="_global_")
    known.store(group="protocol", name="none", node={}, package="_global_")


def _own_settings() -> type:
    """A dataclass of the settings of all methods by name, those of a family (avalanche:...) under its name."""
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
    """A dataclass of the settings of all answers to a question that have some, by name."""
    groups = {name: settings_of(question, name) for name in QUESTIONS[question]}
    of_each = [(name, group, field(default_factory=group)) for name, group in groups.items() if fields(group)]
    return make_dataclass(question.title(), of_each)


def settings_given(command: dict[str, Any], name: str) -> dict[str, Any]:
    """The own settings of a method among the values of a command."""
    settings: dict[str, Any] = command["method"]
    for part in name.split(":"):
        settings = settings[part]
    return settings


def _writable(config: Any) -> Any:
    """Frozen dataclasses come as read-only configs, which no setting could be laid over."""
    OmegaConf.set_readonly(config, None)
    for key in config if OmegaConf.is_dict(config) else ():
        child = config._get_node(key)
        if OmegaConf.is_config(child) and not child._is_none():
            _writable(child)
    return config


def file_name(protocol: str) -> str:
    """A protocol's name as Hydra may know it, without a slash."""
    return protocol.replace("/", "-")


def known_settings() -> list[str]:
    """The names of all settings, in the short and the long form."""
    default: Any = OmegaConf.to_container(compose("config"))
    known = [
        *GROUPS,
        *METHODS,
        *(key for key in _flat(default) if key.count(".") != 1 or not key.startswith("method.")),
    ]
    known += [f"benchmark.{entry.name}" for settings in SETTINGS.values() for entry in fields(settings)]
    return known + [key.removeprefix("method.") for key in known if key.startswith("method.")]


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[str]:
    keys = []
    for name, value in values.items():
        nested = isinstance(value, dict) and value
        keys += _flat(value, f"{prefix}{name}.") if nested else [f"{prefix}{name}"]
    return keys


def texts() -> set[str]:
    """The settings whose values are texts: names, folders, files."""
    groups = all_settings()
    groups |= {f"method.{name.replace(':', '.')}.": find(name).Settings for name in METHODS}
    groups |= {f"{question}s.{name}.": settings_of(question, name) for question in QUESTIONS
               for name in QUESTIONS[question]}  # fmt: skip
    groups |= {f"{prefix}.": group for name, group in SETTINGS.items() for prefix in (name, "benchmark")}
    return {"protocol", *(key for prefix, group in groups.items() for key in text_settings(group, prefix))}
