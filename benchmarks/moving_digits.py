"""Moving digits, the embedded benchmark: which clips there are, and their files in the cache folder.

Handwritten digits (scikit-learn's 8x8 images) move over textured backgrounds. noun = digit, verb = motion,
action = both. Ten blocks of two digits and two opposite motions; a block keeps its background family, hue range and
polarity. Files depend on the video encoder's version in their last bits; everything else is a function of the options.
"""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.benchmark import Benchmark
from benchmarks.clips import ClipTable, read_csv
from benchmarks.digit_videos import DIFFICULTY, FAMILIES, FRAMES, SIZE, VERBS, Look, VideoJob, write_video
from benchmarks.frames.build import Wish, prepare
from benchmarks.frames.cache import FrameCache
from benchmarks.frames.parallel import build_once, run_jobs
from benchmarks.randomness import generator
from benchmarks.registry import BenchmarkSource
from benchmarks.settings import MovingDigitsSettings, pixels
from harness.common.files import write_json

# Raise it with every change of the drawing or the layout that `Difficulty` does not show.
VERSION = 1
LABELS = ("noun", "verb", "action")
CLIPS_A_FILE = 20
STREAMED_FAMILIES = 5
# Shares of a digit's images; the rest is test. Pre-training shows training images.
TRAIN_SHARE, VALID_SHARE = 0.60, 0.15


@dataclass(frozen=True)
class Block:
    """Four actions (two digits x two opposite motions) with one look."""

    number: int
    digits: tuple[int, int]
    verbs: tuple[str, str]
    look: Look


def blocks() -> tuple[tuple[Block, ...], tuple[Block, ...]]:
    """The ten streamed blocks and the five of pre-training; no digit-motion pair occurs twice."""
    names = list(FAMILIES)

    def block(number: int, pair: int, motion: int, look: Look) -> Block:
        return Block(number, (2 * pair, 2 * pair + 1), (VERBS[2 * motion], VERBS[2 * motion + 1]), look)

    def look(family: int, second: bool) -> Look:
        """The second time a family comes with the opposite hue and polarity."""
        hue = (family / STREAMED_FAMILIES + 0.5 * second) % 1.0
        return Look(names[family], hue, light_digit=(family % 2 == 0) != second)

    streamed = [block(k, k, k, look(k, second=False)) for k in range(5)]
    streamed += [block(5 + k, k, (k + 2) % 5, look((k + 1) % 5, second=True)) for k in range(5)]
    spare = names[STREAMED_FAMILIES:]
    before = [
        block(10 + k, k, (k + 4) % 5, Look(spare[k % len(spare)], (0.1 + k / 5) % 1.0, light_digit=k % 2 == 0))
        for k in range(5)
    ]
    return tuple(streamed), tuple(before)


class MovingDigits(BenchmarkSource):
    """Handwritten digits moving over textured backgrounds."""

    Settings = MovingDigitsSettings
    settings: MovingDigitsSettings

    def describe(self) -> Benchmark:
        """The benchmark without frames: writes nothing."""
        is_there = (self.cache / folder_name(self.settings)).is_dir()
        return self._benchmark(self._read() if is_there else layout(self.settings, self.cache)[0], None)

    def load(self, workers: int) -> Benchmark:
        """The benchmark with its frames; videos and decoded frames are written first where the cache lacks them."""
        settings, folder = self.settings, self.cache / folder_name(self.settings)
        with build_once(folder) as work:
            if work is not None:
                table, jobs = layout(settings, self.cache)
                title = f"writing moving digits, {len(table):,} clips, once, to {folder}"
                run_jobs(write_video, [replace(job, path=work / job.path) for job in jobs], workers, title)
                table.write_csv(work / "annotations.csv")
                write_json(work / "settings.json", {**_key(settings), "clips": table.hash})
        table = self._read()
        decoded, wish = self.cache / f"{folder.name}-frames", Wish((FRAMES, SIZE, SIZE))
        frames = prepare(decoded, table, np.arange(len(table)), wish, workers, "decoding moving digits")
        return self._benchmark(table, frames)

    def _read(self) -> ClipTable:
        """The clip table of a finished folder; OSError where the folder is not as it was written."""
        folder = self.cache / folder_name(self.settings)
        try:
            table = read_csv(folder / "annotations.csv", self.cache, LABELS)
            written = json.loads((folder / "settings.json").read_text())["clips"]
        except (OSError, ValueError, KeyError) as error:
            raise OSError(f"{folder} is damaged ({error}): delete it and run again") from error
        if table.hash != written:
            raise OSError(f"{folder / 'annotations.csv'} was changed: delete {folder} and run again")
        return table

    def _benchmark(self, table: ClipTable, reader: FrameCache | None) -> Benchmark:
        note = "the background (family, hue, polarity) is peculiar to a block of four actions and gives the task away"
        leak = self.settings.leak
        if leak:
            note = f"leak={leak:g}: that share of the clips has the background of a random streamed block"
        return Benchmark(self.name, table, "action", FRAMES, SIZE, SIZE, reader, (note,))


def _key(settings: MovingDigitsSettings) -> dict[str, Any]:
    """What decides the files."""
    return {"version": VERSION, "options": pixels(settings), "difficulty": asdict(DIFFICULTY)}


def folder_name(settings: MovingDigitsSettings) -> str:
    """The name of the folder of these videos below the cache."""
    digest = hashlib.sha256(json.dumps(_key(settings), sort_keys=True).encode()).hexdigest()
    return f"moving-digits-{digest[:12]}"


# ---- layout: which image, look, file and second each clip has


def layout(settings: MovingDigitsSettings, cache: Path) -> tuple[ClipTable, list[VideoJob]]:
    """The clip table, and the jobs that write its files (paths relative to the benchmark's folder)."""
    images, folder = _images(settings.data_seed), folder_name(settings)
    streamed, before = blocks()
    streamed = streamed[: settings.actions // 4]
    fifth = math.ceil(settings.clips_per_class / 5)
    amounts = {"train": settings.clips_per_class, "valid": fifth, "test": math.ceil(settings.clips_per_class * 2 / 5)}
    looks = tuple(block.look for block in streamed)
    rows: list[dict] = []
    jobs: list[VideoJob] = []
    for split, amount in (*amounts.items(), ("pretrain", fifth)):
        for block in before if split == "pretrain" else streamed:
            for digit in block.digits:
                for verb in block.verbs:
                    for job, chosen in _class_files(settings, images, block, digit, verb, split, amount, looks):
                        jobs.append(job)
                        rows += _rows(job, chosen, folder, block, digit, split)
    return ClipTable.of(pd.DataFrame(rows), cache, LABELS), jobs


def _images(data_seed: int) -> dict[tuple[int, str], tuple[np.ndarray, np.ndarray]]:
    """For each digit and split the numbers of its images in scikit-learn's set, and the images [N, 8, 8]."""
    from sklearn.datasets import load_digits  # late: two seconds that only the making of the files needs

    digits = load_digits()
    parts = {}
    for digit in range(10):
        numbers = np.flatnonzero(digits.target == digit)
        numbers = generator("moving digits split", data_seed, digit).permutation(numbers)
        train = round(TRAIN_SHARE * len(numbers))
        valid = train + round(VALID_SHARE * len(numbers))
        cuts = {"train": numbers[:train], "valid": numbers[train:valid], "test": numbers[valid:]}
        cuts["pretrain"] = cuts["train"]
        for split, chosen in cuts.items():
            parts[digit, split] = (chosen, digits.images[chosen].astype(np.uint8))
    return parts


def _class_files(
    settings: MovingDigitsSettings,
    images: Mapping[tuple[int, str], tuple[np.ndarray, np.ndarray]],
    block: Block,
    digit: int,
    verb: str,
    split: str,
    amount: int,
    looks: tuple[Look, ...],
) -> Iterator[tuple[VideoJob, np.ndarray]]:
    """The files of one class and split, each with the image numbers of its clips."""
    slug = _slug(verb, digit)
    key = (settings.data_seed, slug, split)
    numbers, pixels = images[digit, split]
    # Every image comes once before one comes twice.
    order = generator("moving digits images", *key).permutation(len(numbers))
    for first in range(0, amount, CLIPS_A_FILE):
        clips = range(first, min(first + CLIPS_A_FILE, amount))
        chosen = order[np.array(clips) % len(order)]
        path = Path(split) / f"{slug}-{first // CLIPS_A_FILE:02d}.mp4"
        own = tuple(_look(settings, key, number, block, split, looks) for number in clips)
        yield VideoJob(path, key, verb, clips, pixels[chosen], own), numbers[chosen]


def _look(
    settings: MovingDigitsSettings,
    key: tuple[int, str, str],
    number: int,
    block: Block,
    split: str,
    looks: tuple[Look, ...],
) -> Look:
    """The block's look, or under `leak` that of a random streamed block."""
    if split == "pretrain" or not settings.leak:
        return block.look
    rng = generator("moving digits leak", *key, number)
    return looks[int(rng.integers(len(looks)))] if rng.random() < settings.leak else block.look


def _slug(verb: str, digit: int) -> str:
    return f"{verb.replace(' ', '-')}-digit-{digit}"


def _rows(job: VideoJob, chosen: np.ndarray, folder: str, block: Block, digit: int, split: str) -> list[dict]:
    return [
        {
            "sample_id": f"{split}/{_slug(job.verb, digit)}/{number:04d}",
            # The folder's name is part of the file's, so that other drawing gives another clip table hash.
            "file": f"{folder}/{job.path.as_posix()}",
            "start": float(second),
            "stop": float(second + 1),
            "split": split,
            "group": f"digit {digit} image {image}",
            "noun": f"digit {digit}",
            "verb": job.verb,
            "action": f"{job.verb} digit {digit}",
            "block": block.number,
        }
        for second, (number, image) in enumerate(zip(job.numbers, chosen.tolist(), strict=True))
    ]
