"""What can be set on the command line (defaults, meanings, limits), and the plain nested dict that describes one run.

Imports neither torch nor Hydra, so that `--help` can be made from the dataclasses here in no time.
"""

import difflib
import hashlib
import importlib.util
import json
import math
import re
import sys
from collections.abc import Iterable
from dataclasses import Field, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

from benchmarks import SETTINGS, default_cache
from harness.common.machine import cores
from harness.common.settings import declared
from slurm.settings import Slurm

CONF = Path(__file__).parent / "conf"
# What a server of new processes imports once for all; torch would import _dynamo (seconds of work) in each of them
# when its first optimiser is made.
PRELOAD = ["harness.training.loop", "torch._dynamo", "benchmarks.moving_digits", "jsonschema"]
UNITS = {"": 1, "B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 2**10, "MiB": 2**20, "GiB": 2**30}


def option(default: Any, help: str, above: float | None = None) -> Any:
    """A dataclass field with a default, a help text and a bound that its value must be above.

    Here and in every other settings dataclass, a text whose help lists `this | that` takes one of these words only.
    """
    metadata = {"help": help, "above": above}
    if isinstance(default, list | type):
        factory = default if isinstance(default, type) else lambda: list(default)
        return field(default_factory=factory, metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass
class Memory:
    """The byte budget of everything that a method carries from one experience to the next."""

    budget: Any = option("protocol", "bytes: 700kB, 2GB, 700000, or none; 0.5x: times the protocol's, the default")
    count: str = option("carried", "what the budget bounds: carried | total (with the live model)")


@dataclass
class Checkpoint:
    """When the state of a run is saved."""

    minutes: float = option(10.0, "minutes between two checkpoints (fractions allowed)", above=0)
    keep: str = option("live", "none | live | all: what stays of it when the run is done (live: the weights)")
    resume: str = option("same", "same | force: go on from what the same sources saved, or from any (recorded)")


@dataclass
class Lock:
    """How runs are kept from being carried out twice at a time."""

    stale_minutes: float = option(5.0, "minutes without a sign of life after which a run is taken over", above=0)


@dataclass
class Log:
    """What a run writes down on its way."""

    every: int = option(50, "steps between two lines of steps.jsonl", above=0)
    filmstrip: int = option(0, "stored clips whose decoding after each task is kept in filmstrip.npz")


@dataclass
class Paths:
    """Folders outside the project."""

    cache: str | None = option(None, "videos and decoded clips; default: $VIDEO_CL_CACHE or ~/.cache/video-cl-harness")


@dataclass
class Command:
    """The settings of the command line that belong to no group of their own."""

    methods: list[str] = option([], "methods to run, by name; [all]: every one but those of avalanche")
    label: str | None = option(None, "label to learn, a column of the clip table; default: the protocol's")
    setting: str = option("scratch", "scratch | pretrained (an experience before the stream)")
    replicates: Any = option(None, "3: replicates 0,1,2; [100,101]: these; each sets seed and order_seed; default 1")
    seeds: list[int] | None = option(None, "seeds of weights and sampling; crossed with order_seeds")
    order_seeds: list[int] | None = option(None, "seeds of the class order; crossed with seeds")
    evaluate: str = option("test", "part that accuracy is measured on: test | validation")
    precision: str = option("float32", "float32 | bfloat16 (autocast)")
    plugins: list[str] = option([], "your own Python files that register methods")
    plan: bool = option(False, "print runs, tasks, steps and bytes, then stop; needs no video")
    out: str = option("runs", "folder of the records")
    launcher: str = option("local", "local: a process a run; inline: all in this process; slurm: job arrays")
    workers: int | None = option(None, "runs at a time; default: the cores of this machine", above=0)
    device: str = option("auto", "auto | cpu | cuda")
    loader_workers: int = option(0, "processes a run that decode clips ahead (0: in the run itself)")
    threads: int = option(1, "torch threads of one run", above=0)
    rerun: str = option("never", "never | changed: run again what other sources of the harness made")
    debug: bool = option(False, "full traces instead of one-line errors")
    strict_state: bool = option(False, "stop at each boundary and go on in a new process from the saved state")
    memory: Memory = option(Memory, "")
    checkpoint: Checkpoint = option(Checkpoint, "")
    lock: Lock = option(Lock, "")
    log: Log = option(Log, "")
    paths: Paths = option(Paths, "")
    slurm: Slurm = option(Slurm, "")


# Chosen by name; each brings values that the command line can still change.
GROUPS = {
    "benchmark": "benchmark to run; its own settings are benchmark.NAME=... (harness.list benchmarks NAME)",
    "protocol": "named rule that fixes benchmark, label, tasks and budget; default: the benchmark's first",
    "profile": "sizes of compressor and classifier for the size of the clips",
    "preset": "a named experiment with its question and report, e.g. refresh_ablation; smoke: all methods in seconds",
}

# Which parts of a run say where and how it is carried out, not what comes out.
EXECUTION = ("out", "launcher", "workers", "device", "checkpoint", "debug", "threads", "loader_workers", "lock",
             "log", "paths", "strict_state", "slurm")  # fmt: skip


def shared_settings() -> dict[str, type]:
    """The dataclasses of the settings that all methods share, by the name of their group.

    methods/shared/settings.py is read without its package, because importing `methods` imports torch.
    """
    name, file = "methods_settings", Path(__file__).parents[2] / "methods" / "shared" / "settings.py"
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, file)
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    module = sys.modules[name]
    return {"compressor": module.CompressorSettings, "classifier": module.ClassifierSettings,
            "replay": module.ReplaySettings, "training": module.TrainingSettings}  # fmt: skip


def nearest(word: str, known: Iterable[str]) -> str:
    """The hint '; did you mean ...?' for a misspelt word, or nothing."""
    near = difflib.get_close_matches(str(word), list(known), n=1)
    return f"; did you mean '{near[0]}'?" if near else ""


def parse_bytes(value: Any) -> int | None:
    """700kB -> 700000, none -> None; ValueError for what is no positive number of bytes."""
    if value is None or str(value).lower() == "none":
        return None
    text = str(value).strip()
    match = re.fullmatch(r"(-?\d+(?:\.\d*)?(?:e\d+)?)\s*([A-Za-z]*)", text)
    units = {unit.lower(): factor for unit, factor in UNITS.items()}
    if isinstance(value, bool) or match is None or match[2].lower() not in units:
        raise ValueError(f"memory.budget={text} is no number of bytes; write e.g. 700kB, 2MB, 1GiB, 700000 or none")
    size = int(float(match[1]) * units[match[2].lower()])
    if size < 1:
        raise ValueError(
            f"memory.budget={text} leaves nothing to remember; give more than 0 bytes, or none for no limit"
        )
    return size


def seed_pairs(replicates: Any, seeds: list[int] | None, order_seeds: list[int] | None) -> list[tuple[int, int]]:
    """The (seed, order_seed) of each run: replicates set both to r, seeds and order_seeds are crossed."""
    if replicates is not None and (seeds is not None or order_seeds is not None):
        other = "seeds" if seeds is not None else "order_seeds"
        raise ValueError(
            f"replicates sets seed and order_seed; give either replicates or seeds/order_seeds, not {other} too"
        )
    if replicates is not None or (seeds is None and order_seeds is None):
        if isinstance(replicates, int) and not isinstance(replicates, bool) and replicates < 1:
            raise ValueError(f"replicates={replicates} asks for no run; give 1 or more, or a list like [100,101]")
        numbers = replicates if isinstance(replicates, list) else 1 if replicates is None else replicates
        numbers = list(range(numbers)) if isinstance(numbers, int) and not isinstance(numbers, bool) else numbers
        return [(r, r) for r in _seeds("replicates", numbers)]
    seeds, order_seeds = (_seeds("seeds", seeds), _seeds("order_seeds", order_seeds))
    return [(seed, order) for order in order_seeds for seed in seeds]


def _seeds(name: str, numbers: Any) -> list[int]:
    numbers = [0] if numbers is None else numbers
    if not isinstance(numbers, list) or any(not isinstance(n, int) or isinstance(n, bool) or n < 0 for n in numbers):
        raise ValueError(f"{name}={numbers}: give whole numbers from 0 on, e.g. {name}=[0,1,2]")
    if not numbers:
        raise ValueError(f"{name}=[] is empty; give at least one number, e.g. {name}=[0]")
    if len(set(numbers)) < len(numbers):
        raise ValueError(f"{name}={numbers} names a number twice")
    return numbers


def choices(entry: Field) -> tuple[str, ...]:
    """The words that a field allows, read from its help text: `this | that`; empty where anything goes."""
    listed = re.search(r"[\w]+(?: (?:\([^)]*\) )?\| [\w]+)+", entry.metadata.get("help", ""))
    return tuple(re.findall(r"\w+", re.sub(r"\([^)]*\)", "", listed[0]))) if listed and "str" in str(entry.type) else ()


def check_values(settings: type, values: dict[str, Any], prefix: str = "", shared: bool = False) -> None:
    """ValueError if a value is none of the words its field allows, negative, not finite, or not above its bound.

    Of the `shared` settings whole numbers must be above 0, unless their help says what 0 stands for.
    """
    for entry in fields(settings):
        name, value, above = prefix + entry.name, values[entry.name], entry.metadata.get("above")
        if shared and entry.type is int and "(0:" not in entry.metadata["help"]:
            above = 0
        if is_dataclass(entry.type):
            check_values(entry.type, value, f"{name}.")
        elif value is None or isinstance(value, bool) or entry.type is Any:
            continue
        elif choices(entry) and value not in choices(entry):
            allowed = choices(entry)
            raise ValueError(f"{name}={value} is not allowed{nearest(value, allowed)} (allowed: {', '.join(allowed)})")
        elif isinstance(value, int | float) and not (value >= 0 if above is None else value > above):
            least = "0 or more" if above is None else f"more than {above:g}"
            raise ValueError(f"{name}={value} is not allowed: it must be {least}")
        elif isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{name}={value} is not a finite number")


def execution(values: dict[str, Any]) -> dict[str, Any]:
    """The part of a run's config that says how it is carried out, with absolute paths and the number of workers."""
    how = {name: values[name] for name in EXECUTION}
    how["out"] = str(Path(how["out"]).expanduser().resolve())
    how["paths"] = {"cache": str(Path(how["paths"]["cache"] or default_cache()).expanduser().resolve())}
    how["workers"] = how["workers"] or cores()
    return how


def run_id(config: dict[str, Any], table_hash: str) -> str:
    """Readable prefix and a hash of all that decides the result: the config but `execution`, and the clip table."""
    decides = {key: value for key, value in config.items() if key != "execution"}
    # Annotations are what the clip table's hash says, wherever they and the videos lie.
    settings = fields(SETTINGS[config["benchmark"]["name"]])
    paths = {entry.name for entry in settings if declared(entry).kind in ("path", "machine")}
    decides["benchmark"] = {key: value for key, value in config["benchmark"].items() if key not in paths}
    # A plug-in is its bytes: moved to another folder it is still the same method.
    decides["plugins"] = sorted(plugin["sha256"] for plugin in config["plugins"])
    text = json.dumps([decides, table_hash], sort_keys=True, allow_nan=False)
    rule = config["protocol"] if config["protocol"] != "custom" else config["benchmark"]["name"]
    name = f"{rule}-{config['method']['name']}-s{config['seed']}-o{config['order_seed']}"
    return re.sub(r"[^A-Za-z0-9._-]", "-", name) + "-" + hashlib.sha256(text.encode()).hexdigest()[:10]


def yaml_descriptions(kind: str) -> dict[str, str]:
    """Name -> first comment line of the YAML files of a kind: profile or preset."""
    found = {}
    for file in sorted((CONF / kind).glob("*.yaml")):
        comments = re.findall(r"^# (?!@)(.*)$", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
        found[file.stem] = comments[0] if comments else ""
    return found
