"""The training loop: experiences, phases, steps. A method's table of phases says what each step does.

How to read this: `run` walks the experiences, `one_experience` the method's phases, `one_phase` the steps. A run may be
cut off between any two steps and goes on there, so each loop begins at the position that the last checkpoint holds.
What is measured on the way is called by name: memory, drift, accuracy (harness/training/run_state.py).
"""

from typing import Any

from harness.common.machine import give_memory_back
from harness.training.batches import Plan, batches
from harness.training.experiences import CurrentExperience
from harness.training.readings import Taken
from harness.training.run_state import RunState
from methods.contract import Phase

EVALUATE = -1  # the place of evaluation among the phases of an experience


class Run(RunState):
    """A run whose method is a table of phases."""

    def to_the_end(self) -> dict[str, Any]:
        """Walk the experiences that are left and return the record."""
        while self.position["experience"] < len(self.experiences):
            self.next_experience()
        return self.finish()

    def next_experience(self) -> None:
        """Walk the phases of one experience that are left, then evaluate and save."""
        number = self.position["experience"]
        experience = self.experiences[number]
        if self.position["phase"] != EVALUATE:
            phases = self.method.phases(experience)
            for k in range(self.position["phase"], len(phases)):
                self.position["phase"] = k
                self.one_phase(experience, phases[k])
                self.position["step"] = 0
            self.end_experience(experience)
            self.position["phase"] = EVALUATE
        if not experience.is_pretraining:
            self.evaluate(experience.current_experience)
        self.position = {"experience": number + 1, "phase": 0, "step": 0}
        self.save_if_due(minutes=0)

    def one_phase(self, experience: CurrentExperience, phase: Phase) -> None:
        """Take the steps of one phase that are left."""
        source, done = phase.data(), self.position["step"]
        plan = Plan.of(phase, source, (self.config.seed, experience.current_experience, phase.name))
        steps = self.method.phase_steps = plan.n_steps(experience.n_merged)  # before start, which makes the optimizer
        self.journal.phase(phase.name, phase.kind)
        self.counted.phase(phase)
        if done == 0:
            if phase.start is not None:
                phase.start()  # once, never again on resume
                self.counted.watch()
            self.memory.measure(self.method, experience, phase.name, "start")
        for step, batch in enumerate(batches(source, plan, done, steps, self.execution.loader_workers), start=done):
            with self.precision(), self.located(experience, phase, step):
                log = phase.step(batch)
            self.position["step"] = step + 1
            self.step_taken(Taken(experience, phase, step, steps, len(batch), log or {}))
            self.save_if_due(self.execution.checkpoint.minutes)
        self.memory.measure(self.method, experience, phase.name, "end")
        self.method.optimizer = None
        give_memory_back()
        self.journal.add_time()
        if phase.kind == "compressor" and not experience.is_pretraining:
            self.measure_drift(experience, "before")
