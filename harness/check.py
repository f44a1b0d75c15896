"""A user's method against the contract: `python -m harness.check plugins=[my_method.py] method=mine`.

Runs it on a tiny stream of three experiences: the table of phases, predictions, live modules, saved state in new
processes, a kill and a continuation, a pre-training part, the byte budget. Says what is wrong; exit code 1 then.
"""

import multiprocessing
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from harness import check_packages

if TYPE_CHECKING:
    from harness.config.run_config import RunConfig

HELP = """usage: python -m harness.check [plugins=[my_method.py]] method=NAME[,NAME...] [NAME.setting=value ...]

Checks methods against the contract on a tiny stream (about a minute each): phases, predictions, live modules,
strict state (a new process an experience), kill and continue, budget."""

TINY = ["preset=smoke", "benchmark.tasks=3", "memory.budget=260kB", "classifier.steps=6", "compressor.steps=6"]

CAUSES = (
    "Something is kept outside the state: in a global, in a closure, on the class, in an attribute that NOT_STATE "
    "names; or drawn from a generator of its own"
)


def main(words: list[str]) -> int:
    """Check each method; 0 where all pass."""
    if not words or words[0] in ("--help", "-h"):
        print(HELP)
        return 0 if words else 2
    check_packages()
    from harness.config.compose import request  # imports Hydra and torch: not for --help
    from methods import find

    try:
        named = [word.partition("=")[2].strip("[]") for word in words if word.startswith("method=")]
        if not named:
            raise ValueError("method=NAME is missing: which method is to be checked?")
        others = [word for word in words if not word.startswith("method=")]
        runs = request([f"methods=[{','.join(named)}]", *TINY, *others]).runs
        for config in runs.values():
            if find(config.method.name).opaque:
                raise ValueError(f"method {config.method.name} has a loop of its own: the contract is not for it")
    except ValueError as error:
        print(f"harness.check: {error}", file=sys.stderr)
        return 2
    failed = 0
    for config in runs.values():
        failed += not check(config)
    return 1 if failed else 0


def check(config: "RunConfig") -> bool:
    """All checks of one method; prints a line each. True where all pass."""
    name, passed = config.method.name, True
    print(f"{name}:")
    with tempfile.TemporaryDirectory(prefix="check-") as scratch:
        reference: dict[str, Any] = {}
        steps: list[tuple[str, Callable[[], None]]] = [
            (
                "contract: phases, predictions, live modules, budget",
                lambda: _contract(config, Path(scratch), reference),
            ),
            ("strict state: a new process for each experience", lambda: _strict(config, Path(scratch), reference)),
            ("kill and continue", lambda: _killed(config, Path(scratch), reference)),
        ]
        for what, step in steps:
            try:
                step()
            except Exception as error:  # a user's method may raise anything; the check goes on and says it
                passed = False
                last = traceback.extract_tb(error.__traceback__)[-1]
                where = f"{Path(last.filename).name}, line {last.lineno}; debug=true shows the whole trace"
                print(f"  FAILED  {what}: {type(error).__name__}: {error} ({where})")
                if config.execution.debug:
                    raise
                if not reference:
                    break
            else:
                print(f"  ok      {what}")
        if reference:
            _try_pretrained(config, Path(scratch))
    return passed


def _folder(scratch: Path, name: str) -> Path:
    folder = scratch / name
    folder.mkdir()
    return folder


def _contract(config: "RunConfig", scratch: Path, reference: dict[str, Any]) -> None:
    from harness.training.loop import Run

    torch.set_num_threads(config.execution.threads)
    with torch.random.fork_rng():
        run = Run(config, _folder(scratch, "reference"), lambda position: touched.step(position))
        method, touched = run.method, Touched(run.method)
        first = run.experiences[0]
        before = run.memory.digests(method, method.state())
        names = [[phase.name for phase in method.phases(first)] for _ in range(2)]
        if names[0] != names[1] or run.memory.digests(method, method.state()) != before:
            raise ValueError("phases(experience) is not pure: calling it changed its answer or the method's state")
        if not names[0]:
            raise ValueError("phases(experience) gave no phase for the first experience")
        while run.position["experience"] < len(run.experiences):
            run.next_experience()
            with torch.random.fork_rng():
                touched.look(run)
        reference.update(run.finish())


class Touched:
    """Which live modules `predict` runs, or a step of a phase changes in place."""

    def __init__(self, method: Any):
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

    def look(self, run: Any) -> None:
        """After an experience: predict, which may not learn; no module may have been idle over two experiences."""
        live = self.method.live()
        hooks = [
            part.register_forward_hook(lambda *_, name=name: self.names.add(name))
            for name, module in live.items()
            for part in module.modules()
        ]
        _predicts_alike(run)
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


PROBE = 24  # clips that are predicted in several batches and orders
CLOSE = 1e-3  # of the range of the logits: what another batch may change by rounding
SHARE = 0.1  # of the items may change by more: a code that lies between two entries of the codebook


def _predicts_alike(run: Any) -> None:
    """ValueError where the prediction of a clip depends on the clips beside it, or on those before it."""
    method, evaluation = run.method, run.evaluation
    before = run.memory.digests(method, method.state())
    places = evaluation.order(max(run.position["experience"] - 1, 0))[:PROBE]
    clips = evaluation.clips(places)
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


def _strict(config: "RunConfig", scratch: Path, reference: dict[str, Any]) -> None:
    from harness.training.execute import run

    strict = replace(config, execution=replace(config.execution, strict_state=True))
    _same(run(strict, _folder(scratch, "strict")), reference)


def _killed(config: "RunConfig", scratch: Path, reference: dict[str, Any]) -> None:
    """SIGKILL a run in its second experience, then continue it."""
    from harness.config.schema import PRELOAD
    from harness.training.execute import run

    folder = _folder(scratch, "killed")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOAD)
    process = context.Process(target=_stop_after_first_boundary, args=(config, folder))
    process.start()
    process.join()
    if process.exitcode != -signal.SIGKILL:
        raise RuntimeError(f"the run to be killed ended by itself with exit code {process.exitcode}")
    _same(run(config, folder), reference)


def _try_pretrained(config: "RunConfig", scratch: Path) -> None:
    """Not every method can start from a pre-training part: one that cannot is told, and passes."""
    from harness.training.execute import run

    try:
        run(replace(config, setting="pretrained"), _folder(scratch, "pretrained"))
    except Exception as error:
        print(f"  scratch only: setting=pretrained fails: {type(error).__name__}: {error}")
    else:
        print("  ok      setting=pretrained")


def _stop_after_first_boundary(config: "RunConfig", folder: Path) -> None:
    from harness.training.execute import run

    def kill(position: dict[str, Any]) -> None:
        last = position["experience"] == position["n_experiences"] - 1
        if position["experience"] >= 1 and (position["step"] >= 3 or last):
            time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGKILL)

    run(config, folder, kill)


def _same(record: dict[str, Any], reference: dict[str, Any]) -> None:
    from harness.storage.record import comparable, differences

    found = differences(comparable(record), comparable(reference))
    if found:
        more = f" (and {len(found) - 3} more)" if len(found) > 3 else ""
        raise ValueError("the record is not that of the run left alone: " + "; ".join(found[:3]) + f"{more}. {CAUSES}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
