"""`python -m benchmarks.prepare benchmark=NAME ...`: decode the videos of a benchmark once, before anything runs.

One sweep over each video writes every frame that a run can ask for into a few packed files, in parallel; what a killed
command had finished is taken up by the same command. Runs do this themselves where it was not done before.

usage: python -m benchmarks.prepare benchmark=NAME|protocol=NAME [benchmark.SETTING=VALUE ...]
       [paths.cache=DIR] [workers=N] [stage=DIR] [share=K/N] [launcher=slurm shares=N slurm.SETTING=VALUE ...]

paths.cache   where the frames go; default: $VIDEO_CL_CACHE or ~/.cache/video-cl-harness
workers       videos decoded at a time; default: the cores of this machine
stage         copy the finished files to this folder, a disk of the machine's own (as benchmark.stage does for a run)
share         write only part K (from 0) of N; the command without it then verifies and finishes
launcher      slurm: a job array over `shares` parts of the videos (slurm.*: see python -m harness.run --help); a job
              decodes slurm.cpus videos at a time and needs no GPU; when all are over, the command without it finishes
"""

import hashlib
import importlib
import json
import os
import re
import sys
from dataclasses import Field, asdict, fields
from pathlib import Path
from typing import Any

import benchmarks
from benchmarks import BENCHMARKS, protocols, recorded, unknown
from benchmarks.settings import SETTINGS, RecordedSettings
from harness.config.schema import Slurm, cores

OPTIONS = ("benchmark", "protocol", "paths.cache", "workers", "stage", "share", "launcher", "shares")
JOB = ("partition", "account", "qos", "constraint", "gpus", "cpus", "memory", "minutes", "parallelism")
PLACES = ("paths.cache", "stage", "benchmark.annotations", "benchmark.videos", "benchmark.stage")


def main(words: list[str]) -> int:
    """Carry out a command line; returns the exit code."""
    if {"--help", "-h"} & set(words):
        print(__doc__)
        return 0
    try:
        folders = [Path(word) for word in words if re.fullmatch(r"share-\d+-of-\d+", Path(word).name)]
        given = _given([word for word in words if Path(word) not in folders])
        name, options = _benchmark(given)
        cache = Path(given.get("paths.cache") or benchmarks.default_cache()).expanduser()
        workers = _number("workers", given["workers"], 1) if "workers" in given else cores()
        if given.get("launcher", "local") != "local":
            _submit(given, cache)
        elif folders:
            for folder in folders:
                _job(name, options, cache, workers, folder)
        elif "share" in given:
            _share(name, options, cache, workers, given["share"])
        else:
            _whole(name, options, cache, workers)
    except (ValueError, OSError) as error:
        print(f"benchmarks.prepare: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0


def _whole(name: str, options: dict[str, Any], cache: Path, workers: int) -> None:
    made = benchmarks.load(name, options, cache, workers)
    clips, size = made.reader.verify()
    for note in made.notes:
        print(f"note: {note}")
    print(f"{name}: {clips:,} clips in {made.reader.folder}, {size / 1e6:,.1f} MB, every checksum right")
    if made.bad:
        print(f"clips not as annotated, with their reasons: {made.reader.folder / 'bad.csv'}")


def _share(name: str, options: dict[str, Any], cache: Path, workers: int, share: str) -> None:
    settings = benchmarks.parse(name, options)
    if not isinstance(settings, RecordedSettings):
        raise ValueError(f"share={share}: benchmark {name} is made in one piece")
    k, _, n = share.partition("/")
    part, parts = _number("share", k, 0), _number("share", n, 1)
    if part >= parts:
        raise ValueError(f"share={share}: write K/N with K from 0 to N - 1")
    recording = importlib.import_module(BENCHMARKS[name]).recording(settings)
    recorded.write_share(name, recording, settings, cache, workers, part, parts)


def _submit(given: dict[str, str], cache: Path) -> None:
    """Hand the shares of this command to Slurm; each has a folder that says how it does."""
    from slurm.launcher import status_command, submit  # late: submitit is slow to import

    if given["launcher"] != "slurm":
        raise ValueError(unknown("launcher", given["launcher"], ("local", "slurm")))
    settings = asdict(Slurm()) | {"gpus": 0}
    for key, text in given.items():
        name = key.removeprefix("slurm.")
        if key.startswith("slurm."):
            if name not in JOB:
                raise ValueError(unknown("setting of Slurm", name, JOB))
            whole = isinstance(settings[name], int)
            settings[name] = _number(key, text, 0) if whole else float(text) if name == "memory" else text
    shares = _number("shares", given.get("shares", "16"), 1)
    words = [f"{key}={Path(value).expanduser().resolve() if key in PLACES else value}" for key, value in given.items()
             if key not in ("launcher", "shares", "share", "workers") and not key.startswith("slurm.")]  # fmt: skip
    name = hashlib.sha256(json.dumps([words, shares]).encode()).hexdigest()[:10]
    out = cache.resolve() / f"prepare-{name}"
    folders = {out / f"share-{k}-of-{shares}": "prepare" for k in range(shares)}
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "benchmarks.prepare", *words, f"workers={settings['cpus']}"]
    jobs = submit(out, folders, settings, command)
    print(f"{len(jobs)} jobs submitted; {status_command(out)} tells how they do; when all are over:\n"
          f"python -m benchmarks.prepare {' '.join(words)}")  # fmt: skip


def _job(name: str, options: dict[str, Any], cache: Path, workers: int, folder: Path) -> None:
    """A share within a job: its folder tells Slurm's side how far it is, and record.json that it is done."""
    part, parts = re.findall(r"\d+", folder.name)
    there = len(list(cache.glob("*.part/*.json")))  # a job that is interrupted again and again must get on
    position = {"experience": 0, "n_experiences": 1, "phase": "decoding", "step": there, "steps": there + 1}
    _write(folder / "status.json", {"state": "running", "reason": None, "position": position})
    try:
        _share(name, options, cache, workers, f"{part}/{parts}")
    except (ValueError, OSError) as error:
        _write(folder / "status.json", {"state": "failed", "reason": str(error), "position": position})
        raise
    _write(folder / "status.json", {"state": "done", "reason": None, "position": None})
    _write(folder / "record.json", {"share": f"{part}/{parts}"})


def _write(path: Path, content: dict[str, Any]) -> None:
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    beside.write_text(json.dumps(content, indent=1) + "\n")
    os.replace(beside, path)


def _given(words: list[str]) -> dict[str, str]:
    given = {}
    for word in words:
        key, sign, value = word.partition("=")
        if not sign:
            raise ValueError(f"{word!r} is not of the form name=value (see --help)")
        if key not in OPTIONS and not key.startswith(("benchmark.", "slurm.")):
            raise ValueError(unknown("setting", key, OPTIONS))
        given[key] = value
    return given


def _benchmark(given: dict[str, str]) -> tuple[str, dict[str, Any]]:
    """Name and options of the benchmark; a protocol brings those that it fixes."""
    rule = protocols.find(given["protocol"]) if "protocol" in given else None
    name = given.get("benchmark", rule.benchmark if rule else "")
    if not name:
        raise ValueError(f"say which: benchmark=NAME (known: {', '.join(BENCHMARKS)}) or protocol=NAME")
    if name not in BENCHMARKS:
        raise ValueError(unknown("benchmark", name, BENCHMARKS))
    if rule is not None and rule.benchmark != name:
        raise ValueError(f"protocol={rule} is a rule for benchmark={rule.benchmark}, not for benchmark={name}")
    known = {field.name: field for field in fields(SETTINGS[name])}
    options = {**rule.options, "tasks": rule.tasks} if rule else {}
    for key, text in given.items():
        setting = key.removeprefix("benchmark.")
        if key.startswith("benchmark."):
            if setting not in known:
                raise ValueError(unknown(f"setting of benchmark {name}", setting, known))
            options[setting] = _value(known[setting], text)
    if "stage" in given:
        if "stage" not in known:
            raise ValueError(f"stage={given['stage']}: benchmark {name} is small and has no copy elsewhere")
        options["stage"] = given["stage"]
    return name, options


def _value(setting: Field, text: str) -> Any:
    """The text as the setting's kind; what is no such thing stays a text, which the benchmark refuses."""
    for kind in (int, float):
        if setting.type in (kind, float):
            try:
                return kind(text)
            except ValueError:
                continue
    return text


def _number(name: str, text: str, least: int) -> int:
    if not text.isdecimal() or int(text) < least:
        raise ValueError(f"{name}={text}: a whole number from {least} on is wanted")
    return int(text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
