"""What one run is asked to do, typed: `compose` makes it, execution reads it, and config.json holds it as plain JSON.

The names are those of the command line. `execution` says where and how a run is carried out; all else decides its
result and so its id.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from benchmarks import SETTINGS
from harness.common.plugins import Listed
from harness.common.settings import declared, default_of, recorded
from harness.config.schema import Checkpoint, Command, Lock, Log
from methods.answers import QUESTIONS
from methods.shared.settings import (
    SHARED,
    ClassifierSettings,
    CompressorSettings,
    ReplaySettings,
    TrainingSettings,
)
from slurm.settings import Slurm


@dataclass(frozen=True)
class BenchmarkChoice:
    """A benchmark by name, with all its settings (those that came later only where they are set)."""

    name: str
    options: Mapping[str, Any]


@dataclass(frozen=True)
class MethodChoice:
    """A method by name, with its own settings."""

    name: str
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class Budget:
    """Bytes that a method may carry; None: as many as it likes. `count` says what they bound."""

    budget: int | None
    count: str
    enforce: bool = True


@dataclass(frozen=True)
class RunLog(Log):
    """What a run writes down, with the user's files that its loggers are in."""

    plugins: Listed = ()


@dataclass(frozen=True)
class Execution:
    """Where and how a run is carried out. paths: those of cache, compressor and METHOD.SETTING on this machine."""

    out: str
    launcher: str
    workers: int
    runs_per_gpu: int
    device: str
    checkpoint: Checkpoint
    debug: bool
    threads: int
    loader_workers: int
    lock: Lock
    log: RunLog
    paths: Mapping[str, str]
    strict_state: bool
    slurm: Slurm


@dataclass(frozen=True)
class RunConfig:
    """One run. `plugins` are the user's files that it is known by, with path and sha256."""

    benchmark: BenchmarkChoice
    label: str
    setting: str
    protocol: str
    compressor: CompressorSettings
    classifier: ClassifierSettings
    replay: ReplaySettings
    training: TrainingSettings
    profile: str
    evaluate: str
    memory: Budget
    precision: str
    method: MethodChoice
    seed: int
    order_seed: int
    plugins: Listed
    execution: Execution
    answers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)  # forms, rules, ... -> answer -> settings

    @classmethod
    def of(cls, content: Any) -> "RunConfig":
        """The run that the content of a config.json asks for.

        Raises:
            ValueError: it is none, or one of another version.
        """
        try:
            benchmark, how = content["benchmark"], content["execution"]
            older = {entry.name: default_of(entry) for entry in fields(Command) if entry.name in EXECUTION}
            options = {key: value for key, value in benchmark.items() if key != "name"}
            parts = {
                "benchmark": BenchmarkChoice(benchmark["name"], options),
                "method": MethodChoice(**content["method"]),
                "memory": Budget(**content["memory"]),
                "execution": Execution(**older | how | {name: of(**how.get(name, {})) for name, of in NESTED.items()}),
                "answers": {key: content[key] for key in ANSWERS if key in content},
                **{name: group(**content.get(name, {})) for name, group in SHARED.items()},
            }
            return cls(**{key: value for key, value in content.items() if key not in ANSWERS} | parts)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"it is no config of a run of this version ({error}); ask for the run again") from error

    def plain(self) -> dict[str, Any]:
        """The content of config.json; settings that came later are left out at their defaults."""
        shared = {name: recorded(group, asdict(getattr(self, name))) for name, group in SHARED.items()}
        parts = {
            "benchmark": {"name": self.benchmark.name, **self.benchmark.options},
            "memory": {name: value for name, value in vars(self.memory).items() if (name, value) != ("enforce", True)},
            "method": {"name": self.method.name, "settings": dict(self.method.settings)},
            "plugins": [dict(each) for each in self.plugins],
            "execution": self._how(),
        }
        content = {entry.name: getattr(self, entry.name) for entry in fields(self)} | shared | parts
        del content["answers"]
        return {name: value for name, value in content.items() if value or name not in shared} | dict(self.answers)

    def _how(self) -> dict[str, Any]:
        how = {entry.name: getattr(self.execution, entry.name) for entry in fields(self.execution)}
        how |= {name: asdict(how[name]) for name in NESTED} | {"paths": dict(self.execution.paths)}
        if not self.execution.log.plugins:
            del how["log"]["plugins"]
        return how

    def run_id(self, clips_hash: str) -> str:
        """Readable prefix and a hash of all that decides the result: the config but `execution`, and the clips."""
        decides = self.plain()
        del decides["execution"]
        # Annotations are what the clip table's hash says, wherever they and the videos lie.
        paths = {entry.name for entry in fields(SETTINGS[self.benchmark.name])
                 if declared(entry).kind in ("path", "machine")}  # fmt: skip
        decides["benchmark"] = {key: value for key, value in decides["benchmark"].items() if key not in paths}
        # A plug-in is its bytes: moved to another folder it is still the same method.
        decides["plugins"] = sorted(plugin["sha256"] for plugin in self.plugins)
        text = json.dumps([decides, clips_hash], sort_keys=True, allow_nan=False)
        rule = self.protocol if self.protocol != "custom" else self.benchmark.name
        name = f"{rule}-{self.method.name}-s{self.seed}-o{self.order_seed}"
        return re.sub(r"[^A-Za-z0-9._-]", "-", name) + "-" + hashlib.sha256(text.encode()).hexdigest()[:10]


ANSWERS = tuple(f"{question}s" for question in QUESTIONS)
EXECUTION = tuple(entry.name for entry in fields(Execution))
NESTED: dict[str, Any] = {"checkpoint": Checkpoint, "lock": Lock, "log": RunLog, "slurm": Slurm}
