"""One run, top to bottom: stream -> phases -> steps, memory and accuracy after each experience, a record at the end."""

import concurrent.futures
import json
import multiprocessing
import os
import random
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.stream import Experience, Stream
from harness import checkpoint, record
from harness.context import Context
from harness.data import CurrentExperience, Plan, batches
from harness.drift import Drift
from harness.evaluate import Evaluation
from harness.memory import MemoryMeter
from methods.base import Method, Phase

Progress = Callable[[dict[str, Any]], None]
LINES = ("experiences.jsonl", "steps.jsonl")


def run(config: dict[str, Any], folder: Path, progress: Progress = lambda position: None) -> dict[str, Any]:
    """Carry out or continue one run in its folder and return its record. Raises what made it fail."""
    torch.set_num_threads(config["execution"]["threads"])
    if config["execution"]["strict_state"]:
        return run_in_pieces(config, folder)
    with torch.random.fork_rng():
        return Run(config, folder, progress).to_the_end()


def run_in_pieces(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """A new process for each experience, which knows only what the one before it saved."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["harness.train"])
    while not (folder / "record.json").exists():
        with concurrent.futures.ProcessPoolExecutor(1, mp_context=context) as pool:
            pool.submit(one_piece, config, folder).result()
    return json.loads((folder / "record.json").read_text())


def one_piece(config: dict[str, Any], folder: Path) -> None:
    """Go on from the saved state to the next boundary, or write the record after the last one."""
    torch.set_num_threads(config["execution"]["threads"])
    run = Run(config, folder)
    if run.position["experience"] == len(run.experiences()):
        run.finish()
    else:
        run.next_experience()


class Run:
    """The loop and its meters; `state()` between two steps is all that a new process needs."""

    def __init__(self, config: dict[str, Any], folder: Path, progress: Progress = lambda position: None):
        self.config, self.folder, self.progress = config, folder, progress
        seed = config["seed"]
        torch.manual_seed(seed)
        np.random.seed(seed)
        random.seed(seed)
        context = Context(config)
        self.context, self.stream, self.device = context, context.stream, context.device
        self.method = context.method()
        self.evaluation = Evaluation(context.stream, context.items(), context.reader, self.device)
        budget, count = context.spec.budget, context.spec.count
        self.memory = MemoryMeter(budget, count, self.method.bound)
        self.drift = Drift(self.stream.n_experiences, context.reader, seed, self.device)
        self.work: dict[str, dict[str, int]] = {"steps": {}, "samples": {}}
        self.seconds = {"total": 0.0, "by_phase": {}, "evaluate": 0.0, "drift": 0.0, "cpu_total": 0.0}
        self.position = {"experience": 0, "phase": 0, "step": 0}
        self.restarts = 0
        self.own_ids: set[int] = set()  # sample ids of the current experience
        self.clock, self.saved_at = Clock("start"), time.monotonic()
        self._resume()

    def to_the_end(self) -> dict[str, Any]:
        while self.position["experience"] < len(self.experiences()):
            self.next_experience()
        return self.finish()

    def next_experience(self) -> None:
        number = self.position["experience"]
        self.one_experience(self.experiences()[number])
        self.position = {"experience": number + 1, "phase": 0, "step": 0}
        self.save()

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

    def one_experience(self, experience: CurrentExperience) -> None:
        self.own_ids = set(experience.clips.rows.tolist())
        phases = self.method.phases(experience)
        for number in range(self.position["phase"], len(phases)):
            self.position["phase"] = number
            self.one_phase(experience, phases[number])
            self.position["step"] = 0
        for name in self.method.scratch:
            getattr(self.method, name).clear()
        if experience.is_pretraining:
            self.method.end_pretraining()
        experience.close()
        self.memory.measure(self.method, experience, None, "boundary", self.own_ids)
        if not experience.is_pretraining:
            self.measure(experience)

    def one_phase(self, experience: CurrentExperience, phase: Phase) -> None:
        source = phase.data()
        plan = Plan(phase, len(source), (self.config["seed"], experience.current_experience, phase.name))
        steps = self.method.phase_steps = plan.n_steps(experience.n_merged)
        done = self.position["step"]
        self.clock = Clock(phase.name)
        if done == 0:
            if phase.start is not None:
                phase.start()
            self.memory.measure(self.method, experience, phase.name, "start", self.own_ids)
        workers = self.config["execution"].get("loader_workers", 0)
        for step, batch in enumerate(batches(source, plan, done, steps, workers), start=done):
            with self.precision(), located(self.method, experience, phase, step):
                log = phase.step(batch) or {}
            self.position["step"] = step + 1
            self.count(phase.name, len(batch) + int(log.get("replayed", 0)))
            self.log(experience, phase, step, steps, log)
            if time.monotonic() - self.saved_at > 60 * self.config["execution"]["checkpoint"]["minutes"]:
                self.save()
        self.memory.measure(self.method, experience, phase.name, "end", self.own_ids)
        self.method.optimiser = None
        self.clock.add(self.seconds)
        if phase.name == "compressor" and not experience.is_pretraining:
            self.measure_drift(experience, "before")

    def measure(self, experience: CurrentExperience) -> None:
        """Accuracy and drift at the end of an experience, and its line in experiences.jsonl."""
        self.measure_drift(experience, "after")
        self.clock = Clock("evaluate")
        self.evaluation.measure(self.method, experience.current_experience)
        self.clock.add(self.seconds)
        fields = self.evaluation.fields()
        i = experience.current_experience
        line = {"experience": i, "accuracy": fields["accuracy"][i], "counts": fields["counts"][i],
                "memory": self.memory.rows[-1], "drift": {k: v[i] for k, v in self.drift.series.items()}}  # fmt: skip
        append(self.folder / "experiences.jsonl", line)

    def measure_drift(self, experience: CurrentExperience, at: str) -> None:
        self.clock = Clock("drift")
        self.drift.measure(self.method, experience.current_experience, at, self.own_ids)
        self.clock.add(self.seconds)

    def precision(self) -> Any:
        if self.config["precision"] == "float32":
            return nullcontext()
        return torch.autocast(torch.device(self.device).type, dtype=torch.bfloat16)

    def count(self, phase: str, samples: int) -> None:
        self.work["steps"][phase] = self.work["steps"].get(phase, 0) + 1
        self.work["samples"][phase] = self.work["samples"].get(phase, 0) + samples

    def log(self, experience: CurrentExperience, phase: Phase, step: int, steps: int, log: dict[str, float]) -> None:
        i = experience.current_experience
        position = {"experience": i, "n_experiences": self.stream.n_experiences, "phase": phase.name, "step": step + 1,
                    "steps": steps, "loss": log.get("loss")}  # fmt: skip
        self.progress(position)
        if log and (step % self.config["execution"]["log"]["every"] == 0 or step + 1 == steps):
            append(self.folder / "steps.jsonl", {**position, **log})

    # --- state -------------------------------------------------------------------------------------------------------

    def save(self) -> None:
        """Save everything a new process needs to go on from here, between two steps."""
        self.clock.add(self.seconds)
        content = {
            "position": self.position, "method": self.method.state(), "generator": self.method.generator.get_state(),
            "global": checkpoint.global_generators(), "work": self.work, "seconds": self.seconds,
            "memory": self.memory.rows, "first_live": self.memory.first_live, "drift": self.drift.series,
            "prediction": torch.from_numpy(self.evaluation.prediction), "restarts": self.restarts,
            "prediction_within_task": torch.from_numpy(self.evaluation.prediction_within_task),
            "lines": {name: size(self.folder / name) for name in LINES},
        }  # fmt: skip
        checkpoint.save(self.folder / "checkpoint", content)
        self.saved_at = time.monotonic()

    def _resume(self) -> None:
        saved = checkpoint.load(self.folder / "checkpoint")
        if saved is None:
            for name in LINES:
                (self.folder / name).unlink(missing_ok=True)
            return
        for name, length in saved["lines"].items():
            if (self.folder / name).exists():
                os.truncate(self.folder / name, length)  # what was written after the checkpoint is done again
        self.method.load(saved["method"])
        self.method.generator.set_state(saved["generator"])
        checkpoint.set_global_generators(saved["global"])
        self.position, self.work, self.seconds = saved["position"], saved["work"], saved["seconds"]
        self.memory.rows, self.memory.first_live = saved["memory"], saved["first_live"]
        self.drift.series, self.restarts = saved["drift"], saved["restarts"] + 1
        self.evaluation.prediction = saved["prediction"].numpy()
        self.evaluation.prediction_within_task = saved["prediction_within_task"].numpy()

    def finish(self) -> dict[str, Any]:
        """Write predictions.npz and record.json; of the checkpoint stays what `checkpoint.keep` says."""
        self.evaluation.write(self.folder / "predictions.npz", self.context.table)
        buffer = getattr(self.method, "buffer", None)
        memory = self.memory.summary() | {
            "clips_stored": None if buffer is None else len(buffer),
            "capacity": None if self.method.bound else getattr(buffer, "capacity", None),
            "peak_process": record.peak_process_bytes(),
        }
        content = {
            **self.context.fields(), **self.evaluation.fields(), "memory": memory, "work": self.work,
            "drift": self.drift.series, "bad_files": [],
            **record.circumstance(self.config, self.device, self.restarts, self.seconds),
        }  # fmt: skip
        record.write(self.folder, content)
        live = {name: module.state_dict() for name, module in self.method.live().items()}
        checkpoint.end(self.folder / "checkpoint", self.config["execution"]["checkpoint"]["keep"], live)
        return content


class Clock:
    """Wall and processor seconds of a phase, of evaluation or of drift, since it was last added up."""

    def __init__(self, what: str):
        self.what, self.wall, self.cpu = what, time.perf_counter(), time.process_time()

    def add(self, seconds: dict[str, Any]) -> None:
        wall, cpu = time.perf_counter() - self.wall, time.process_time() - self.cpu
        if self.what in ("evaluate", "drift"):
            seconds[self.what] += wall
        else:
            seconds["by_phase"][self.what] = seconds["by_phase"].get(self.what, 0.0) + wall
        seconds["total"] += wall
        seconds["cpu_total"] += cpu
        self.wall, self.cpu = self.wall + wall, self.cpu + cpu


class located:
    """Adds method, experience, phase and step to a loss that is not finite."""

    def __init__(self, method: Method, experience: CurrentExperience, phase: Phase, step: int):
        self.where = (
            f"method {method.name}, experience {experience.current_experience}, phase {phase.name}, step {step}"
        )

    def __enter__(self) -> None: ...

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if isinstance(error, FloatingPointError):
            raise FloatingPointError(f"{self.where}: {error}") from error


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


def size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def append(path: Path, line: dict[str, Any]) -> None:
    with open(path, "a") as file:
        file.write(json.dumps(line) + "\n")
