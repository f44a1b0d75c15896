"""Options of the benchmarks with their help texts; imports nothing heavy so that `--help` stays quick."""

from dataclasses import dataclass, field, fields
from typing import Any


def _option(default: Any, help: str) -> Any:
    return field(default=default, metadata={"help": help})


@dataclass(frozen=True)
class MovingDigitsSettings:
    """Handwritten digits moving over textured backgrounds (embedded, nothing to download)."""

    tasks: int = _option(10, "tasks (experiences) of the stream")
    actions: int = _option(40, "action classes streamed: 40 (ten blocks of four) | 20 (the first five blocks)")
    clips_per_class: int = _option(
        100, "training clips a class; validation and pre-training get a fifth of it, test two fifths"
    )
    leak: float = _option(0.0, "share of clips drawn with the background of a random block (0 to 1)")
    data_seed: int = _option(0, "seed of the digit images, their split and the videos")

    def __post_init__(self) -> None:
        for each in fields(self):
            value = getattr(self, each.name)
            wanted = (int, float) if each.name == "leak" else int
            if isinstance(value, bool) or not isinstance(value, wanted):
                kind = "a number" if each.name == "leak" else "a whole number"
                raise ValueError(f"benchmark.{each.name} must be {kind}, not {value!r}")
        # 0 and 0.0 are the same benchmark and must give the same hashes.
        object.__setattr__(self, "leak", float(self.leak))
        if self.actions not in (20, 40):
            raise ValueError(f"benchmark.actions must be 20 or 40, not {self.actions}")
        if not 0.0 <= self.leak <= 1.0:
            raise ValueError(f"benchmark.leak is a share between 0 and 1, not {self.leak}")
        for name, least in (("tasks", 1), ("clips_per_class", 1), ("data_seed", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"benchmark.{name} must be at least {least}, not {getattr(self, name)}")


SETTINGS: dict[str, type] = {"moving_digits": MovingDigitsSettings}
