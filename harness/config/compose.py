"""From the words of the command line to the configs of single runs: defaults < profile, protocol, preset < words."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

import benchmarks
from benchmarks import SETTINGS, protocols
from harness.common import plugins
from harness.common.machine import cores, slots
from harness.common.settings import check, recorded
from harness.common.units import parse_bytes
from harness.common.words import nearest
from harness.config import hints, of_method, overrides, presets, store
from harness.config.run_config import EXECUTION, BenchmarkChoice, Budget, Execution, RunConfig, RunLog
from harness.config.schema import CONF, GROUPS, Checkpoint, Command, Lock, seed_pairs
from harness.loggers import LOGGERS
from methods import METHODS, find, native
from methods.answers import QUESTIONS, settings_of
from methods.shared import pretrained
from methods.shared.settings import SHARED, CompressorSettings
from slurm.settings import Slurm


@dataclass(frozen=True)
class Request:
    """What one command asks for: the configs of its runs by run id, and what holds for the command as a whole.

    `preset` and `report` (its name, question, table and plots) are empty where no preset is asked for. `aliases`: run
    id -> the id that an earlier version gave to the run of a plug-in that was named beside other plug-ins.
    """

    runs: dict[str, RunConfig]
    plan: bool
    rerun: str
    execution: Execution
    aliases: dict[str, str] = field(default_factory=dict)
    preset: str = ""
    report: dict[str, Any] = field(default_factory=dict)


def request(words: list[str]) -> Request:
    """All runs that the words of a command line ask for; ValueError says what is wrong with them."""
    describe.cache_clear()  # files may have changed since an earlier request of this process
    arguments = overrides.parse(words)
    given = overrides.value_of(arguments, "plugins")
    loaded = plugins.load([str(path) for path in given[0]]) if given and given[0] else []
    arguments = overrides.as_words([_long_form(argument) for argument in arguments], store.texts())
    preset, arguments = _preset(arguments)
    blocks = presets.arguments(preset, arguments, METHODS) if preset else [arguments]
    store.store_schema()
    runs: dict[str, RunConfig] = {}
    aliases: dict[str, str] = {}
    with initialize_config_dir(str(CONF), version_base="1.3"):
        for words_of_one in (words for block in blocks for words in overrides.combinations(block)):
            command, chosen = _compose(words_of_one)
            for config in _configs(command, chosen, _methods_set(words_of_one)):
                clips = _clips_hash(config, command["plan"])
                run_id = config.run_id(clips)
                runs.setdefault(run_id, config)
                older = replace(config, plugins=[each.files()[0] for each in loaded]).run_id(clips)
                if config.plugins and older != run_id:
                    aliases[run_id] = older
    _check_of_benchmark(arguments, runs)
    asked = Request(runs, command["plan"], command["rerun"], _execution(command), aliases)
    if preset is None:
        return asked
    report = {"title": preset.name, "question": preset.question, **preset.report}
    return replace(asked, preset=preset.name, report=report)


def _preset(arguments: list[overrides.Argument]) -> tuple[presets.Preset | None, list[overrides.Argument]]:
    """The preset that is asked for, and the other words."""
    names = [str(name) for name in overrides.value_of(arguments, "preset")]
    rest = [argument for argument in arguments if argument.key != "preset"]
    return (presets.find(names[0]) if names and names[0] != "none" else None), rest


def _long_form(argument: overrides.Argument) -> overrides.Argument:
    """`cram.x` is short for `method.cram.x`, `rule=ace` for `replay.rule=ace`, `derpp.x` for `rules.derpp.x`."""
    if argument.key in (*QUESTIONS, "quality"):
        return replace(argument, key=f"replay.{argument.key}")
    for question, registry in QUESTIONS.items():
        name, _, own = argument.key.partition(".")
        if own and name in registry and own in {entry.name for entry in fields(settings_of(question, name))}:
            return replace(argument, key=f"{question}s.{argument.key}")
    taken = {entry.name for entry in fields(Command)} | set(SHARED) | set(GROUPS)
    if argument.head in {name.partition(":")[0] for name in METHODS} and argument.head not in taken:
        return replace(argument, key=f"method.{argument.key}")
    return argument


def _methods_set(words: list[str]) -> set[str]:
    """Names of the methods that settings of their own are given for; avalanche:EWC is set as avalanche.EWC."""
    keys = [word.partition("=")[0].split(".")[1:] for word in words if word.startswith("method.")]
    return {":".join(key[:-1]) for key in keys if len(key) > 1}


def _compose(words: list[str]) -> tuple[dict[str, Any], Mapping[str, str]]:
    words = _with_protocol(words)
    words = _of_benchmark(words)
    try:
        config = compose("config", overrides=words, return_hydra_config=True)
        chosen = dict(config.hydra.runtime.choices)
        values: Any = OmegaConf.to_container(_without_hydra(config), resolve=True)
    except (HydraException, OmegaConfBaseException) as error:
        raise hints.explain(error, store.known_settings(), words) from error
    return values, chosen


def _without_hydra(config: DictConfig) -> DictConfig:
    return OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])


def _with_protocol(words: list[str]) -> list[str]:
    """The same words with a protocol's file name, and with the protocol of the benchmark where none is given."""
    given = {key: value.strip("'\"") for key, _, value in (word.partition("=") for word in words)}
    rest = [word for word in words if word.partition("=")[0] != "protocol"]
    benchmark, protocol = given.get("benchmark"), given.get("protocol")
    if protocol is None:
        protocol = _default_protocol(benchmark or protocols.find(protocols.DEFAULT).benchmark, given.get("setting"))
    if protocol == "none":
        return [*rest, "protocol=none"]
    rule = protocols.find(protocol)
    if benchmark not in (None, rule.benchmark):
        raise ValueError(f"protocol={protocol} is a rule for benchmark={rule.benchmark}, not for benchmark={benchmark}")
    words = [*rest, f"protocol={store.file_name(str(rule))}"]
    return words if benchmark else [*words, f"benchmark={rule.benchmark}"]


def _of_benchmark(words: list[str]) -> list[str]:
    """`kinetics.annotations=DIR` is benchmark.annotations=DIR where the benchmark is kinetics; elsewhere it goes."""
    given = dict(word.split("=", 1) for word in words)
    benchmark = given.get("benchmark") or protocols.find(protocols.DEFAULT).benchmark
    return [
        f"benchmark.{word.partition('.')[2]}" if word.startswith(f"{benchmark}.") else word
        for word in words if word.partition(".")[0] not in SETTINGS or word.startswith(f"{benchmark}.")
    ]  # fmt: skip


def _check_of_benchmark(arguments: list[overrides.Argument], runs: Mapping[str, RunConfig]) -> None:
    """ValueError for an option of a benchmark that it has not, or that no run is on."""
    for argument in (argument for argument in arguments if argument.head in SETTINGS):
        own = [entry.name for entry in fields(SETTINGS[argument.head])]
        name = argument.key.partition(".")[2]
        if name not in own:
            raise ValueError(f"benchmark {argument.head} has no option '{name}'{nearest(name, own)}")
        if not any(config.benchmark.name == argument.head for config in runs.values()):
            raise ValueError(f"{argument.key} is set, but no run is on benchmark={argument.head}")


def _default_protocol(benchmark: str, setting: str | None) -> str:
    """The first protocol of a benchmark; for setting=pretrained the first that has a part to pre-train on."""
    first = protocols.find(protocols.DEFAULT)
    every = (first, *(rule for _, rule in protocols.PROTOCOLS.items()))
    rules = [rule for rule in every if rule.benchmark == benchmark]
    if setting == "pretrained":
        rules.sort(key=lambda rule: not rule.pretrains)
    return str(rules[0]) if rules else "none"


def _configs(command: dict[str, Any], chosen: Mapping[str, str], methods_set: set[str]) -> list[RunConfig]:
    """The configs of one combination: its methods, each with all pairs of seeds."""
    for group, settings in SHARED.items():
        check(settings, command[group], f"{group}.")
    shared: dict[str, Any] = {name: group(**command[name]) for name, group in SHARED.items()}
    shared["compressor"], paths = _loaded(shared["compressor"])
    check(Command, command)
    names = _method_names(command["methods"])
    for name in methods_set - set(names):
        given = f"method.{name.replace(':', '.')}.*"
        raise ValueError(f"{given} is set, but '{name}' is not among methods=[{','.join(names)}]")
    memory = command["memory"]
    budget = Budget(_budget(command, chosen), memory["count"], memory["enforce"])
    benchmark, label, protocol = _what_is_learnt(command, chosen)
    pairs = seed_pairs(command["replicates"], command["seeds"], command["order_seeds"])
    how, configs = _execution(command), []
    of_benchmark = _files_of_benchmark(benchmark.name, protocol)
    for name in names:
        own = of_method.part(name, command)
        configs += [
            RunConfig(
                benchmark=benchmark,
                label=label,
                setting=command["setting"],
                protocol=protocol,
                **shared | {"replay": own.replay},
                profile=chosen["profile"],
                evaluate=command["evaluate"],
                memory=budget,
                precision=command["precision"],
                method=own.method,
                seed=seed,
                order_seed=order_seed,
                plugins=of_method.listed([*own.files, *of_benchmark]),
                execution=replace(how, paths={**how.paths, **paths, **own.paths}),
                answers=own.answers,
            )
            for seed, order_seed in pairs
        ]
    return configs


def _files_of_benchmark(benchmark: str, protocol: str) -> list[Path | None]:
    """The user's files that benchmark and protocol are in."""
    known = protocols.PROTOCOLS.entries.get(protocol)
    return [benchmarks.BENCHMARKS.entries[benchmark].file, known.file if known else None]


def _execution(command: dict[str, Any]) -> Execution:
    """How the runs of a command are carried out, with absolute paths and the number of workers."""
    log = command["log"]
    groups = {
        "checkpoint": Checkpoint(**command["checkpoint"]),
        "lock": Lock(**command["lock"]),
        "log": RunLog(**log, plugins=of_method.listed([LOGGERS.entries[name].file for name in log["to"]])),
        "slurm": Slurm(**command["slurm"]),
        "out": str(Path(command["out"]).expanduser().resolve()),
        "paths": {"cache": _cache(command)},
        "workers": command["workers"] or len(slots(command["device"], command["runs_per_gpu"])) or cores(),
    }
    return Execution(**{name: command[name] for name in EXECUTION} | groups)


def _cache(command: dict[str, Any]) -> str:
    return str(Path(command["paths"]["cache"] or benchmarks.default_cache()).expanduser().resolve())


def _loaded(settings: CompressorSettings) -> tuple[CompressorSettings, dict[str, str]]:
    """What `compressor.load` names is part of a run by its bytes; where it lies is how the run is carried out."""
    if not settings.load:
        return settings, {}
    path = Path(settings.load).expanduser().resolve()
    settings = replace(settings, load=pretrained.sha256(path))
    pretrained.load(path, settings)
    return settings, {"compressor": str(path)}


def _what_is_learnt(command: dict[str, Any], chosen: Mapping[str, str]) -> tuple[BenchmarkChoice, str, str]:
    """Benchmark, label and protocol of a command."""
    checked = benchmarks.parse(chosen["benchmark"], command["benchmark"])
    options = recorded(type(checked), asdict(checked))
    label = command["label"]
    if not label:
        label = describe(chosen["benchmark"], tuple(options.items()), _cache(command)).default_label
    rule = protocols.identify(chosen["benchmark"], label, options["tasks"], options)
    return BenchmarkChoice(chosen["benchmark"], options), label, rule


def _method_names(given: list[str]) -> list[str]:
    if not given:
        raise ValueError(
            f"no method is given; write e.g. methods=[cram,er] (known: {', '.join(native())}; avalanche:NAME)"
        )
    patterns = [word for word in given if set(word) & set("*?")]
    names = [name for word in given if word not in patterns for name in (native() if word == "all" else [word])]
    for name in names:
        find(name)
    fitting = [name for pattern in patterns for name in METHODS.match(pattern) if name not in names]
    names = [*names, *dict.fromkeys(fitting)]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"methods names '{twice}' twice")
    return names


def _budget(command: dict[str, Any], chosen: Mapping[str, str]) -> int | None:
    budget = command["memory"]["budget"]
    rule = next(
        (rule for _, rule in protocols.PROTOCOLS.items() if store.file_name(str(rule)) == chosen["protocol"]), None
    )
    times = re.fullmatch(r"(\d+(?:\.\d*)?)x", str(budget))
    if budget != "protocol" and not times:
        return parse_bytes(budget)
    if rule is None:
        raise ValueError(f"benchmark={chosen['benchmark']} without a protocol needs memory.budget=, e.g. 700kB or none")
    size = parse_bytes(rule.budget_for(command["benchmark"]))
    return parse_bytes(round(size * float(times[1]))) if times and size is not None else size


@lru_cache
def describe(name: str, options: tuple[tuple[str, Any], ...], cache: str) -> benchmarks.Benchmark:
    """The benchmark without its frames, made once a process for the same options."""
    return benchmarks.describe(name, dict(options), Path(cache))


def benchmark_of(config: RunConfig) -> benchmarks.Benchmark:
    """The benchmark of a run's config, without its frames."""
    options = tuple(config.benchmark.options.items())
    return describe(config.benchmark.name, options, config.execution.paths["cache"])


def _clips_hash(config: RunConfig, plan: bool) -> str:
    """Which clips a run sees; where only decoding can tell which are bad, they are decoded now, but not for a plan."""
    if not plan and not benchmark_of(config).settled:
        chosen, how = config.benchmark, config.execution
        benchmarks.load(chosen.name, chosen.options, Path(how.paths["cache"]), how.workers)
        describe.cache_clear()
    return benchmark_of(config).clips_hash
