"""Long checks of recorded videos: right frames by the thousand, damaged annotations, memory, speed of decoding once."""

import itertools
import json
import os
import resource
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import psutil

import benchmarks
from benchmarks.frames.cache import FrameCache
from benchmarks.frames.decode import BadVideo, decode, frame_times
from tests import kitchen
from tests.test_annotations import EK_HEADER, NOUNS, VERBS, ek_row, kinetics_rows, write_rows

SHARED = Path(__file__).resolve().parent.parent.parent / "shared" / "data"


@contextmanager
def folder(name: str) -> Iterator[Path]:
    """A folder of its own for a check, gone after it."""
    made = Path(tempfile.mkdtemp(prefix=f"{name}-"))
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


def frames(number: int = 1000) -> None:
    """Drawn clips of eight synthetic kitchen videos hold the frames of their times, decoded and cached."""
    if not (SHARED / "ek100").is_dir():
        print(f"  skipped: no folder {SHARED / 'ek100'} with the real annotations")
        return
    with folder("kitchen") as place:
        began = time.process_time()
        built = kitchen.build(SHARED / "ek100", place, kitchen.EIGHT, n_test=2)
        total = sum(built.counts.values())
        print(
            f"  {len(built.counts)} videos, {total:,} frames, made in {time.process_time() - began:.0f} CPU s",
            flush=True,
        )
        _killed_and_taken_up_again(built, place)
        given = _options(built)
        made = benchmarks.load("epic_kitchens", given, place / "whole", 2)
        rng = np.random.default_rng(number)
        wrong, n = [], len(made.table)
        for part in np.split(rng.integers(0, n, number), range(50, number, 50)):
            wrong += kitchen.cached(built, made.table, made.reader, part, rng)
            wrong += kitchen.decoded(built, made.table, part, 14)
        print(f"  {number} clips of {n} segments: {len(wrong)} wrong, decoded or cached", flush=True)
        for workers in (1, 4):
            wrong += _through_the_loader(built, made, min(100, number), workers)
        assert not wrong, "\n".join(wrong[:5])


def _options(built: kitchen.Kitchen) -> dict:
    return {"annotations": str(built.annotations), "videos": str(built.videos), "min_train": 1, "min_test": 0,
            "valid": 0, "size": 64, "candidates": 3}  # fmt: skip


def _killed_and_taken_up_again(built: kitchen.Kitchen, place: Path) -> None:
    """Prepare is killed twice on its way and ends with the bytes of one that was left alone."""
    words = ["benchmark=epic_kitchens", *(f"benchmark.{name}={value}" for name, value in _options(built).items())]
    for cache, kills in (("killed", 2), ("whole", 0)):
        command = [sys.executable, "-m", "benchmarks.prepare", *words, f"paths.cache={place / cache}", "workers=2"]
        for shards in range(1, kills + 1):
            child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            while len(list((place / cache).glob("*.part/*.bin.json"))) < shards:
                assert child.poll() is None, "prepare ended before it was killed"
                time.sleep(0.01)
            child.send_signal(signal.SIGKILL)
            child.wait()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    one, other = (next((place / cache).glob("*-frames")) for cache in ("killed", "whole"))
    same = [(one / path.name).read_bytes() == path.read_bytes() for path in other.iterdir()]
    print(
        f"  prepare killed twice and taken up again: {sum(same)} of {len(same)} files with the same bytes", flush=True
    )
    assert all(same)


def _through_the_loader(built, made: benchmarks.Benchmark, number: int, workers: int) -> list[str]:
    from harness.training.batches import Augmentation, ClipSource, Plan, batches
    from methods.contract import Phase

    rows = np.random.default_rng(workers).permutation(len(made.table))[:number]
    source = ClipSource(made.reader, rows, np.zeros(len(rows), np.int64), {}, "cpu", Augmentation.of(made, rows))
    phase = Phase("walk", lambda: source, lambda batch: None, epochs=1, batch=8, shuffle=False)
    clips = {}
    for batch in batches(source, Plan(phase, len(rows), (0,)), 0, -(-len(rows) // 8), workers):
        clips |= dict(zip(batch.sample_id.tolist(), batch.clips.numpy(), strict=True))
    times = {row: kitchen.clip_times(made.table, row, 14)[:, 0] for row in clips}
    wrong = kitchen.wrong_clips(built, made.table, clips, times, cropped=True)
    print(f"  {len(clips)} clips through {workers} loader workers: {len(wrong)} wrong", flush=True)
    return wrong


# ---- annotation files


def annotations(number: int = 3000) -> None:
    """Damaged annotation files end in one clear line, or in clips with the times of their rows, inside the folder."""
    with folder("annotations") as place:
        kinds = {"epic_kitchens": _epic(place), "kinetics": _kinetics(place), "video_csv": _own(place)}
        rng = np.random.default_rng(number)
        refused, wrong = dict.fromkeys(kinds, 0), []
        for k in range(number):
            name = list(kinds)[k % len(kinds)]
            path, options = kinds[name]
            good = path.read_bytes()
            how, damaged = _damage(good.decode(), rng)
            path.write_bytes(damaged)
            try:
                table = benchmarks.describe(name, options, place).table
                wrong += [f"{name}, {how}: {odd}" for odd in _odd_clips(name, table.frame)]
            except ValueError as error:
                refused[name] += 1
                if "\n" in str(error) or not str(error):
                    wrong.append(f"{name}, {how}: not one line: {error!r}")
            except Exception as error:  # what a user would see as a traceback
                wrong.append(f"{name}, {how}: {type(error).__name__}: {error}")
            finally:
                path.write_bytes(good)
        print(f"  {number} damaged files, refused: {refused}; wrong: {len(wrong)}")
        assert not wrong, "\n".join(wrong[:10])


def _damage(text: str, rng: np.random.Generator) -> tuple[str, bytes]:
    """One of the ways in which files go wrong, at a random place."""
    header, *rows = [line.split(",") for line in text.splitlines()]
    row, column, other = int(rng.integers(len(rows))), *rng.integers(0, len(header), 2).tolist()
    odd = ["", "nan", "NaN", "inf", "-1", "1e9", "../../etc/passwd", "/etc/passwd", "a" * 5000, "x", "0", "99:99:99.99",
           "\u0663", "00:00:01.00\n", '"', "..", "\\", "\0"]  # fmt: skip
    kind = int(rng.integers(8))
    if kind == 0:
        rows[row] = rows[row][: int(rng.integers(len(header)))]
    elif kind == 1:
        rows[row][column % len(rows[row])] = odd[int(rng.integers(len(odd)))]
    elif kind == 2:
        header[column], header[other] = header[other], header[column]
    elif kind == 3:
        for each in rows:
            each[column % len(each)], each[other % len(each)] = each[other % len(each)], each[column % len(each)]
    elif kind == 4:
        rows.append(list(rows[row]))
    elif kind == 5:
        for each in rows[row:]:
            each[column % len(each)] = odd[int(rng.integers(len(odd)))]
    lines = "\n".join(",".join(each) for each in [header, *rows]) + "\n"
    data = lines.encode("utf-8", "surrogatepass")
    if kind == 6:
        data = b"\xef\xbb\xbf" + data.replace(b"\n", b"\r\n")[: int(rng.integers(len(data)))]
    elif kind == 7:
        at = int(rng.integers(len(data)))
        data = data[:at] + rng.integers(0, 256, int(rng.integers(1, 8)), np.uint8).tobytes() + data[at + 1 :]
    ways = ("cut row", "odd value", "header swapped", "columns swapped", "row doubled", "odd column", "BOM, CRLF, cut",
            "random bytes")  # fmt: skip
    return f"{ways[kind]} at row {row}, column {header[column]!r}", data


def _odd_clips(name: str, frame) -> Iterator[str]:
    """What may not be in any table: paths that lead out, and times other than those that the sample was made with."""
    for clip in frame.itertuples():
        parts = Path(clip.file).parts
        if Path(clip.file).is_absolute() or ".." in parts or "\0" in clip.file:
            yield f"{clip.sample_id}: path {clip.file[:80]!r}"
        if not (np.isfinite(clip.start) and 0 <= clip.start < clip.stop):
            yield f"{clip.sample_id}: from {clip.start} to {clip.stop}"
        if name == "epic_kitchens" and abs(clip.start - (1.25 + 2 * int(clip.sample_id.rpartition("_")[2]))) > 0.061:
            yield f"{clip.sample_id}: begins at {clip.start}"
        if name == "kinetics" and (clip.start != 0 or clip.stop != _named_length(clip.sample_id)):
            yield f"{clip.sample_id}: from {clip.start} to {clip.stop}"


def _named_length(sample_id: str) -> float:
    start, stop = sample_id.rsplit("_", 2)[1:]
    return float(int(stop) - int(start))


def _epic(place: Path) -> tuple[Path, dict]:
    for kind, names in (("verb", VERBS), ("noun", NOUNS)):
        rows = [[str(k), name, f"['{name}']", "things"] for k, name in enumerate(names)]
        write_rows(place / f"EPIC_100_{kind}_classes.csv", "id,key,instances,category", rows)
    for part, videos in (("train", [f"P0{k}_0{k}" for k in range(1, 7)]), ("validation", ["P01_31"])):
        rows = [ek_row(v, n, 1.25 + 2 * n, n % 2, n % 3) for v in videos for n in range(6)]
        write_rows(place / f"EPIC_100_{part}.csv", EK_HEADER, rows)
    return place / "EPIC_100_train.csv", {"annotations": str(place), "min_train": 1, "min_test": 1}


def _kinetics(place: Path) -> tuple[Path, dict]:
    header = "label,youtube_id,time_start,time_end,split"
    write_rows(place / "kinetics700_train.csv", header, kinetics_rows("train", 0, 20))
    write_rows(place / "kinetics700_validate.csv", header, kinetics_rows("validate", 30, 8))
    return place / "kinetics700_train.csv", {"annotations": str(place)}


def _own(place: Path) -> tuple[Path, dict]:
    rows = [[f"a/{k}.mp4", f"class {k % 3}", str(k), str(k + 2), "train" if k % 4 else "test"] for k in range(20)]
    write_rows(place / "mine.csv", "file,label,start,stop,split", rows)
    return place / "mine.csv", {"annotations": str(place / "mine.csv")}


# ---- memory and speed


def opens(number: int = 2000) -> None:
    """Opening and decoding videos, good and bad, does not grow the process."""
    with folder("opens") as place:
        path = place / "a.mp4"
        kitchen.write_video(path, Fraction(30), 60)
        (place / "bad.mp4").write_bytes(path.read_bytes()[:3000])
        files = [path, place / "bad.mp4"]
        if (SHARED / "decode").is_dir():
            files += sorted((SHARED / "decode").glob("*.mp4"))
        seen, handles = {}, {}
        for k, file in enumerate(itertools.islice(itertools.cycle(files), number)):
            if k in (number // 4, number - 1):
                seen[k], handles[k] = psutil.Process().memory_info().rss / 1e6, psutil.Process().num_fds()
            with suppress(BadVideo):
                decode(file, frame_times(0.2, 1.5, 3))
        (first, last), (before, after) = seen.values(), handles.values()
        print(f"  {number} opens of {len(files)} files: {first:.1f} MB after a quarter, {last:.1f} MB at the end; "
              f"{before} and {after} file handles")  # fmt: skip
        assert last < first + 10
        assert after <= before


def prepare(number: int = 3) -> None:
    """Prepare of a two-minute 1080p video against ffmpeg's bare decoding of it, and cached reading against decoding."""
    with folder("prepare") as place:
        path = place / "videos" / "long.mp4"
        _write_long(path)
        # Segments without gaps: as ffmpeg does, prepare decodes all of the video.
        rows = [f"long.mp4,{'ab'[k % 2]},{3 * k},{3 * k + 3},train" for k in range(40)]
        (place / "long.csv").write_text("\n".join(["file,label,start,stop,split", *rows]) + "\n")
        program = os.environ.get("FFMPEG") or shutil.which("ffmpeg")
        if program is None:
            print("  no ffmpeg on this machine (FFMPEG=... names one): not compared with it")
        taken: dict[str, list[float]] = {"prepare": [], "ffmpeg": []}
        words = ["benchmark=video_csv", f"benchmark.annotations={place / 'long.csv'}", "benchmark.valid=0", "workers=1",
                 f"benchmark.videos={path.parent}"]  # fmt: skip
        for k in range(number):
            command = [sys.executable, "-m", "benchmarks.prepare", *words, f"paths.cache={place / f'cache{k}'}"]
            taken["prepare"].append(_cpu(command))
            if program:
                taken["ffmpeg"].append(
                    _cpu([program, "-v", "error", "-threads", "1", "-i", str(path), "-f", "null", "-"])
                )
        print(
            f"  CPU s, {number} rounds in turn: {json.dumps({k: [round(s, 1) for s in v] for k, v in taken.items()})}"
        )
        _reading(place, path)
        if program:
            ratio = statistics.median(taken["prepare"]) / statistics.median(taken["ffmpeg"])
            print(f"  prepare takes {ratio:.2f} times the CPU of ffmpeg")
            assert ratio <= 1.3


def _write_long(path: Path) -> None:
    """1080p, 59.94 a second, two minutes of moving, noisy texture, B-frames, key frames two seconds apart, 8 Mbit/s."""
    path.parent.mkdir()
    rng = np.random.default_rng(0)
    texture = np.kron(rng.integers(40, 216, (135, 240)), np.ones((8, 8))).astype(np.uint8)
    noise = rng.integers(0, 12, (8, 1080, 1920), np.uint8)
    picture = np.full((1620, 1920), 128, np.uint8)
    with av.open(str(path), "w") as container:
        options = {"preset": "superfast", "bf": "2", "g": "120"}
        stream = container.add_stream("libx264", rate=kitchen.RATES[3], options=options)
        stream.width, stream.height, stream.pix_fmt, stream.bit_rate = 1920, 1080, "yuv420p", 8_000_000
        for number in range(7193):
            picture[:1080] = np.roll(texture, 3 * number, axis=1) + noise[number % 8]
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="yuv420p")))
        container.mux(stream.encode())
    print(f"  a video of {path.stat().st_size / 1e6:.0f} MB", flush=True)


def _reading(place: Path, path: Path) -> None:
    cache = FrameCache(next((place / "cache0").glob("*-frames")))
    rows = np.arange(40)

    def seconds(work: Callable[[], object]) -> float:
        start = time.process_time()
        work()
        return time.process_time() - start

    read = min(seconds(lambda: cache.read(rows)) for _ in range(3)) / len(rows)
    decoded = seconds(lambda: [decode(path, frame_times(10 * k, 10 * k + 3, 14)) for k in range(8)]) / 8
    print(f"  cached {1 / read:,.0f} clips/s, decoded {1 / decoded:.2f} clips/s: {decoded / read:,.0f} times")
    assert decoded / read >= 100


def _cpu(command: list[str]) -> float:
    """Processor seconds of a command and its processes."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


CHECKS = {"frames": frames, "annotations": annotations, "opens": opens, "prepare": prepare}
