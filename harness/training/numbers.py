"""Numbers a run keeps beside its accuracy: what a method reports of an experience, and what its steps log."""

import math
from collections.abc import Mapping
from typing import Any

import torch

from methods.contract import Experience, Method
from results.record import NAME_PATTERN, is_name

NOT_LOGGED = ("loss", "samples", "rehearsal_seconds")  # they have places of their own: steps.jsonl, work and seconds


def checked(numbers: Mapping[str, Any], where: str) -> dict[str, float]:
    """Numbers by name as plain int and float; ValueError for a name or a value that no record could hold."""
    found: dict[str, float] = {}
    for name, value in numbers.items():
        if not is_name(name):
            raise ValueError(f"{where} is called {name!r}: a name is text that matches {NAME_PATTERN}")
        single = isinstance(value, torch.Tensor) and value.numel() == 1
        number = value.item() if single else value
        try:
            found[name] = number if isinstance(number, int) else float(number)
        except (TypeError, ValueError):
            raise ValueError(f"{where} {name} is {number!r:.60}: a number is expected") from None
    return found


class Numbers:
    """Series [T] by name; pre-training is not in them."""

    def __init__(self, n_experiences: int):
        self.reported: dict[str, list[float | None]] = {}
        self.logged: dict[str, list[list[float]]] = {}  # of each experience the sum and the number of values
        self.n_experiences = n_experiences

    def log(self, experience: int, log: Mapping[str, float]) -> None:
        """What a step returned, checked; values that are not finite are left out of the means."""
        if experience < 0:
            return
        for name, value in log.items():
            if name not in NOT_LOGGED and math.isfinite(value):
                series = self.logged.setdefault(name, [[0.0, 0] for _ in range(self.n_experiences)])
                series[experience][0] += value
                series[experience][1] += 1

    def report(self, method: Method, experience: Experience) -> None:
        """Ask a method for its numbers about an experience. ValueError for what is not a finite number."""
        if experience.is_pretraining:
            return
        where = f"method {method.name}, experience {experience.current_experience}: what report(experience) gives"
        for name, value in checked(method.report(experience), where).items():
            if not math.isfinite(value):
                raise ValueError(f"{where}: {name} is {value}; leave out what is not known")
            self.reported.setdefault(name, [None] * self.n_experiences)[experience.current_experience] = value

    def state(self) -> dict[str, Any]:
        return {"reported": self.reported, "logged": self.logged}

    def load(self, state: dict[str, Any]) -> None:
        self.reported, self.logged = state["reported"], state["logged"]

    def fields(self) -> dict[str, Any]:
        """reported and logged, for the record."""
        means = {name: [total / n if n else None for total, n in series] for name, series in self.logged.items()}
        return {"reported": self.reported, "logged": means}
