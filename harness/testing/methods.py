"""A method against the contract, on a tiny stream: what harness.check prints and harness.testing asserts."""

import multiprocessing
import os
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch

from harness.config.compose import request
from harness.config.run_config import RunConfig
from harness.config.schema import PRELOAD
from harness.storage.record import comparable, differences
from harness.training.execute import run as carry_out
from harness.training.loop import Run
from harness.training.saved_state import digests
from methods import find
from methods.contract import Batch, Method
from results.schema import validate

TINY = ["preset=smoke", "benchmark.tasks=3", "memory.budget=260kB", "classifier.steps=6", "compressor.steps=6",
        "classifier.width=32"]  # a teacher, too, is far below the budget  # fmt: skip
CAUSES = (
    "Something is kept outside the state: in a global, in a closure, on the class, in an attribute that NOT_STATE "
    "names; or drawn from a generator of its own"
)
PROBE = 24  # clips that are predicted in several batches and orders
CLOSE = 1e-3  # of the range of the logits: what another batch may change by rounding
SHARE = 0.1  # of the items may change by more: a code that lies between two entries of the codebook


@dataclass(frozen=True)
class Outcome:
    """One check: what was looked at, and what is wrong or what is to be known of it; both None where all is well."""

    what: str
    problem: str | None = None
    note: str | None = None

    def __str__(self) -> str:
        if self.note:
            return f"scratch only: {self.what} {self.note}"
        return f"FAILED  {self.what}: {self.problem}" if self.problem else f"ok      {self.what}"


def asked_for(words: list[str]) -> list[RunConfig]:
    """The config of a tiny run of each method that the words name. ValueError for words that ask for none."""
    named = [word.partition("=")[2].strip("[]") for word in words if word.startswith("method=")]
    if not named:
        raise ValueError("method=NAME is missing: which method is to be checked?")
    others = [word for word in words if not word.startswith("method=")]
    configs = list(request([f"methods=[{','.join(named)}]", *TINY, *others]).runs.values())
    for config in configs:
        if find(config.method.name).opaque:
            raise ValueError(f"method {config.method.name} has a loop of its own: the contract is not for it")
    return configs


class MethodCheck:
    """All checks of one method; `outcomes` carries them out one after the other."""

    def __init__(self, config: RunConfig, scratch: Path):
        self.config, self.scratch = config, scratch
        self.run: Run | None = None
        self.reference: dict[str, Any] = {}
        self.first_weights: dict[str, str] = {}  # after the first experience

    def outcomes(self) -> Iterator[Outcome]:
        """Each check as it is done; what needs a whole run is left out where there is none."""
        steps: list[tuple[str, Callable[[], None]]] = [
            ("contract: phases, predictions, live modules, budget", self.contract),
            ("work: what the harness counts is what the method declares", self.work),
            ("learning: weights move, and by what is in the batches", self.learning),
            ("strict state: a new process for each experience", self.strict),
            ("kill and continue", self.killed),
        ]
        for what, step in steps:
            try:
                step()
            except Exception as error:  # a user's method may raise anything; the check goes on and says it
                if self.config.execution.debug:
                    raise
                last = traceback.extract_tb(error.__traceback__)[-1]
                where = f"{Path(last.filename).name}, line {last.lineno}; debug=true shows the whole trace"
                yield Outcome(what, f"{type(error).__name__}: {error} ({where})")
                if not self.reference:
                    return
            else:
                yield Outcome(what)
        yield self.pretrained()

    def folder(self, name: str) -> Path:
        """A folder for one more run."""
        folder = self.scratch / name
        folder.mkdir()
        return folder

    def contract(self) -> None:
        """A run from start to end, with a look at the method after each experience."""
        torch.set_num_threads(self.config.execution.threads)
        with torch.random.fork_rng():
            run = Run(self.config, self.folder("reference"), lambda position: touched.step(position))
            method, touched = run.method, Touched(run.method)
            first = run.experiences[0]
            before, weights = run.memory.digests(method, method.state()), _weights(method)
            names = [[phase.name for phase in method.phases(first)] for _ in range(2)]
            if names[0] != names[1] or run.memory.digests(method, method.state()) != before:
                raise ValueError("phases(experience) is not pure: calling it changed its answer or the method's state")
            if not names[0]:
                raise ValueError("phases(experience) gave no phase for the first experience")
            logits = []
            while run.position["experience"] < len(run.experiences):
                run.next_experience()
                with torch.random.fork_rng(), run.counted.ignored():
                    logits.append(touched.look(run))
                if not self.first_weights:
                    self.first_weights = _weights(method)
                    if weights == self.first_weights and run.counted.samples:
                        raise ValueError(
                            "no weight of a live module moved in the first experience, though clips passed it with "
                            "gradients: is optimize(loss) called, over its modules?"
                        )
            if len(logits) > 1 and any(torch.equal(a, b) for a, b in pairwise(logits)):
                raise ValueError(
                    "predict(clips) gives the same logits after an experience as before it: nothing is learnt from it"
                )
            self.run, self.reference = run, run.finish()

    def work(self) -> None:
        """ValueError where the harness counted more than was declared, or training in a phase of another kind."""
        assert self.run is not None
        found = validate(self.reference).undeclared_work()
        if found:
            raise ValueError(
                f"counted {'; '.join(found)}: a phase declares its steps, and a step returns `samples`, all the clips "
                "it learns from; what is not learnt from passes under torch.no_grad()"
            )
        kinds, counted = self.reference["work"]["kinds"], self.run.counted
        for phase, moves in counted.moves.items():
            moved = counted.predicting & set(moves)
            if moved and kinds.get(phase) == "other":
                raise ValueError(
                    f"phase {phase} of kind other trains {', '.join(sorted(moved))}, which predict runs, and no column "
                    "shows its steps: give it kind='classifier' or kind='compressor'"
                )
        if self.reference.get("changed_code"):
            raise ValueError(f"the harness itself was changed: {', '.join(self.reference['changed_code'][:3])}")

    def learning(self) -> None:
        """ValueError where the first experience ends as it did although its clips, but for the first batch, changed."""
        with torch.random.fork_rng():
            run = Run(self.config, self.folder("learning"))
            source = run.experiences[0].clips
            changed = Changed(source.take, len(source))
            source.take = changed.take  # type: ignore[method-assign]
            run.next_experience()
            if changed.n and _weights(run.method) == self.first_weights:
                raise ValueError("it learns the same from other clips: its steps ignore the batch they are given")

    def strict(self) -> None:
        """The same run in a new process for each experience."""
        how = replace(self.config, execution=replace(self.config.execution, strict_state=True))
        self.same(carry_out(how, self.folder("strict")))

    def killed(self) -> None:
        """SIGKILL a run in its second experience, then continue it."""
        folder = self.folder("killed")
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOAD)
        process = context.Process(target=_stop_after_first_boundary, args=(self.config, folder))
        process.start()
        process.join()
        if process.exitcode != -signal.SIGKILL:
            raise RuntimeError(f"the run to be killed ended by itself with exit code {process.exitcode}")
        self.same(carry_out(self.config, folder))

    def pretrained(self) -> Outcome:
        """Not every method can start from a pre-training part: one that cannot is told, and passes."""
        try:
            carry_out(replace(self.config, setting="pretrained"), self.folder("pretrained"))
        except Exception as error:
            return Outcome("setting=pretrained", note=f"fails: {type(error).__name__}: {error}")
        return Outcome("setting=pretrained")

    def same(self, record: dict[str, Any]) -> None:
        """ValueError where a record is not that of the run left alone."""
        found = differences(comparable(record), comparable(self.reference))
        if found:
            more = f" (and {len(found) - 3} more)" if len(found) > 3 else ""
            text = "; ".join(found[:3])
            raise ValueError(f"the record is not that of the run left alone: {text}{more}. {CAUSES}")


class Changed:
    """Hands out negatives of all clips that the first batch does not hold, or of all where it holds all."""

    def __init__(self, take: Callable[..., Batch], length: int):
        self.original, self.length, self.n = take, length, 0
        self.first: set[int] | None = None

    def take(self, index: np.ndarray, view: np.ndarray | None = None) -> Batch:
        batch = self.original(index, view)
        if self.first is None:
            self.first = set(batch.sample_id.tolist()) if len(set(batch.sample_id.tolist())) < self.length else set()
        other = torch.tensor([number not in self.first for number in batch.sample_id.tolist()])
        self.n += int(other.sum())
        clips = batch.clips.clone()
        clips[other.to(clips.device)] = 255 - clips[other.to(clips.device)]
        return replace(batch, clips=clips)


class Touched:
    """Which live modules `predict` runs, or a step of a phase changes in place."""

    def __init__(self, method: Method):
        self.method, self.names = method, set[str]()
        self.ages = dict.fromkeys(method.live(), 0)  # experiences a module has been there
        self.last: tuple[Any, dict[str, dict[int, int]]] = (None, {})

    def step(self, position: dict[str, Any]) -> None:
        """Called after each step: a tensor whose version has risen since the one before was trained, not copied."""
        phase = (position["experience"], position["phase"])
        versions = {
            name: {t.data_ptr(): t._version for t in (*module.parameters(), *module.buffers())}
            for name, module in self.method.live().items()
        }
        if self.last[0] == phase:
            for name, old in self.last[1].items():
                if any(versions.get(name, {}).get(place, version) > version for place, version in old.items()):
                    self.names.add(name)
        self.last = (phase, versions)

    def look(self, run: Run) -> torch.Tensor:
        """After an experience: logits of some clips; no module may have been idle over two experiences."""
        live = self.method.live()
        hooks = [
            part.register_forward_hook(lambda *_, name=name: self.names.add(name))
            for name, module in live.items()
            for part in module.modules()
        ]
        logits = _predicts_alike(run)
        self.names |= {name for moves in run.counted.moves.values() for name in moves}
        for hook in hooks:
            hook.remove()
        self.ages = {name: self.ages.get(name, 0) + 1 for name in live}
        old = 1 if self.method.joint else 2  # a joint method has one experience
        idle = sorted(name for name, age in self.ages.items() if age >= old and name not in self.names)
        if idle:
            raise ValueError(
                f"live() names {', '.join(idle)}, which neither predict nor training touched over two experiences: "
                "that is memory carried, not the live model (set `carried = True` on the module)"
            )
        return logits


def _predicts_alike(run: Run) -> torch.Tensor:
    """Logits of some clips of the first task; ValueError where they depend on the clips beside or before them."""
    method, evaluation = run.method, run.evaluation
    before = run.memory.digests(method, method.state())
    clips = evaluation.clips(evaluation.order(max(run.position["experience"] - 1, 0))[:PROBE])
    together = method.predict(clips).detach().float().cpu()
    evaluation.check(method, together, len(clips))
    shuffled = torch.from_numpy(np.random.default_rng(0).permutation(len(clips)))
    ways = {
        "singly": torch.arange(len(clips)).split(1),
        "in the opposite order, five at a time": torch.arange(len(clips)).flip(0).split(5),
        "in another order": shuffled.split(len(clips)),
    }
    for how, parts in ways.items():
        other = torch.zeros_like(together)
        for part in parts:
            other[part] = method.predict(clips[part]).detach().float().cpu()
        far = (other - together).abs().amax(1) > CLOSE * (together.max() - together.min()).clamp_min(1e-6)
        if far.float().mean() > SHARE:
            raise ValueError(
                f"predict(clips) gives other logits for {int(far.sum())} of {len(clips)} clips when they come {how}: "
                "what it says of a clip may not depend on the clips beside it or before it"
            )
    if run.memory.digests(method, method.state()) != before:
        raise ValueError("predict(clips) changes the method's state")
    own = evaluation.clips(np.flatnonzero(evaluation.task[evaluation.item] == 0)[:PROBE])
    return method.predict(own).detach().float().cpu()


def _weights(method: Method) -> dict[str, str]:
    """Digest of the live modules' weights; of the whole state where there are none."""
    live = method.live()
    held = {name: dict(module.named_parameters()) for name, module in live.items()}
    return digests(held) if any(held.values()) else digests(method.state())


def _stop_after_first_boundary(config: RunConfig, folder: Path) -> None:
    def kill(position: dict[str, Any]) -> None:
        last = position["experience"] == position["n_experiences"] - 1
        if position["experience"] >= 1 and (position["step"] >= 3 or last):
            time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGKILL)

    carry_out(config, folder, kill)
