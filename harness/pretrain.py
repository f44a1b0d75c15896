"""A compressor trained by itself: `python -m harness.pretrain save=kinetics.pt protocol=k700-k400pre-10 ...`."""

import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness import check_packages

if TYPE_CHECKING:
    from harness.config.run_config import RunConfig

HELP = """usage: python -m harness.pretrain save=FILE [name=value ...]

Trains the compressor on the pre-training part of a benchmark (its protocol names it) and saves its weights; other runs
start from them with compressor.load=FILE. Settings are those of python -m harness.run: benchmark, protocol, profile,
compressor.*, seeds=[0], device, precision. What is cut off goes on with the same command."""


def main(words: list[str]) -> int:
    """Train, save, say what was saved; 2 for a command that cannot be run."""
    if not words or {"--help", "-h"} & set(words):
        print(HELP)
        return 0 if words else 2
    try:
        check_packages()
        from harness.config.compose import request  # imports Hydra and torch: not for --help

        named = [word.partition("=")[2] for word in words if word.startswith("save=")]
        if len(named) != 1 or not named[0]:
            raise ValueError("save=FILE is missing: where are the weights to be kept?")
        others = [word for word in words if not word.startswith("save=")]
        runs = request(["methods=[frozen]", "setting=pretrained", "memory.budget=64MB", *others]).runs
        if len(runs) != 1:
            raise ValueError(f"one compressor at a time: this command line asks for {len(runs)}")
        run_id, config = next(iter(runs.items()))
        path = Path(named[0]).expanduser().resolve()
        pretrain(
            config, path, path.with_name(f"{path.name}.{run_id[-10:]}")
        )  # what other settings left is not taken up
    except (ValueError, OSError) as error:
        if "debug=true" in words:
            raise
        print(f"harness.pretrain: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    return 0


def pretrain(config: "RunConfig", path: Path, work: Path) -> None:
    """Carry out the compressor's phase of the pre-training experience and save the compressor to `path`.

    `work` holds its checkpoints and is gone at the end.
    """
    import torch

    from harness.training.loop import Run
    from methods.shared import pretrained
    from methods.shared.code_method import CodeMethod

    work.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(config.execution.threads)
    with torch.random.fork_rng():
        run = Run(config, work, _Shown())
        experience = run.experiences[0]
        if not experience.is_pretraining:
            raise ValueError(f"setting={config.setting} has no pre-training part: leave the setting out")
        method = run.method
        if not isinstance(method, CodeMethod):
            raise ValueError(f"method {method.name} has no compressor to train")
        run.one_phase(experience, method.compressor_phase(experience))
    made_from = {"clip_table": run.context.table.hash, "benchmark": config.benchmark.name,
                 "label": config.label, "clips": str(len(experience.clips))}  # fmt: skip
    pretrained.save(path, method.compressor, run.context.spec.compressor, made_from)
    shutil.rmtree(work)
    print(f"saved {path}: compressor of {len(experience.clips):,} clips of {made_from['benchmark']}, "
          f"sha256 {pretrained.sha256(path)[:12]}")  # fmt: skip


class _Shown:
    """Progress on the screen, a line each tenth of the way."""

    def __call__(self, position: dict[str, Any]) -> None:
        step, steps = position["step"], position["steps"]
        if step * 10 // steps > (step - 1) * 10 // steps:
            print(f"  {position['phase']} {step:,}/{steps:,}  loss {position['loss']:.4g}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
