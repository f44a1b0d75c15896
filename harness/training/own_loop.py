"""Runs of methods that bring a training loop of their own, such as the strategies of Avalanche."""

import time
from typing import Any

from harness.training.run_state import RunState
from methods.shared.settings import steps_of


class OpaqueRun(RunState):
    """A method with a training loop of its own: nothing is saved on the way, so a run that is cut off starts again."""

    PHASE = "classifier"
    WHEN_STOPPED = "it starts again"

    def to_the_end(self) -> dict[str, Any]:
        """Train on each experience from the first and return the record."""
        while self.position["experience"] < len(self.experiences):
            self.next_experience()
        return self.finish()

    def next_experience(self) -> None:
        """Let the method learn one experience, then evaluate."""
        number = self.position["experience"]
        experience = self.experiences[number]
        steps = steps_of(self.context.spec.classifier, len(experience.clips))
        self.journal.phase(self.PHASE, "classifier")
        self.counted.enter(self.PHASE)
        self.memory.measure(self.method, experience, self.PHASE, "start")

        def report(log: dict[str, float]) -> None:
            self.position["step"] += 1
            place = self.place(experience, self.PHASE, self.position["step"], steps, log["loss"])
            self.journal.step(place, int(log["samples"]), log)
            self.save_if_due(self.execution.checkpoint.minutes)

        with self.precision():
            self.method.learn(experience, report)
        self.memory.measure(self.method, experience, self.PHASE, "end")
        self.journal.add_time()
        self.end_experience(experience)
        self.position["step"] = 0
        if not experience.is_pretraining:
            self.evaluate(experience.current_experience)
        self.position = {"experience": number + 1, "phase": 0, "step": 0}

    def save(self) -> None:
        """Nothing is saved on the way."""
        self.saved_at = time.monotonic()

    def resume(self) -> None:
        """Begin from the start."""
        self.journal.begin()
