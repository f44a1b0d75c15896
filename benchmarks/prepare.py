"""`python -m benchmarks.prepare benchmark=NAME ...`: decode the videos of a benchmark once, before anything runs.

One pass over each video writes every frame that a run can ask for into a few packed files, in parallel; what a killed
command had finished is taken up by the same command. Runs do this themselves where it was not done before.
"""

import hashlib
import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from benchmarks import protocols
from benchmarks.frames.cache import FrameCache
from benchmarks.recorded import Recorded
from benchmarks.registry import BENCHMARKS, SETTINGS, default_cache, load, source
from harness.common import plugins
from harness.common.files import write_json
from harness.common.machine import cores
from harness.common.registry import Registry
from harness.common.settings import from_text
from harness.common.words import Option, help_text, parse, run_command, unknown

OPTIONS = {
    "protocol": Option("", "a protocol, in place of benchmark=NAME: it brings the settings that it fixes"),
    "paths.cache": Option("", "where the frames go; default: $VIDEO_CL_CACHE or ~/.cache/video-cl-harness"),
    "workers": Option(cores(), "videos decoded at a time; default: the cores of this machine", "int", least=1),
    "stage": Option("", "copy the finished files to this folder, a disk of the machine's own (as benchmark.stage)"),
    "share": Option("", "K/N: write only part K (from 0) of N; the command without it then verifies and finishes"),
    "launcher": Option("local", "local, or slurm: a job array over `shares` parts of the videos; slurm.SETTING=VALUE "
                       "says what a job asks for (see python -m harness.run --help); it decodes slurm.cpus videos at a "
                       "time; when all are over, the command without launcher finishes"),
    "shares": Option(16, "parts of the videos, a job each", "int", least=1),
    "plugins": Option([], "your own Python files that register benchmarks", "list"),
}  # fmt: skip
PLACES = ("paths.cache", "stage", "benchmark.annotations", "benchmark.videos", "benchmark.stage")
# name -> submit(out, folders, settings as typed, command): starts the command for each folder, says how to follow it.
LAUNCHERS: Registry[Callable[[Path, Sequence[Path], Mapping[str, str], Sequence[str]], str]] = Registry(
    "launcher of shares"
)
LAUNCHERS.add("slurm", "slurm.shares:submit_shares", "a job array of Slurm", builtin=True)


def main(words: list[str]) -> int:
    """Carry out a command line; returns the exit code."""
    usage = "benchmark=NAME|protocol=NAME [benchmark.SETTING=VALUE ...]"
    return run_command(
        "benchmarks.prepare",
        lambda: help_text("benchmarks.prepare", __doc__ or "", usage, OPTIONS),
        lambda: carry_out(words),
        words,
    )


def carry_out(words: list[str]) -> int:
    """Decode all, a share, or hand the shares to a launcher; ValueError or OSError says what is wrong."""
    positional, options, free = parse(words, OPTIONS, ("benchmark", "slurm"))
    folders = [Path(word) for word in positional if re.fullmatch(r"share-\d+-of-\d+", Path(word).name)]
    if len(folders) < len(positional):
        odd = next(word for word in positional if Path(word) not in folders)
        raise ValueError(f"'{odd}' is not of the form name=value (see --help)")
    plugins.load(options["plugins"])
    given = {name: text for name, _, text in (word.partition("=") for word in free)}
    name, settings = benchmark_of(given, options["protocol"], options["stage"])
    cache = Path(options["paths.cache"] or default_cache()).expanduser()
    if options["launcher"] != "local":
        _submit(words, options, given, cache)
    elif folders:
        for folder in folders:
            _share_of_job(name, settings, cache, options["workers"], folder)
    elif options["share"]:
        _share(name, settings, cache, options["workers"], options["share"])
    else:
        _whole(name, settings, cache, options["workers"])
    return 0


def benchmark_of(given: Mapping[str, str], protocol: str = "", stage: str = "") -> tuple[str, dict[str, Any]]:
    """Name and settings of the benchmark out of `benchmark=` and `benchmark.*=`; a protocol brings those it fixes.

    Raises:
        ValueError: there is no such benchmark, protocol or setting.
    """
    rule = protocols.find(protocol) if protocol else None
    name = given.get("benchmark", rule.benchmark if rule else "")
    if not name:
        raise ValueError(f"say which: benchmark=NAME (known: {', '.join(BENCHMARKS)}) or protocol=NAME")
    if name not in BENCHMARKS:
        raise ValueError(BENCHMARKS.unknown(name))
    if rule is not None and rule.benchmark != name:
        raise ValueError(f"protocol={rule} is a rule for benchmark={rule.benchmark}, not for benchmark={name}")
    known = {field.name: field for field in fields(SETTINGS[name])}
    settings = {**rule.options, "tasks": rule.tasks} if rule else {}
    for key, text in given.items():
        room, _, setting = key.partition(".")
        if room == "benchmark" and setting:
            if setting not in known:
                raise ValueError(unknown(f"setting of benchmark {name}", setting, known))
            settings[setting] = from_text(known[setting], text)
    if stage:
        if "stage" not in known:
            raise ValueError(f"stage={stage}: benchmark {name} is small and has no copy elsewhere")
        settings["stage"] = stage
    return name, settings


def _whole(name: str, settings: dict[str, Any], cache: Path, workers: int) -> None:
    benchmark = load(name, settings, cache, workers)
    for note in benchmark.notes:
        print(f"note: {note}")
    reader = benchmark.reader
    if not isinstance(reader, FrameCache):
        print(f"{name}: {len(benchmark.table):,} clips are ready")
        return
    clips, size = reader.verify()
    print(f"{name}: {clips:,} clips in {reader.folder}, {size / 1e6:,.1f} MB, every checksum right")
    if benchmark.bad:
        print(f"clips not as annotated, with their reasons: {reader.folder / 'bad.csv'}")


def _share(name: str, settings: dict[str, Any], cache: Path, workers: int, share: str) -> None:
    found = source(name, settings, cache)
    if not isinstance(found, Recorded):
        raise ValueError(f"share={share}: benchmark {name} is built in one piece")
    match = re.fullmatch(r"(\d+)/(\d+)", share)
    if match is None or int(match[1]) >= int(match[2]):
        raise ValueError(f"share={share}: write K/N with K from 0 to N - 1")
    found.write_share(workers, int(match[1]), int(match[2]))


def _submit(words: list[str], options: dict[str, Any], given: Mapping[str, str], cache: Path) -> None:
    """Hand the shares of this command to a launcher; each has a folder that says how it does."""
    if options["launcher"] not in LAUNCHERS:
        raise ValueError(unknown("launcher", options["launcher"], ("local", *LAUNCHERS)))
    asked = {key.removeprefix("slurm."): text for key, text in given.items() if key.startswith("slurm.")}
    keys = [(word.partition("=")[0], word.partition("=")[2]) for word in words if not word.startswith("plugins=")]
    same = [f"{key}={Path(value).expanduser().resolve() if key in PLACES else value}" for key, value in keys
            if key not in ("launcher", "shares", "share", "workers") and not key.startswith("slurm.")]  # fmt: skip
    files = [str(Path(file).expanduser().resolve()) for file in options["plugins"]]
    same += [f"plugins={','.join(files)}"] if files else []
    shares = options["shares"]
    out = cache.resolve() / f"prepare-{hashlib.sha256(json.dumps([same, shares]).encode()).hexdigest()[:10]}"
    folders = [out / f"share-{k}-of-{shares}" for k in range(shares)]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "benchmarks.prepare", *same]
    follow = LAUNCHERS.get(options["launcher"])(out, folders, asked, command)
    print(f"{follow}; when all are over:\npython -m benchmarks.prepare {' '.join(same)}")


def _share_of_job(name: str, settings: dict[str, Any], cache: Path, workers: int, folder: Path) -> None:
    """A share within a job: its folder tells the launcher how far it is, and record.json that it is done."""
    part, parts = re.findall(r"\d+", folder.name)
    there = len(list(cache.glob("*.part/*.json")))  # a job that is interrupted again and again must get on
    position = {"experience": 0, "n_experiences": 1, "phase": "decoding", "step": there, "steps": there + 1}
    write_json(folder / "status.json", {"state": "running", "reason": None, "position": position})
    try:
        _share(name, settings, cache, workers, f"{part}/{parts}")
    except (ValueError, OSError) as error:
        write_json(folder / "status.json", {"state": "failed", "reason": str(error), "position": position})
        raise
    write_json(folder / "status.json", {"state": "done", "reason": None, "position": None})
    write_json(folder / "record.json", {"share": f"{part}/{parts}"})


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
