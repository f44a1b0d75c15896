"""Runs that are killed, or whose disk is full, at random moments end with the record of the run left alone."""

import os
import random
import shutil
import tempfile
import traceback
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from harness.common.folders import RunFolder
from harness.launching.execution import execute
from harness.training.evaluation import Evaluation
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


def disk(number: int = 40) -> None:
    """A disk that is full at so many moments, in checkpoint, record and log: with room again the same record."""
    chance, where, times = random.Random(number), Counter(), 0
    folder = Path(tempfile.mkdtemp(prefix="disk-"))
    alone = killing.left_alone(killing.new_run(folder / "alone", "cram"))
    while sum(where.values()) < number:
        times += 1
        place = folder / f"disk-{times}"
        with killing.small_disk(place, "size=20m"):
            run = killing.new_run(place / "out", "cram", f"checkpoint.minutes={chance.choice((1e-9, 10))}")
            while (error := Full(place / "filler", chance).execute(run)) is not None:
                assert "No space left" in str(error), error
                assert "No space left" in str(RunFolder(run).status().reason), RunFolder(run).status()
                where[writing(error)] += 1
            assert killing.differ(run, alone) == []
            assert RunFolder(run).status().state == "done"
            assert [file.name for file in (run / "checkpoint").iterdir()] == ["live.pt"]
    print(f"  {times} runs have the record of the run left alone; full while writing: "
          + ", ".join(f"{count} {name}" for name, count in where.most_common()))  # fmt: skip


class Full:
    """Fills the disk up to a few kB, at a random step or when predictions and record are to be written."""

    def __init__(self, filler: Path, chance: random.Random):
        filler.unlink(missing_ok=True)
        self.filler, self.room = filler, chance.choice((0, 4, 8, 16, 64, 200)) * 1024
        self.left = chance.choice((0, 1, 2)) * chance.randint(1, 30)

    def execute(self, run: Path) -> BaseException | None:
        """Carry the run out, in this process; what made it fail."""
        write = Evaluation.write
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Evaluation, "write", lambda *given: (self.left or self.fill(), write(*given)))
            return execute(run, self.step)

    def step(self, position: dict[str, Any]) -> None:
        """The progress callback."""
        self.left -= self.left > 0
        if self.left == 1:
            self.fill()

    def fill(self) -> None:
        disk = os.statvfs(self.filler.parent)
        self.filler.write_bytes(bytes(max(disk.f_bavail * disk.f_frsize - self.room, 0)))


def writing(error: BaseException) -> str:
    """Which part of the harness was writing."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "/harness/" in frame.filename]
    return next(f"{Path(f.filename).stem}.{f.name}" for f in reversed(frames) if not f.filename.endswith("files.py"))


CHECKS = {"kills": kills, "disk": disk}
