"""From the words of the command line to the configs of single runs: defaults < profile, protocol, preset < words."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, make_dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

import benchmarks
from benchmarks import SETTINGS, protocols
from harness.common import plugins
from harness.common.settings import check, recorded
from harness.common.units import parse_bytes
from harness.common.words import nearest
from harness.config import hints, of_method, overrides, presets
from harness.config.schema import CONF, GROUPS, Command, execution, run_id, seed_pairs
from harness.loggers import LOGGERS
from methods import METHODS, find, native
from methods.answers import QUESTIONS, settings_of
from methods.shared import pretrained
from methods.shared.settings import SHARED, CompressorSettings


@dataclass(frozen=True)
class Request:
    """What one command asks for: the configs of its runs by run id, and what holds for the command as a whole.

    `preset` and `report` (its name, question, table and plots) are empty where no preset is asked for. `aliases`: run
    id -> the id that an earlier version gave to the run of a plug-in that was named beside other plug-ins.
    """

    runs: dict[str, dict[str, Any]]
    plan: bool
    rerun: str
    execution: dict[str, Any]
    aliases: dict[str, str] = field(default_factory=dict)
    preset: str = ""
    report: dict[str, Any] = field(default_factory=dict)


def request(words: list[str]) -> Request:
    """All runs that the words of a command line ask for; ValueError says what is wrong with them."""
    describe.cache_clear()  # files may have changed since an earlier request of this process
    arguments = overrides.parse(words)
    given = overrides.value_of(arguments, "plugins")
    loaded = plugins.load([str(path) for path in given[0]]) if given and given[0] else []
    preset, arguments = _preset([_long_form(argument) for argument in arguments])
    blocks = presets.arguments(preset, arguments, METHODS) if preset else [arguments]
    _store_schema()
    runs: dict[str, dict[str, Any]] = {}
    aliases: dict[str, str] = {}
    with initialize_config_dir(str(CONF), version_base="1.3"):
        for words_of_one in (words for block in blocks for words in overrides.combinations(block)):
            command, chosen = _compose(words_of_one)
            for config in _configs(command, chosen, _methods_set(words_of_one)):
                clips = _clips_hash(config, command["plan"])
                runs.setdefault(run_id(config, clips), config)
                older = config | {"plugins": [each.files()[0] for each in loaded]}
                if config["plugins"] and run_id(older, clips) != run_id(config, clips):
                    aliases[run_id(config, clips)] = run_id(older, clips)
    _check_of_benchmark(arguments, runs)
    asked = Request(runs, command["plan"], command["rerun"], execution(command), aliases)
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
        return overrides.Argument(f"replay.{argument.key}", argument.values)
    for question, registry in QUESTIONS.items():
        name, _, own = argument.key.partition(".")
        if own and name in registry and own in {entry.name for entry in fields(settings_of(question, name))}:
            return overrides.Argument(f"{question}s.{argument.key}", argument.values)
    taken = {entry.name for entry in fields(Command)} | set(SHARED) | set(GROUPS)
    if argument.head in {name.partition(":")[0] for name in METHODS} and argument.head not in taken:
        return overrides.Argument(f"method.{argument.key}", argument.values)
    return argument


def _methods_set(words: list[str]) -> set[str]:
    """Names of the methods that settings of their own are given for; avalanche:EWC is set as avalanche.EWC."""
    keys = [word.partition("=")[0].split(".")[1:] for word in words if word.startswith("method.")]
    return {":".join(key[:-1]) for key in keys if len(key) > 1}


def _store_schema() -> None:
    """Make what is defined in Python known to Hydra: the settings, the benchmarks' options, the protocols."""
    store = ConfigStore.instance()
    parts = {**SHARED, **of_method.schema()}
    root = make_dataclass(
        "Settings",
        [(name, part, field(default_factory=part)) for name, part in parts.items()]
        + [("benchmark", Any, field(default_factory=dict))],
        bases=(Command,),
    )
    store.store("schema", node=_writable(OmegaConf.structured(root)))
    for name, settings in SETTINGS.items():
        store.store(group="benchmark", name=name, node=_writable(OmegaConf.structured(settings)))
    for _, protocol in protocols.PROTOCOLS.items():
        node = {
            "label": protocol.label,
            "benchmark": {"tasks": protocol.tasks, **protocol.options},
        }
        store.store(group="protocol", name=_file_name(str(protocol)), node=node, package="_global_")
    store.store(group="protocol", name="none", node={}, package="_global_")


def _writable(config: Any) -> Any:
    """Frozen dataclasses come as read-only configs, which no setting could be laid over."""
    OmegaConf.set_readonly(config, None)
    for key in config if OmegaConf.is_dict(config) else ():
        child = config._get_node(key)
        if OmegaConf.is_config(child) and not child._is_none():
            _writable(child)
    return config


def _file_name(protocol: str) -> str:
    return protocol.replace("/", "-")


def _known_settings() -> list[str]:
    default = OmegaConf.to_container(compose("config"))
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


def _compose(words: list[str]) -> tuple[dict[str, Any], Mapping[str, str]]:
    words = _with_protocol(words)
    words = _of_benchmark(words)
    try:
        config = compose("config", overrides=words, return_hydra_config=True)
        chosen = dict(config.hydra.runtime.choices)
        values = OmegaConf.to_container(_without_hydra(config), resolve=True)
    except (HydraException, OmegaConfBaseException) as error:
        raise hints.explain(error, _known_settings(), words) from error
    return values, chosen


def _without_hydra(config: DictConfig) -> DictConfig:
    return OmegaConf.masked_copy(config, [key for key in config if key != "hydra"])


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
    words = [*rest, f"protocol={_file_name(str(rule))}"]
    return words if benchmark else [*words, f"benchmark={rule.benchmark}"]


def _of_benchmark(words: list[str]) -> list[str]:
    """`kinetics.annotations=DIR` is benchmark.annotations=DIR where the benchmark is kinetics; elsewhere it goes."""
    given = dict(word.split("=", 1) for word in words)
    benchmark = given.get("benchmark") or protocols.find(protocols.DEFAULT).benchmark
    return [
        f"benchmark.{word.partition('.')[2]}" if word.startswith(f"{benchmark}.") else word
        for word in words if word.partition(".")[0] not in SETTINGS or word.startswith(f"{benchmark}.")
    ]  # fmt: skip


def _check_of_benchmark(arguments: list[overrides.Argument], runs: dict[str, dict[str, Any]]) -> None:
    """ValueError for an option of a benchmark that it has not, or that no run is on."""
    for argument in (argument for argument in arguments if argument.head in SETTINGS):
        own = [entry.name for entry in fields(SETTINGS[argument.head])]
        name = argument.key.partition(".")[2]
        if name not in own:
            raise ValueError(f"benchmark {argument.head} has no option '{name}'{nearest(name, own)}")
        if not any(config["benchmark"]["name"] == argument.head for config in runs.values()):
            raise ValueError(f"{argument.key} is set, but no run is on benchmark={argument.head}")


def _default_protocol(benchmark: str, setting: str | None) -> str:
    """The first protocol of a benchmark; for setting=pretrained the first that has a part to pre-train on."""
    first = protocols.find(protocols.DEFAULT)
    every = (first, *(rule for _, rule in protocols.PROTOCOLS.items()))
    rules = [rule for rule in every if rule.benchmark == benchmark]
    if setting == "pretrained":
        rules.sort(key=lambda rule: not rule.pretrains)
    return str(rules[0]) if rules else "none"


def _configs(command: dict[str, Any], chosen: Mapping[str, str], methods_set: set[str]) -> list[dict[str, Any]]:
    """The configs of one combination: its methods, each with all pairs of seeds."""
    shared = {}
    for name, settings in SHARED.items():
        check(settings, command[name], f"{name}.")
        kept = recorded(settings, command[name])
        shared |= {name: kept} if kept else {}
    paths = _loaded(shared)
    check(Command, command)
    names = _method_names(command["methods"])
    for name in methods_set - set(names):
        given = f"method.{name.replace(':', '.')}.*"
        raise ValueError(f"{given} is set, but '{name}' is not among methods=[{','.join(names)}]")
    common = _what_is_learnt(command, chosen) | shared | {
        "profile": chosen["profile"],
        "evaluate": command["evaluate"],
        "memory": {"budget": _budget(command, chosen), "count": command["memory"]["count"]},
        "precision": command["precision"],
    }  # fmt: skip
    pairs = seed_pairs(command["replicates"], command["seeds"], command["order_seeds"])
    configs = []
    for name in names:
        own, own_paths, its_files = of_method.part(name, command)
        files = of_method.listed([*its_files, *_files_of_benchmark(common)])
        for seed, order_seed in pairs:
            once = {"seed": seed, "order_seed": order_seed, "plugins": files}
            how = execution(command)
            log = how["log"] | _of_loggers(how["log"]["to"])
            how |= {"paths": how["paths"] | paths | own_paths, "log": log}
            configs.append(common | own | once | {"execution": how})
    return configs


def _files_of_benchmark(common: Mapping[str, Any]) -> list[Path | None]:
    """The user's files that benchmark and protocol are in."""
    known = protocols.PROTOCOLS.entries.get(common["protocol"])
    return [benchmarks.BENCHMARKS.entries[common["benchmark"]["name"]].file, known.file if known else None]


def _of_loggers(names: list[str]) -> dict[str, list[dict[str, str]]]:
    """The user's files that loggers are in: a run needs them, but is not known by them."""
    files = of_method.listed([LOGGERS.entries[name].file for name in names])
    return {"plugins": files} if files else {}


def _loaded(shared: dict[str, dict[str, Any]]) -> dict[str, str]:
    """What `compressor.load` names is part of a run by its bytes; where it lies is how the run is carried out."""
    if "load" not in shared["compressor"]:
        return {}
    path = Path(shared["compressor"]["load"]).expanduser().resolve()
    shared["compressor"]["load"] = pretrained.sha256(path)
    pretrained.load(path, CompressorSettings(**shared["compressor"]))
    return {"compressor": str(path)}


def _what_is_learnt(command: dict[str, Any], chosen: Mapping[str, str]) -> dict[str, Any]:
    checked = benchmarks.parse(chosen["benchmark"], command["benchmark"])
    options = recorded(type(checked), asdict(checked))
    benchmark = {"name": chosen["benchmark"], **options}
    cache = execution(command)["paths"]["cache"]
    label = command["label"] or describe(chosen["benchmark"], tuple(options.items()), cache).default_label
    rule = protocols.identify(chosen["benchmark"], label, options["tasks"], options)
    return {"benchmark": benchmark, "label": label, "setting": command["setting"], "protocol": rule}


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
    rule = next((rule for _, rule in protocols.PROTOCOLS.items() if _file_name(str(rule)) == chosen["protocol"]), None)
    times = re.fullmatch(r"(\d+(?:\.\d*)?)x", str(budget))
    if budget != "protocol" and not times:
        return parse_bytes(budget)
    if rule is None:
        raise ValueError(f"benchmark={chosen['benchmark']} without a protocol needs memory.budget=, e.g. 700kB or none")
    size = parse_bytes(rule.budget_for(command["benchmark"]))
    return parse_bytes(round(size * float(times[1]))) if times else size


@lru_cache
def describe(name: str, options: tuple[tuple[str, Any], ...], cache: str) -> benchmarks.Benchmark:
    """The benchmark without its frames, made once a process for the same options."""
    return benchmarks.describe(name, dict(options), Path(cache))


def benchmark_of(config: Mapping[str, Any]) -> benchmarks.Benchmark:
    """The benchmark of a run's config, without its frames."""
    options = {key: value for key, value in config["benchmark"].items() if key != "name"}
    return describe(config["benchmark"]["name"], tuple(options.items()), config["execution"]["paths"]["cache"])


def _clips_hash(config: Mapping[str, Any], plan: bool) -> str:
    """Which clips a run sees; where only decoding can tell which are bad, they are decoded now, but not for a plan."""
    if not plan and not benchmark_of(config).settled:
        options, cache = config["benchmark"], Path(config["execution"]["paths"]["cache"])
        benchmarks.load(options["name"], options, cache, config["execution"]["workers"])
        describe.cache_clear()
    return benchmark_of(config).clips_hash
