"""What a run is made of and keeps: its method, meters and position; saving, resuming, and the record at the end."""

import math
import random
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch

from harness.common import sources
from harness.common.files import sync_file
from harness.common.machine import give_memory_back
from harness.config.run_config import RunConfig
from harness.launching.signals import Interrupted, Stop
from harness.loggers.telling import Loggers
from harness.storage import checkpoint, record
from harness.training import own_code
from harness.training.context import Context
from harness.training.counted import Counted
from harness.training.drift import Drift
from harness.training.evaluation import Evaluation
from harness.training.experiences import CurrentExperience, experiences_of
from harness.training.filmstrip import Filmstrip
from harness.training.journal import Journal, Progress, silent
from harness.training.memory import MemoryMeter, stored_ids
from harness.training.numbers import Numbers, checked
from harness.training.readings import Taken, on_host
from methods.contract import Phase


class RunState:
    """Everything that the loop works on; what it knows between two steps is in its checkpoint."""

    METERS = ("evaluation", "memory", "drift", "filmstrip", "journal", "numbers", "counted")
    WHEN_STOPPED = "it is saved and can go on"

    def __init__(self, config: RunConfig, folder: Path, progress: Progress = silent, stop: Stop | None = None):
        self.config, self.folder, self.stop = config, folder, stop or Stop()
        self.execution, seed = config.execution, config.seed
        torch.manual_seed(seed)
        np.random.seed(seed)
        random.seed(seed)
        with self.stop.at_once():  # videos may have to be made
            self.context = context = Context(config)
        record.check_known(context.fields())  # a name that no record can hold costs no training
        self.stream, self.method = context.stream, context.method()
        self.evaluation = Evaluation(
            context.stream, context.items(), context.reader, context.device, context.table, seed
        )
        self.experiences = experiences_of(context, self.method.joint)
        self.memory = MemoryMeter(self.method, config.memory.enforce)
        self.counted = Counted(self.method)
        trained = np.concatenate([experience.clips.rows for experience in self.experiences])
        self.drift = Drift(self.stream.n_experiences, context.reader, seed, context.device, trained)
        self.filmstrip = Filmstrip(self.execution.log.filmstrip, self.stream.n_experiences, context.reader)
        self.numbers = Numbers(self.stream.n_experiences)
        self.loggers = Loggers(folder, config.plain())
        self.journal = Journal(folder, self.execution.log.every, progress, self.loggers.line)
        self.position = {"experience": 0, "phase": 0, "step": 0}
        self.unread: list[Taken] = []
        self.saved_at = time.monotonic()
        sources.git_state(), sources.uncommitted()  # as they are now, not at the end
        self.sources = [sources.sources_hash()]
        self.checkpoints = checkpoint.Checkpoints(folder / "checkpoint", self.own_id(), self.sources[0])
        self.resume()
        self.loggers.begin()

    def own_id(self) -> str:
        """The run id that config and clip table make; ValueError where the folder is another run's."""
        made = self.config.run_id(self.context.benchmark.clips_hash)
        if (self.folder / "config.json").exists() and self.folder.name != made:
            raise ValueError(
                f"{self.folder / 'config.json'} asks for run {made}, not for the run of its folder: "
                "it, or the annotations, were changed; ask for the run again"
            )
        return made

    def end_experience(self, experience: CurrentExperience) -> None:
        """Ask for the method's report, drop what is local to the task, close the clips; measure memory and drift."""
        self.numbers.report(self.method, experience)
        self.method.end_experience()
        give_memory_back()
        if experience.is_pretraining:
            if stored_ids(self.method) & experience.own_ids:
                raise ValueError(
                    f"method {self.method.name} stores clips of the pre-training part, whose classes are not streamed: "
                    "leave the phase that stores out where experience.is_pretraining"
                )
            self.method.end_pretraining()
        experience.close()
        self.memory.measure(self.method, experience, None, "boundary")
        if not experience.is_pretraining:
            self.measure_drift(experience, "after")

    def step_taken(self, taken: Taken) -> None:
        """Note a step. What it returned is read now, or every `log.every` steps and at the phase's end on a GPU."""
        self.unread.append(taken)
        if not taken.on_gpu or len(self.unread) >= self.journal.every or taken.step + 1 == taken.steps:
            self.read_steps()

    def read_steps(self) -> None:
        """Count and write down the steps not yet read. FloatingPointError for a loss that is not finite."""
        unread, self.unread = self.unread, []
        for taken, log in zip(unread, on_host(unread), strict=True):
            experience, phase = taken.experience, taken.phase
            with self.located(experience, phase, taken.step):
                numbers = checked(log, f"method {self.method.name}: what a step of phase {phase.name} logs")
                self.numbers.log(experience.current_experience, numbers)
                loss = numbers.get("loss")
                if loss is not None and not math.isfinite(loss):
                    raise FloatingPointError(f"the loss is {loss}")
            place = self.place(experience, phase.name, taken.step + 1, taken.steps, loss)
            self.journal.step(place, taken.n_batch, numbers)

    def place(
        self, experience: CurrentExperience, phase: str, step: int, steps: int, loss: float | None
    ) -> dict[str, Any]:
        """Where the run stands, for progress and steps.jsonl."""
        return {"experience": experience.current_experience, "n_experiences": self.stream.n_experiences,
                "phase": phase, "step": step, "steps": steps, "loss": loss}  # fmt: skip

    def evaluate(self, i: int) -> None:
        """Accuracy after experience `i`, a part of the items a step; a line of what was measured."""
        self.journal.clock("evaluate")
        self.counted.enter("evaluate")
        for done, parts in self.evaluation.measure(self.method, i, self.position["step"]):
            self.position["step"] = done
            self.counted.clips = min(done * self.method.spec.chunk, len(self.evaluation.order(i)))
            self.journal.progress({"experience": i, "n_experiences": self.stream.n_experiences, "phase": "evaluate",
                                   "step": done, "steps": parts, "loss": None})  # fmt: skip
            self.save_if_due(self.execution.checkpoint.minutes)
        self.counted.evaluated()
        self.journal.add_time()
        fields = self.evaluation.fields()
        self.journal.experience({
            "experience": i, "accuracy": fields["accuracy"][i], "counts": fields["counts"][i],
            "memory": self.memory.rows[-1], "drift": {name: series[i] for name, series in self.drift.series.items()},
        })  # fmt: skip

    def measure_drift(self, experience: CurrentExperience, at: str) -> None:
        self.journal.clock("drift")
        self.drift.measure(self.method, experience.current_experience, at, experience.own_ids)
        if at == "after":
            self.filmstrip.measure(self.method, experience.current_experience)
        self.journal.add_time()

    def precision(self) -> AbstractContextManager[Any]:
        """Autocast, where the run is asked for in bfloat16."""
        if self.config.precision == "float32":
            return nullcontext()
        # Its cache of cast weights would keep those from before an optimiser's step until the context ends.
        return torch.autocast(torch.device(self.context.device).type, torch.bfloat16, cache_enabled=False)

    @contextmanager
    def located(self, experience: CurrentExperience, phase: Phase, step: int) -> Iterator[None]:
        """Adds method, experience, phase and step to a loss that is not finite."""
        try:
            yield
        except FloatingPointError as error:
            where = f"experience {experience.current_experience}, phase {phase.name}, step {step}"
            raise FloatingPointError(f"method {self.method.name}, {where}: {error}") from error

    def save_if_due(self, minutes: float) -> None:
        """Save if the last time was `minutes` ago, or if the run is asked to stop; then this raises Interrupted."""
        stop = self.stop()
        if stop or time.monotonic() - self.saved_at >= 60 * minutes:
            self.save()
        if stop:
            raise Interrupted(f"stopped between two steps; {self.WHEN_STOPPED}")

    def save(self) -> None:
        """Save everything a new process needs to go on from here, between two steps."""
        self.read_steps()
        state = self.method.state()
        if self.position["phase"] == self.position["step"] == 0:
            self.memory.check_same(self.method, state)
        content = {
            "position": self.position,
            "method": state,
            "generator": self.method.generator.get_state(),
            "global": checkpoint.global_generators(),
            "sources": self.sources,
            **{name: getattr(self, name).state() for name in self.METERS},
        }
        stores = {
            name: store for name, store in vars(self.method).items() if name in state and hasattr(store, "changes")
        }
        changes = {("method", name, key): change for name, store in stores.items()
                   for key, change in store.changes().items()}  # fmt: skip
        self.checkpoints.save(content, changes)
        self.saved_at = time.monotonic()

    def resume(self) -> None:
        """Go on from the last checkpoint, if there is one that fits."""
        saved = self.checkpoints.load(force=self.execution.checkpoint.resume == "force")
        if saved is None:
            self.journal.begin()
            return
        try:
            self.method.load(saved["method"])
            self.method.generator.set_state(saved["generator"])
            checkpoint.set_global_generators(saved["global"])
            self.position = {name: int(saved["position"][name]) for name in ("experience", "phase", "step")}
            self.sources = list(dict.fromkeys([*saved["sources"], *self.sources]))
            for name in self.METERS:
                getattr(self, name).load(saved[name])
        except (KeyError, IndexError, TypeError, ValueError, AttributeError, RuntimeError) as error:
            what = f"{type(error).__name__}: {' '.join(str(error).split())}"
            raise ValueError(f"the checkpoint in {self.folder / 'checkpoint'} does not fit this run: {what}") from error

    def finish(self) -> dict[str, Any]:
        """Write predictions.npz and record.json; of the checkpoint stays what `checkpoint.keep` says."""
        self.evaluation.write(self.folder / "predictions.npz")
        self.filmstrip.write(self.folder / "filmstrip.npz", self.context.table)
        journal, buffer = self.journal, getattr(self.method, "buffer", None)
        memory = self.memory.summary() | {
            "clips_stored": None if buffer is None else len(buffer),
            "capacity": None if self.method.bound else getattr(buffer, "capacity", None),
            "peak_process": record.peak_process_bytes(),
        }
        content = {
            **self.context.fields(), **self.evaluation.fields(), "memory": memory,
            "work": journal.work, "counted": self.counted.fields(), "reference_live": self.context.reference_bytes(),
            "drift": self.drift.series, **self.numbers.fields(), "bad_files": list(self.context.benchmark.bad),
            **record.circumstance(self.config.plain(), self.context.device, journal.restarts, journal.seconds),
        }  # fmt: skip
        if imports := self.context.imports():
            content["plugin_imports"] = imports
        if changed := own_code.changed():
            content["changed_code"] = changed
        if len(self.sources) > 1:  # checkpoint.resume=force
            content["earlier_sources"] = self.sources[:-1]
        sync_file(self.folder / "predictions.npz")
        content = record.write(self.folder, content)
        live = {name: module.state_dict() for name, module in self.method.live().items()}
        self.checkpoints.end(self.execution.checkpoint.keep, live)
        self.loggers.end()
        return content
