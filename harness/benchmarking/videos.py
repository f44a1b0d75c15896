"""Speed of recorded videos on this machine: decoding once and reading back, against the bare decoder.

The videos are made here: a minute of 1080p and short ones of 340x256, as of EPIC-KITCHENS-100 and Kinetics; moving,
noisy texture in H.264 with B-frames and a key frame every two seconds.
"""

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from harness.benchmarking.timing import interleaved, row

FRAMES, SIZE = 14, 224
# Name -> width, height, frames a second, seconds, number of files, clips of a file, bits a second.
KINDS = {"long 1080p": (1920, 1080, 60, 60, 1, 16, 8_000_000), "short 340x256": (340, 256, 30, 10, 8, 1, 600_000)}


def bench_videos(rounds: int = 3) -> list[dict[str, Any]]:
    """Clips a second of one worker, decoded once by the harness and read back, against decoding clip by clip."""
    from benchmarks.clips import ClipTable
    from benchmarks.frames.build import Wish, prepare
    from benchmarks.frames.decode import decode, fit, frame_times

    found = []
    for kind, how in KINDS.items():
        with tempfile.TemporaryDirectory(prefix="bench-") as place:
            table = ClipTable.of(_clips(Path(place), *how), Path(place), ("label",))
            rows, wish = np.arange(len(table)), Wish((FRAMES, SIZE, SIZE), codec="jpeg", fit="crop")
            reader = prepare(Path(place) / "frames", table, rows, wish, 1, f"bench, {kind}")

            def bare(table: Any = table) -> None:
                for clip in table.frame.itertuples():
                    for frame in decode(table.root / clip.file, frame_times(clip.start, clip.stop, FRAMES).tolist()):
                        fit(frame, SIZE, SIZE, "crop")

            sides: dict[str, Callable[[], object]] = {
                "sweep": _sweep(Path(place), table, wish),
                "cached": partial(reader.read, rows),
                "bare": bare,
            }
            times = interleaved(sides, rounds)
            speed = {name: len(rows) / each["median"] * 1e3 for name, each in times.items()}
            for name, goal in (("sweep", "at least 0.9"), ("cached", "100 on long 1080p")):
                words = f"{kind}, {'decoded once and stored' if name == 'sweep' else 'read from the cache'}"
                found.append(
                    row(words, "clips/s", speed[name], speed["bare"], speed[name] / speed["bare"], goal, times)
                )
    return found


def _sweep(place: Path, table: Any, wish: Any) -> Callable[[], object]:
    """What one worker of the preparation does, without its process."""
    from benchmarks.frames.shards import Clip, ShardJob, write_shard

    videos = tuple(
        (table.video(file), tuple(Clip(row, clip.start, clip.stop) for row, clip in part.iterrows()))
        for file, part in table.frame.groupby("file")
    )
    job = ShardJob(place / "shard", videos, wish.stored, wish.codec, wish.fit)
    return lambda: list(write_shard(job))


def _clips(place: Path, width: int, height: int, rate: int, seconds: int, files: int, clips: int, bits: int) -> Any:
    """Videos and the rows of their clips; clips of a long one are three seconds long and do not overlap."""
    import pandas as pd

    rows = []
    for number in range(files):
        _write(place / f"{number}.mp4", width, height, rate, seconds, bits, number)
        step = seconds / clips
        rows += [{"sample_id": f"{number}/{k:02d}", "file": f"{number}.mp4", "start": k * step, "split": "train",
                  "stop": k * step + min(3.0, step) if clips > 1 else seconds, "group": str(number), "label": "a"}
                 for k in range(clips)]  # fmt: skip
    return pd.DataFrame(rows)


def _write(path: Path, width: int, height: int, rate: int, seconds: int, bits: int, seed: int) -> None:
    import av

    rng = np.random.default_rng(seed)
    blocks = rng.integers(40, 216, (-(-height // 8), -(-width // 8)))
    texture = np.kron(blocks, np.ones((8, 8)))[:height, :width].astype(np.uint8)
    noise = rng.integers(0, 12, (8, height, width), np.uint8)
    picture = np.full((height * 3 // 2, width), 128, np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            "libx264", rate=rate, options={"preset": "superfast", "bf": "2", "g": str(2 * rate)}
        )
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = width, height, "yuv420p", bits
        for number in range(rate * seconds):
            picture[:height] = np.roll(texture, 3 * number, axis=1) + noise[number % 8]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="yuv420p")))
        container.mux(stream.encode())
