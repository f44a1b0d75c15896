"""`python -m harness.run_folders FOLDER ...`: carry out runs whose folders hold config.json; what a Slurm job calls.

Exit code: 0 if every run is done, 75 if interrupted (what was running is saved), else 1 and a line for each not done.
"""

import os
import sys
from pathlib import Path

from harness.common.folders import RunFolder
from harness.launching.local import carry_out_in_job
from harness.launching.signals import stopped_by_signals

INTERRUPTED = os.EX_TEMPFAIL


def main(words: list[str] | None = None) -> int:
    """Carry out the runs that are not done yet, one after the other."""
    folders = [Path(word) for word in (sys.argv[1:] if words is None else words)]
    todo = [folder for folder in folders if not RunFolder(folder).is_done()]
    if not todo:
        return 0
    with stopped_by_signals():
        try:
            carry_out_in_job(todo)
        except KeyboardInterrupt:
            return INTERRUPTED
    missing = [folder for folder in todo if not RunFolder(folder).is_done()]
    for folder in missing:
        status = RunFolder(folder).status()
        print(f"not done: {folder.name} is {status.state}: {status.reason}", file=sys.stderr)
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
