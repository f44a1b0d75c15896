"""A user's method against the contract: `python -m harness.check plugins=[my_method.py] method=mine`.

Runs it on a tiny stream of three experiences: the table of phases, predictions in any batch and order, live modules,
work, saved state in new processes, a kill and a continuation, a pre-training part, the byte budget. Says what is wrong;
exit code 1 then. A user's pytest asks for the same with `harness.testing.assert_method`.
"""

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from harness import check_packages

if TYPE_CHECKING:
    from harness.config.run_config import RunConfig

HELP = """usage: python -m harness.check [plugins=[my_method.py]] method=NAME[,NAME...] [NAME.setting=value ...]

Checks methods against the contract on a tiny stream (about a minute each): phases, predictions, live modules, work,
strict state (a new process an experience), kill and continue, budget."""


def main(words: list[str]) -> int:
    """Check each method; 0 where all pass."""
    if not words or words[0] in ("--help", "-h"):
        print(HELP)
        return 0 if words else 2
    check_packages()
    from harness.testing.methods import asked_for  # imports Hydra and torch: not for --help

    try:
        configs = asked_for(words)
    except ValueError as error:
        print(f"harness.check: {error}", file=sys.stderr)
        return 2
    failed = 0
    for config in configs:
        failed += not check(config)
    return 1 if failed else 0


def check(config: "RunConfig") -> bool:
    """All checks of one method; prints a line each. True where all pass."""
    from harness.testing.methods import MethodCheck

    print(f"{config.method.name}:")
    passed = True
    with tempfile.TemporaryDirectory(prefix="check-") as scratch:
        for outcome in MethodCheck(config, Path(scratch)).outcomes():
            print(f"  {outcome}")
            passed = passed and outcome.problem is None
    return passed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
