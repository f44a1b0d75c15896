"""What can be set on the command line (defaults, meanings, limits), and the plain nested dict that describes one run.

Imports neither torch nor Hydra, so that `--help` can be made from the dataclasses here in no time.
"""

import re
from dataclasses import dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

from harness.common import settings  # not the function alone: one of the fields is called `setting`
from harness.common.settings import Declaration
from harness.loggers import LOGGERS
from methods.shared.settings import SHARED
from slurm.settings import Slurm

CONF = Path(__file__).parent / "conf"
# What a server of new processes imports once for all; torch would import _dynamo (seconds of work) in each of them
# when its first optimiser is made.
PRELOAD = ["harness.training.execute", "torch._dynamo", "benchmarks.moving_digits"]


@dataclass(frozen=True)
class Memory:
    """The byte budget of everything that a method carries from one experience to the next."""

    budget: Any = settings.setting(
        "protocol",
        "bytes: 700kB, 2GB, 700000, or none; 0.5x: times the protocol's, the default",
        kind="any",
        also="memory memory_size mem mem_size buffer buffer_size memory_budget exemplars replay_size",
    )
    count: str = settings.setting(
        "carried", "what the budget bounds; total counts the live model too", choices=("carried", "total")
    )
    enforce: bool = settings.setting(
        True, "a method over its budget is stopped; false: it runs on, and its row stands apart", since="0.2"
    )


@dataclass(frozen=True)
class Checkpoint:
    """When the state of a run is saved."""

    minutes: float = settings.setting(
        10.0,
        "minutes between two checkpoints (fractions allowed)",
        above=0,
        also="checkpoint save_every save_interval checkpoint_every checkpoint_interval save_freq",
    )
    keep: str = settings.setting(
        "live",
        "what stays of it when the run is done; live: the weights",
        choices=("none", "live", "all"),
        also="save_model save_weights save_checkpoint save",
    )
    resume: str = settings.setting(
        "same",
        "go on from what the same sources saved, or from any (recorded)",
        choices=("same", "force"),
        also="continue load_checkpoint resume_from ckpt ckpt_path",
    )


@dataclass(frozen=True)
class Lock:
    """How runs are kept from being carried out twice at a time."""

    stale_minutes: float = settings.setting(
        5.0, "minutes without a sign of life after which a run is taken over", above=0, also="lock"
    )


@dataclass(frozen=True)
class Log:
    """What a run writes down on its way."""

    every: int = settings.setting(
        50,
        "steps between two lines of steps.jsonl",
        above=0,
        also="log_every log_interval log_freq print_freq log_steps logging_steps",
    )
    filmstrip: int = settings.setting(
        0, "stored clips whose decoding after each task is kept in filmstrip.npz", also="reconstructions log_images"
    )
    to: list[str] = settings.setting(
        [],
        "where a run is shown beside its folder",
        choices=LOGGERS.names,
        also="log logger loggers tensorboard wandb mlflow report_to tracker",
    )


@dataclass(frozen=True)
class Paths:
    """Folders outside the project."""

    cache: str | None = settings.setting(
        None,
        "videos and decoded clips; default: $VIDEO_CL_CACHE or ~/.cache/video-cl-harness",
        also="cache cache_dir paths",
    )


@dataclass
class Command:
    """The settings of the command line that belong to no group of their own."""

    methods: list[str] = settings.setting(
        [],
        "methods to run, by name or by pattern (cr*); [all]: every one but those of avalanche",
        also="method model models strategy algorithm algo approach learner baseline",
    )
    label: str | None = settings.setting(
        None, "label to learn, a column of the clip table; default: the protocol's", also="target label_column"
    )
    setting: str = settings.setting(
        "scratch",
        "pretrained: an experience of other classes comes before the stream",
        choices=("scratch", "pretrained"),
        also="pretrain pretrained pretraining",
    )
    replicates: Any = settings.setting(
        None,
        "3: replicates 0,1,2; [100,101]: these; each sets seed and order_seed; default 1",
        kind="any",
        also="runs repeats repetitions seeds_per_method trials",
    )
    seeds: list[int] | None = settings.setting(
        None, "seeds of weights and sampling; crossed with order_seeds", also="seed random_seed manual_seed rng_seed"
    )
    order_seeds: list[int] | None = settings.setting(
        None,
        "seeds of the class order; crossed with seeds",
        also="order_seed class_order class_order_seed permutation shuffle",
    )
    evaluate: str = settings.setting(
        "test", "part that accuracy is measured on", choices=("test", "validation"), also="eval split eval_split"
    )
    precision: str = settings.setting(
        "float32",
        "number format; bfloat16: autocast",
        choices=("float32", "bfloat16"),
        also="amp fp16 bf16 mixed_precision dtype half autocast",
    )
    plugins: list[str] = settings.setting(
        [], "your own Python files that register methods", also="plugin custom user_dir imports"
    )
    plan: bool = settings.setting(
        False, "print runs, tasks, steps and bytes, then stop; needs no video", also="dry_run dryrun dry"
    )
    out: str = settings.setting(
        "runs",
        "folder of the records",
        also="output_dir output outdir out_dir log_dir logdir save_dir result_dir results_dir results work_dir",
    )
    launcher: str = settings.setting(
        "local",
        "local: a process a run; inline: all in this process; slurm: job arrays",
        also="executor backend cluster submit",
    )
    workers: int | None = settings.setting(
        None,
        "runs at a time; default: runs_per_gpu on each GPU, or else the cores of this machine",
        above=0,
        also="jobs parallel processes nproc",
    )
    runs_per_gpu: int = settings.setting(1, "runs that share a GPU; small runs do not fill one", above=0)
    device: str = settings.setting(
        "auto",
        "auto: the GPU that torch sees",
        choices=("auto", "cpu", "cuda"),
        also="gpu gpus cuda accelerator gpu_id gpu_ids devices use_gpu",
    )
    loader_workers: int = settings.setting(
        0,
        "processes a run that decode clips ahead",
        zero="in the run itself",
        also="num_workers dataloader_workers data_workers",
    )
    threads: int = settings.setting(1, "torch threads of one run", above=0, also="cores omp_num_threads")
    rerun: str = settings.setting(
        "never",
        "changed: run again what other sources of the harness made",
        choices=("never", "changed"),
        also="overwrite force restart clean",
    )
    debug: bool = settings.setting(False, "full traces instead of one-line errors", also="verbose traceback")
    strict_state: bool = settings.setting(
        False, "stop at each boundary and go on in a new process from the saved state"
    )
    memory: Memory = settings.setting(Memory, "")
    checkpoint: Checkpoint = settings.setting(Checkpoint, "")
    lock: Lock = settings.setting(Lock, "")
    log: Log = settings.setting(Log, "")
    paths: Paths = settings.setting(Paths, "")
    slurm: Slurm = settings.setting(Slurm, "")


# Chosen by name; each brings values that the command line can still change.
GROUPS = {
    "benchmark": Declaration(
        "benchmark to run; its own settings are benchmark.NAME=... (harness.list benchmarks NAME)",
        also=("dataset", "data", "datasets", "scenario", "benchmark_name"),
    ),
    "protocol": Declaration("named rule that fixes benchmark, label, tasks and budget; default: the benchmark's first"),
    "profile": Declaration("sizes of compressor and classifier for the size of the clips", also=("config", "cfg")),
    "preset": Declaration(
        "a named experiment with its question and report, e.g. refresh_ablation; smoke: all methods in seconds",
        also=("experiment", "exp", "recipe"),
    ),
}


def all_settings() -> dict[str, type]:
    """What stands before the names of settings on the command line, such as `memory.` -> the class that declares them.

    The settings of the command itself have nothing before them; those of benchmarks and methods are not among these.
    """
    nested = {f"{entry.name}.": entry.type for entry in fields(Command) if isinstance(entry.type, type)}
    groups = {prefix: group for prefix, group in nested.items() if is_dataclass(group)}
    return {"": Command, **groups, **{f"{name}.": group for name, group in SHARED.items()}}


# Settings that are lists: a single value is taken for a list of one.
LISTS = ("methods", "seeds", "order_seeds", "plugins", "slurm.setup", "benchmark.classes", "log.to")


MOST_SEED = 2**32 - 1


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
    if any(n > MOST_SEED for n in numbers):
        raise ValueError(f"{name}={numbers}: give numbers up to {MOST_SEED}, the largest seed that NumPy takes")
    if not numbers:
        raise ValueError(f"{name}=[] is empty; give at least one number, e.g. {name}=[0]")
    if len(set(numbers)) < len(numbers):
        raise ValueError(f"{name}={numbers} names a number twice")
    return numbers


def yaml_descriptions(kind: str) -> dict[str, str]:
    """Name -> first comment line of the YAML files of a kind: profile or preset."""
    found = {}
    for file in sorted((CONF / kind).glob("*.yaml")):
        comments = re.findall(r"^# (?!@)(.*)$", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
        found[file.stem] = comments[0] if comments else ""
    return found
