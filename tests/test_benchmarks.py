"""Moving digits: what they hold, how they look, their files and the cache of their frames."""

import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import av
import numpy as np
import pytest

import benchmarks
from benchmarks import moving_digits
from benchmarks.digit_videos import FAMILIES, VERBS, Look, clip_generator, draw_clip
from benchmarks.frames.build import Wish, prepare
from benchmarks.frames.cache import FrameCache
from benchmarks.frames.decode import BadVideo, decode, frame_times
from benchmarks.moving_digits import blocks

TINY = {"actions": 20, "clips_per_class": 2}


@pytest.fixture(scope="module")
def cache(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def tiny(cache):
    return benchmarks.load("moving_digits", TINY, cache)


@pytest.fixture(scope="module")
def full(cache):
    """The default benchmark without its frames."""
    return benchmarks.describe("moving_digits", {}, cache)


# ---- what the benchmark holds


def test_default_table_has_forty_actions_of_the_stated_sizes(full):
    frame = full.table.frame
    sizes = frame.groupby(["split", "action"]).size()
    for split, classes, clips in (("train", 40, 100), ("valid", 40, 20), ("test", 40, 40), ("pretrain", 20, 20)):
        assert len(sizes[split]) == classes
        assert set(sizes[split]) == {clips}
    assert set(frame.loc[frame.split == "pretrain", "action"]).isdisjoint(frame.loc[frame.split == "train", "action"])
    assert frame.groupby("block").action.nunique().eq(4).all()
    assert (frame.action == frame.verb + " " + frame.noun).all()
    assert frame.sample_id.is_monotonic_increasing


def test_no_digit_image_is_on_both_sides_of_a_split(full):
    groups = full.table.frame.groupby("split").group.agg(set)
    assert groups["train"].isdisjoint(groups["valid"] | groups["test"])
    assert groups["valid"].isdisjoint(groups["test"])
    assert groups["pretrain"].isdisjoint(groups["valid"] | groups["test"])


def test_a_family_comes_again_with_other_hue_and_polarity_and_spares_are_never_streamed():
    streamed, before = blocks()
    first, second = ({block.look.family: block.look for block in half} for half in (streamed[:5], streamed[5:]))
    assert set(first) == set(second)
    assert all(first[f].light_digit != second[f].light_digit and first[f].hue != second[f].hue for f in first)
    assert {block.look.family for block in before} == set(FAMILIES) - set(first)


def test_data_seed_and_leak_give_another_table_and_tasks_do_not(cache, full):
    def table_hash(**options):
        return benchmarks.describe("moving_digits", options, cache).table.hash

    assert table_hash(tasks=4) == full.table.hash == table_hash(leak=0)
    assert len({full.table.hash, table_hash(data_seed=1), table_hash(leak=0.3), table_hash(clips_per_class=50)}) == 4


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"leek": 0.1}, "did you mean 'leak'"),
        ({"leak": 1.5}, "leak=1.5 is not allowed: it must be at most 1"),
        ({"actions": 30}, r"actions=30 is not allowed.*allowed: 20, 40"),
        ({"tasks": "ten"}, "whole number"),
        ({"clips_per_class": 0}, "at least 1"),
        ({"data_seed": True}, "whole number"),
    ],
)
def test_bad_options_say_what_is_allowed(options, message):
    with pytest.raises(ValueError, match=message):
        benchmarks.parse("moving_digits", options)


def test_unknown_benchmark_names_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'moving_digits'"):
        benchmarks.load("moving-digit", {})


# ---- drawing


def _digit_positions(clip: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean x, mean y and area of what is much lighter than the background, in each frame."""
    light = clip.mean(-1) > 150
    area = light.sum((1, 2))
    y, x = np.mgrid[0:32, 0:32]
    return (light * x).sum((1, 2)) / area, (light * y).sum((1, 2)) / area, area


def _turn(verb: str, clip: np.ndarray) -> float:
    """The angle (radians, clockwise) that the digit's place or long axis goes through."""
    x, y, _ = _digit_positions(clip)
    if verb.startswith("orbit"):
        angles = np.unwrap(np.arctan2(y - y.mean(), x - x.mean()))
        return angles[-1] - angles[0]
    grid_y, grid_x = np.mgrid[0:32, 0:32]
    axes = []
    for frame, cx, cy in zip(clip.mean(-1) > 150, x, y, strict=True):
        u, v = grid_x[frame] - cx, grid_y[frame] - cy
        axes.append(np.arctan2(2 * (u * v).mean(), (u**2).mean() - (v**2).mean()))
    angles = np.unwrap(axes) / 2
    return angles[-1] - angles[0]


@pytest.mark.parametrize("verb", VERBS)
def test_every_motion_is_what_its_name_says(verb):
    bar = np.zeros((8, 8))
    bar[1:7, 3:5] = 16
    look = Look("gradient", 0.3, light_digit=True)
    for number in range(5):
        clip = draw_clip(verb, bar, look, clip_generator((0, verb, "test of motions"), number))
        x, y, area = _digit_positions(clip)
        step = {"left": x[0] - x[-1], "right": x[-1] - x[0], "up": y[0] - y[-1], "down": y[-1] - y[0]}
        if verb in step:
            assert step[verb] > 5
        elif verb.startswith("zoom"):
            assert (area[-1] > 1.5 * area[0]) == (verb == "zoom in")
            assert (area[0] > 1.5 * area[-1]) == (verb == "zoom out")
        else:
            turn = _turn(verb, clip)
            assert abs(turn) > (3.5 if verb.startswith("orbit") else 1.0)
            assert (turn > 0) == verb.endswith(" cw")


def test_digits_stand_out_from_every_background():
    full_square = np.full((8, 8), 16)
    for family in FAMILIES:
        for light in (True, False):
            look = Look(family, 0.6, light)
            clip = draw_clip("zoom in", full_square, look, clip_generator((0, family, "contrast"), int(light)))
            inside, outside = clip[-1, 13:19, 13:19].mean(), clip[0, :3].mean()
            assert (inside - outside > 60) if light else (outside - inside > 60)


# ---- files


def test_videos_are_read_back_as_they_were_drawn(tiny, cache):
    settings = benchmarks.parse("moving_digits", TINY)
    _, jobs = moving_digits.layout(settings, cache)
    frame = tiny.table.frame
    for job in jobs[::17]:
        rows = np.flatnonzero(frame.file.str.endswith("/" + job.path.as_posix()))
        assert len(rows) == len(job.numbers)
        for row, number, image, look in zip(rows, job.numbers, job.images, job.looks, strict=True):
            drawn = draw_clip(job.verb, image, look, clip_generator(job.key, number)).astype(int)
            assert np.abs(drawn - tiny.reader.read(np.array([row]))[0]).mean() < 3
            first = frame.loc[row]
            times = frame_times(first.start, first.stop, 8)
            assert np.array_equal(decode(tiny.table.root / first.file, times), tiny.reader.read(np.array([row]))[0])


def test_another_decoder_shows_the_same_frames(tiny):
    decord = pytest.importorskip("decord", reason="decord has no wheel for this machine")
    for file in sorted(set(tiny.table.frame["file"]))[::20]:
        theirs = decord.VideoReader(str(tiny.table.root / file), num_threads=1)
        every = range(len(theirs))
        shown = decode(tiny.table.root / file, theirs.get_frame_timestamp(every).mean(axis=1))
        assert np.array_equal(shown, theirs.get_batch(every).asnumpy())


def test_every_clip_begins_with_a_key_frame(tiny):
    frame = tiny.table.frame
    clips = frame[frame.file == frame.loc[frame.split == "train", "file"].iloc[0]]
    with av.open(str(tiny.table.root / clips.file.iloc[0])) as container:
        keys = [float(p.pts * p.time_base) for p in container.demux(video=0) if p.is_keyframe and p.pts is not None]
        assert container.streams.video[0].codec_context.pix_fmt == "yuv444p"
    assert keys == clips.start.tolist()


def test_clips_do_not_depend_on_how_many_there_are_nor_on_the_workers(tiny, tmp_path):
    more = benchmarks.load("moving_digits", {**TINY, "clips_per_class": 3}, tmp_path, workers=2)
    both = tiny.table.frame.reset_index().merge(more.table.frame.reset_index(), on="sample_id")
    assert len(both) == len(tiny.table)
    a = tiny.reader.read(both.index_x.to_numpy()).astype(int)
    b = more.reader.read(both.index_y.to_numpy()).astype(int)
    assert np.abs(a - b).mean((1, 2, 3, 4)).max() < 3
    assert np.abs(a - np.roll(b, 1, 0)).mean() > 20


def test_leak_takes_the_backgrounds_of_other_blocks_in_its_share_of_the_clips(cache):
    def leaked(leak: float) -> float:
        settings = benchmarks.parse("moving_digits", {"leak": leak, "actions": 20})
        _, jobs = moving_digits.layout(settings, cache)
        own = {(verb, f"digit-{digit}"): b.look for b in blocks()[0] for verb in b.verbs for digit in b.digits}
        streamed = [job for job in jobs if job.key[2] != "pretrain"]
        return float(np.mean([look != own[job.verb, str(job.key[1])[-7:]] for job in streamed for look in job.looks]))

    assert leaked(0.0) == 0.0
    assert leaked(1.0) == pytest.approx(0.8, abs=0.05)  # a fifth of the random blocks are the clip's own
    assert leaked(0.3) == pytest.approx(0.24, abs=0.05)
    assert "leak=0.3" in benchmarks.describe("moving_digits", {"leak": 0.3}, cache).notes[0]


def test_a_killed_generation_is_redone_and_waiters_take_over(tmp_path):
    options = {"actions": 20, "clips_per_class": 3}
    script = f"import benchmarks; benchmarks.load('moving_digits', {options!r}, {str(tmp_path)!r})"
    child = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL)
    deadline = time.time() + 60
    while not list(tmp_path.glob("*.tmp-*/*/*.mp4")):
        assert child.poll() is None
        assert time.time() < deadline
        time.sleep(0.005)
    os.kill(child.pid, signal.SIGKILL if os.name == "posix" else signal.SIGTERM)
    child.wait()
    assert list(tmp_path.glob("*.tmp-*"))
    assert [path for path in tmp_path.iterdir() if path.is_dir() and ".tmp-" not in path.name] == []

    results = []
    threads = [
        threading.Thread(target=lambda: results.append(benchmarks.load("moving_digits", options, tmp_path)))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    rows = np.arange(len(results[0].table))
    assert np.array_equal(results[0].reader.read(rows), results[1].reader.read(rows))
    assert not list(tmp_path.glob("*.tmp-*"))


def test_a_cache_that_cannot_be_written_is_one_clear_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="cannot be used"):
        benchmarks.load("moving_digits", TINY, tmp_path / "file")


# ---- frame cache


def made(folder: Path, table, n: int, size: int = 32, **how) -> FrameCache:
    """A cache of the first n clips."""
    return prepare(folder, table, np.arange(n), Wish((8, size, size), **how), 1, "decoding")


@pytest.fixture
def copied(tiny, tmp_path) -> Path:
    """A frame cache of its own to damage."""
    folder = tmp_path / "frames"
    made(folder, tiny.table, 10)
    return folder


def test_reader_is_small_when_pickled_and_keeps_the_order_of_rows(tiny):
    rows = np.array([5, 3, 3, 17])
    clips = tiny.reader.read(rows)
    assert clips.dtype == np.uint8
    assert clips.shape == (4, 8, 32, 32, 3)
    assert np.array_equal(clips[1], clips[2])
    packed = pickle.dumps(tiny.reader)
    assert len(packed) < 50_000
    assert np.array_equal(pickle.loads(packed).read(rows), clips)
    with pytest.raises(ValueError, match="not all in the frame cache"):
        tiny.reader.read(np.array([len(tiny.table)]))


def test_a_damaged_shard_is_found(copied):
    shard = copied / "shard-0000.bin"
    content = bytearray(shard.read_bytes())
    content[24_576 * 3 + 7] ^= 1
    shard.write_bytes(content)
    cache = FrameCache(copied)
    cache.read(np.arange(3))
    with pytest.raises(OSError, match="checksum at row 3"):
        cache.read(np.array([3]))
    shard.write_bytes(content[:-1])
    with pytest.raises(OSError, match="wrong sizes"):
        FrameCache(copied)


def test_a_cache_of_other_clips_is_refused(tiny, copied):
    with pytest.raises(OSError, match="built for other clips"):
        made(copied, tiny.table, 11)


def test_changed_annotations_are_refused(tmp_path):
    options = {"actions": 20, "clips_per_class": 1}
    made = benchmarks.load("moving_digits", options, tmp_path)
    path = (made.table.root / made.table.frame.file[0]).parents[1] / "annotations.csv"
    path.write_text(path.read_text().replace("digit 1", "digit 2"))
    with pytest.raises(OSError, match=r"annotations\.csv was changed"):
        benchmarks.load("moving_digits", options, tmp_path)


def test_jpeg_cache_is_smaller_and_close(tiny, tmp_path):
    rows = np.arange(12)
    packed = made(tmp_path / "jpeg", tiny.table, 12, codec="jpeg")
    raw = tiny.reader.read(rows)
    assert np.abs(raw.astype(int) - packed.read(rows)).mean() < 8  # the colour noise goes
    assert (tmp_path / "jpeg" / "shard-0000.bin").stat().st_size < raw.nbytes / 2
    with pytest.raises(BadVideo, match=r"frames of \(32, 32\), not of \(16, 16\)"):
        made(tmp_path / "size", tiny.table, 12, size=16)
