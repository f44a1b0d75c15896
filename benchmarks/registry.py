"""What can be run: the benchmarks by name, and what each must offer. Imports nothing heavy."""

import dataclasses
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.benchmark import Benchmark
from benchmarks.settings import BUILT_IN, BenchmarkSettings
from harness.common.registry import Registry
from harness.common.words import unknown


class BenchmarkSource(ABC):
    """One kind of benchmark, as it is registered: `@BENCHMARKS.register("NAME")` before a class derived from this.

    Its docstring's first line is shown by harness.list; `Settings` declares what is set as benchmark.SETTING=VALUE.
    """

    Settings: type[BenchmarkSettings] = BenchmarkSettings

    def __init__(self, name: str, settings: Any, cache: Path) -> None:
        """`settings` are of the class `Settings`; `cache` is a folder for what takes time to make."""
        self.name, self.settings, self.cache = name, settings, cache

    @abstractmethod
    def describe(self) -> Benchmark:
        """The benchmark without its frames (`reader` is None): writes and decodes nothing."""

    @abstractmethod
    def load(self, workers: int) -> Benchmark:
        """The benchmark with its frames ready; what the cache folder lacks is written first by `workers` processes."""

    def part(self, benchmark: Benchmark) -> Benchmark:
        """The classes and clips that `benchmark.classes` and `benchmark.limit` ask for; all without them."""
        if not self.settings.is_part:
            return benchmark
        from benchmarks.part import part_of_benchmark  # imports pandas, which a list of names can do without

        return part_of_benchmark(benchmark, self.settings)


BENCHMARKS: Registry[type[BenchmarkSource]] = Registry("benchmark", "benchmarks.registry:BenchmarkSource")
for _name, _settings in BUILT_IN.items():
    _class = "".join(word.title() for word in _name.split("_"))
    _summary = (_settings.__doc__ or "").partition("\n")[0]
    BENCHMARKS.add(_name, f"benchmarks.{_name}:{_class}", _summary, builtin=True)


class _Settings(Mapping[str, type[BenchmarkSettings]]):
    """The settings class of each benchmark; that of a built-in one costs no import of the benchmark."""

    def __getitem__(self, name: str) -> type[BenchmarkSettings]:
        return BUILT_IN[name] if name in BUILT_IN else BENCHMARKS.get(name).Settings

    def __contains__(self, name: object) -> bool:
        return name in BENCHMARKS

    def __iter__(self) -> Iterator[str]:
        return iter(BENCHMARKS)

    def __len__(self) -> int:
        return len(BENCHMARKS)


SETTINGS = _Settings()


def default_cache() -> Path:
    """Where videos and decoded frames lie: $VIDEO_CL_CACHE, else ~/.cache/video-cl-harness."""
    return Path(os.environ.get("VIDEO_CL_CACHE") or Path.home() / ".cache" / "video-cl-harness")


def parse(name: str, options: Mapping[str, Any]) -> Any:
    """The checked settings of benchmark `name`; the key `name` in `options` is passed over.

    Raises:
        ValueError: the benchmark or an option is unknown, or a value is not allowed.
    """
    if name not in BENCHMARKS:
        raise ValueError(BENCHMARKS.unknown(name))
    allowed = [field.name for field in dataclasses.fields(SETTINGS[name])]
    given = {key: value for key, value in options.items() if key != "name"}
    for key in given:
        if key not in allowed:
            raise ValueError(unknown(f"setting of benchmark {name}", key, allowed))
    return SETTINGS[name](**given)


def source(name: str, options: Mapping[str, Any], cache: Path | None = None) -> BenchmarkSource:
    """The benchmark called `name` with these options; nothing is read or written yet."""
    settings = parse(name, options)
    return BENCHMARKS.get(name)(name, settings, Path(cache or default_cache()))


def describe(name: str, options: Mapping[str, Any], cache: Path | None = None) -> Benchmark:
    """The benchmark without its frames (`reader` is None): writes and decodes nothing."""
    found = source(name, options, cache)
    return found.part(found.describe())


def load(name: str, options: Mapping[str, Any], cache: Path | None = None, workers: int = 1) -> Benchmark:
    """The benchmark with its frames ready; what the cache folder lacks is written first by `workers` processes."""
    found = source(name, options, cache)
    return found.part(found.load(workers))
