"""Runs killed at random moments end with the record of the run left alone."""

import random
import shutil
import tempfile
from collections import Counter
from pathlib import Path

from tests import killing

# Method, and settings that make it another one to save and load.
VARIANTS = (
    ("cram",), ("er", "er.codec=h264"), ("all_decoders", "setting=pretrained"), ("er",), ("no_snapshot",),
    ("er", "er.codec=jpeg"), ("frozen", "setting=pretrained"), ("joint_codes",), ("current_decoder",), ("no_refresh",),
    ("naive",), ("refresh_only",), ("joint",),
)  # fmt: skip


def kills(number: int = 100) -> None:
    """Killed runs (kill -9 at random moments, half of them while saving, up to four a run) give the same record."""
    chance, where, wrong, times = random.Random(number), Counter(), [], 0
    folder = Path(tempfile.mkdtemp(prefix="kills-"))
    alone = {}
    for k in range(number):
        variant = VARIANTS[k % len(VARIANTS)]
        if variant not in alone:
            alone[variant] = killing.seconds_of(killing.new_run(folder / f"alone-{len(alone)}", *variant))
        record, seconds = alone[variant]
        run = killing.new_run(folder / f"killed-{k}", *variant)
        hits = killing.killed(run, chance.randint(1, 4), chance, seconds)
        where += hits
        times += sum(hits.values()) - hits["done before the kill"]
        killing.left_alone(run) if not (run / "record.json").exists() else None
        found = killing.differ(run, record)
        if found:
            wrong.append(f"{run}: {'; '.join(found[:3])}")
        else:
            shutil.rmtree(run.parent)
        if (k + 1) % 10 == 0:
            print(f"  {k + 1 - len(wrong)} of {k + 1} runs as the run left alone, {times} kills", flush=True)
    print(f"  {number - len(wrong)} of {number} killed runs have the record of the run left alone; {times} kills: "
          + ", ".join(f"{count} {name}" for name, count in where.most_common()))  # fmt: skip
    assert not wrong, "\n".join(wrong)


CHECKS = {"kills": kills}
