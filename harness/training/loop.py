"""One run, top to bottom: stream -> phases -> steps, memory and accuracy after each experience, a record at the end."""

import concurrent.futures
import json
import math
import multiprocessing
import random
import time
from collections.abc import Callable
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.stream import Experience, Stream
from harness.common import plugins, sources
from harness.common.files import sync_file
from harness.config.schema import PRELOAD, run_id
from harness.launching.signals import Interrupted, Stop
from harness.storage import checkpoint, record
from harness.training.batches import CurrentExperience, Plan, batches
from harness.training.context import Context, plugin_file
from harness.training.drift import Drift
from harness.training.evaluation import Evaluation
from harness.training.filmstrip import Filmstrip
from harness.training.journal import Journal
from harness.training.memory import MemoryMeter, stored_ids
from methods import find
from methods.contract import Phase
from methods.shared.settings import steps_of

Progress = Callable[[dict[str, Any]], None]
EVALUATE = -1  # the place of evaluation among the phases of an experience


def silent(position: dict[str, Any]) -> None:
    """Tell nobody."""


def run(config: dict[str, Any], folder: Path, progress: Progress = silent, stop: Stop | None = None) -> dict[str, Any]:
    """Carry out or continue one run in its folder and return its record. Raises what made it fail.

    Once `stop()` is true, the run is saved between two steps and Interrupted is raised.
    """
    stop = stop or Stop()
    torch.set_num_threads(config["execution"]["threads"])
    plugins.load([plugin_file(plugin) for plugin in config["plugins"]])  # a new process knows none yet
    opaque = find(config["method"]["name"]).opaque
    if config["execution"]["strict_state"] and not opaque:
        return run_in_pieces(config, folder, stop)
    with torch.random.fork_rng():
        return (OpaqueRun if opaque else Run)(config, folder, progress, stop).to_the_end()


class Run:
    """The loop over experiences, phases and steps. What it knows between two steps is in its checkpoint."""

    METERS = ("evaluation", "memory", "drift", "filmstrip", "journal")
    WHEN_STOPPED = "it is saved and can go on"

    def __init__(self, config: dict[str, Any], folder: Path, progress: Progress = silent, stop: Stop | None = None):
        self.config, self.folder, self.stop = config, folder, stop or Stop()
        self.execution, seed = config["execution"], config["seed"]
        torch.manual_seed(seed)
        np.random.seed(seed)
        random.seed(seed)
        with self.stop.at_once():  # videos may have to be made
            self.context = context = Context(config)
        self.stream, self.method = context.stream, context.method()
        self.evaluation = Evaluation(context.stream, context.items(), context.reader, context.device, context.table)
        self.memory = MemoryMeter(context.spec.budget, context.spec.count, self.method.bound)
        self.drift = Drift(self.stream.n_experiences, context.reader, seed, context.device)
        self.filmstrip = Filmstrip(self.execution["log"]["filmstrip"], self.stream.n_experiences, context.reader)
        self.journal = Journal(folder, self.execution["log"]["every"], progress)
        self.position = {"experience": 0, "phase": 0, "step": 0}
        self.saved_at = time.monotonic()
        sources.git_state(), sources.uncommitted()  # as they are now, not at the end
        self.sources = [sources.sources_hash()]
        self.checkpoints = checkpoint.Checkpoints(folder / "checkpoint", self.own_id(), self.sources[0])
        self.resume()

    def own_id(self) -> str:
        """The run id that config and clip table make; ValueError where the folder is another run's."""
        made = run_id(self.config, self.context.benchmark.clips_hash)
        if (self.folder / "config.json").exists() and self.folder.name != made:
            raise ValueError(
                f"{self.folder / 'config.json'} asks for run {made}, not for the run of its folder: "
                "it, or the annotations, were changed; ask for the run again"
            )
        return made

    def to_the_end(self) -> dict[str, Any]:
        while self.position["experience"] < len(self.experiences()):
            self.next_experience()
        return self.finish()

    def next_experience(self) -> None:
        number = self.position["experience"]
        experience = self.experiences()[number]
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
        source = phase.data()
        key = (self.config["seed"], experience.current_experience, phase.name)
        plan = Plan(phase, len(source), key, augmented=getattr(source, "augmentation", None) is not None)
        steps = self.method.phase_steps = plan.n_steps(experience.n_merged)
        done = self.position["step"]
        self.journal.clock(phase.name)
        if done == 0:
            if phase.start is not None:
                phase.start()  # once, never again on resume
            self.memory.measure(self.method, experience, phase.name, "start")
        for step, batch in enumerate(batches(source, plan, done, steps, self.execution["loader_workers"]), start=done):
            with self.precision(), self.located(experience, phase, step):
                log = phase.step(batch) or {}
                if not math.isfinite(log.get("loss", 0.0)):  # of a method that does not use self.optimize
                    raise FloatingPointError(f"the loss is {log['loss']}")
            self.position["step"] = step + 1
            where = {"experience": experience.current_experience, "n_experiences": self.stream.n_experiences,
                     "phase": phase.name, "step": step + 1, "steps": steps, "loss": log.get("loss")}  # fmt: skip
            self.journal.step(where, int(log.get("samples", len(batch))), log)
            self.save_if_due(self.execution["checkpoint"]["minutes"])
        self.memory.measure(self.method, experience, phase.name, "end")
        self.method.optimizer = None
        self.journal.add_time()
        if phase.kind == "compressor" and not experience.is_pretraining:
            self.measure_drift(experience, "before")

    def end_experience(self, experience: CurrentExperience) -> None:
        """What is local to the task and the clips go; then memory and drift are measured."""
        self.method.end_experience()
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

    def evaluate(self, i: int) -> None:
        """Accuracy after experience `i`, a part of the items a step; a line of what was measured."""
        self.journal.clock("evaluate")
        for done, parts in self.evaluation.measure(self.method, i, self.position["step"]):
            self.position["step"] = done
            self.journal.progress({"experience": i, "n_experiences": self.stream.n_experiences, "phase": "evaluate",
                                   "step": done, "steps": parts, "loss": None})  # fmt: skip
            self.save_if_due(self.execution["checkpoint"]["minutes"])
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

    def experiences(self) -> list[CurrentExperience]:
        """What the method gets, in order; a joint method gets the whole stream as one experience."""
        parts: list[tuple[Experience, int]] = [(e, 1) for e in self.stream.train_stream]
        if self.method.joint:
            parts = [(merged(self.stream), self.stream.n_experiences)]
        if self.stream.pretraining is not None:
            parts.insert(0, (self.stream.pretraining, 1))
        n = self.stream.n_experiences
        return [
            CurrentExperience(e, n, self.context.clips(e), opens_run=k == 0, n_merged=merged_from)
            for k, (e, merged_from) in enumerate(parts)
        ]

    def precision(self) -> Any:
        if self.config["precision"] == "float32":
            return nullcontext()
        # Its cache of cast weights would keep those from before an optimizer's step until the context ends.
        return torch.autocast(torch.device(self.context.device).type, torch.bfloat16, cache_enabled=False)

    @contextmanager
    def located(self, experience: CurrentExperience, phase: Phase, step: int) -> Any:
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
        state = self.method.state()
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
        saved = self.checkpoints.load(force=self.execution["checkpoint"].get("resume") == "force")
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
            **self.context.fields(), **self.evaluation.fields(), "memory": memory, "work": journal.work,
            "drift": self.drift.series, "bad_files": list(self.context.benchmark.bad),
            **record.circumstance(self.config, self.context.device, journal.restarts, journal.seconds),
        }  # fmt: skip
        if len(self.sources) > 1:  # checkpoint.resume=force
            content["earlier_sources"] = self.sources[:-1]
        sync_file(self.folder / "predictions.npz")
        record.write(self.folder, content)
        live = {name: module.state_dict() for name, module in self.method.live().items()}
        self.checkpoints.end(self.execution["checkpoint"]["keep"], live)
        return content


class OpaqueRun(Run):
    """A method with a training loop of its own: nothing is saved on the way, so a run that is cut off starts again."""

    PHASE = "classifier"
    WHEN_STOPPED = "it starts again"

    def next_experience(self) -> None:
        number = self.position["experience"]
        experience = self.experiences()[number]
        steps = steps_of(self.context.spec.classifier, len(experience.clips))
        self.journal.clock(self.PHASE)
        self.memory.measure(self.method, experience, self.PHASE, "start")

        def report(log: dict[str, float]) -> None:
            self.position["step"] += 1
            where = {"experience": number, "n_experiences": self.stream.n_experiences, "phase": self.PHASE,
                     "step": self.position["step"], "steps": steps, "loss": log["loss"]}  # fmt: skip
            self.journal.step(where, int(log["samples"]), log)
            self.save_if_due(self.execution["checkpoint"]["minutes"])

        with self.precision():
            self.method.learn(experience, report)
        self.memory.measure(self.method, experience, self.PHASE, "end")
        self.journal.add_time()
        self.end_experience(experience)
        self.position = {"experience": number, "phase": EVALUATE, "step": 0}
        if not experience.is_pretraining:
            self.evaluate(experience.current_experience)
        self.position = {"experience": number + 1, "phase": 0, "step": 0}

    def save(self) -> None:
        self.saved_at = time.monotonic()

    def resume(self) -> None:
        self.journal.begin()


def merged(stream: Stream) -> Experience:
    """All experiences of the training stream as one, at the place of the last."""
    last = stream.train_stream[-1]
    fields = {k: v for k, v in vars(last).items() if k not in ("indices", "targets", "classes_in_this_experience")}
    return Experience(
        indices=np.concatenate([e.indices for e in stream.train_stream]),
        targets=np.concatenate([e.targets for e in stream.train_stream]),
        classes_in_this_experience=last.classes_seen_so_far,
        **fields,
    )


def run_in_pieces(config: dict[str, Any], folder: Path, stop: Stop) -> dict[str, Any]:
    """strict_state: a new process for each experience, which knows only what the one before it saved."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    while not (folder / "record.json").exists():
        with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
            pool.submit(one_piece, config, folder).result()
        if stop():
            raise Interrupted(f"stopped between two experiences; {Run.WHEN_STOPPED}")
    return json.loads((folder / "record.json").read_text())


def one_piece(config: dict[str, Any], folder: Path) -> None:
    """Go on from the saved state to the next boundary, or write the record after the last one."""
    torch.set_num_threads(config["execution"]["threads"])
    run = Run(config, folder)
    if run.position["experience"] == len(run.experiences()):
        run.finish()
    else:
        run.next_experience()
