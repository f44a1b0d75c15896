"""The benchmarks of recorded videos: the official annotation files, and small videos decoded, cached and missing."""

import importlib.util
import json
import shutil
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

import benchmarks
from benchmarks.frames.decode import BadVideo, decode, extent, fit, frame_times
from benchmarks.stream import build_stream
from tests.test_annotations import describe_ek, ek  # noqa: F401  a fixture

SHARED = Path(__file__).resolve().parent.parent.parent / "shared" / "data"


def shared(name: str) -> str:
    """A folder of the developers' data; users have none, so tests on it skip."""
    if not (SHARED / name).is_dir():
        pytest.skip(f"no folder {SHARED / name}")
    return str(SHARED / name)


def counts(stream) -> list[int]:
    parts = (stream.train_stream, stream.valid_stream, stream.test_stream)
    return [sum(len(each.indices) for each in part) for part in parts]


# ---- official annotation files


@pytest.fixture(scope="module")
def ek100():
    return benchmarks.describe("epic_kitchens", {"annotations": shared("ek100")})


@pytest.mark.parametrize(
    ("label", "classes", "train", "test", "left_out", "left_out_clips"),
    [("noun", 92, 59_163, 8_674, 197, 8_054), ("verb", 37, 64_274, 9_339, 60, 2_943)],
)
def test_epic_kitchens_has_the_published_counts(ek100, label, classes, train, test, left_out, left_out_clips):
    stream = build_stream(ek100.table, label, 10, 0, "pretrained")
    trained, valid, tested = counts(stream)
    assert (stream.n_classes, trained + valid, tested) == (classes, train, test)
    assert 0.08 < valid / train < 0.12
    assert len(stream.pretraining_classes) == left_out
    assert f"{left_out_clips:,} clips of {left_out} classes" in stream.notes[0]
    frame = ek100.table.frame
    before = frame.iloc[stream.pretraining.indices]
    assert set(before.split) == {"train"}
    assert set(before[label]).isdisjoint(stream.classes)


def test_epic_kitchens_splits_share_no_video_and_tasks_do(ek100):
    frame = ek100.table.frame
    assert (len(frame), (frame.split == "test").sum()) == (67_217 + 9_668, 9_668)
    groups = frame.groupby("split").group.agg(set)
    assert [len(groups[part]) for part in ("test", "train", "valid")] == [138, 427, 68]
    assert groups["train"].isdisjoint(groups["valid"])
    everything = describe_ek(Path(shared("ek100")), min_train=0, min_test=0, valid=0)
    stream = build_stream(everything.table, "noun", 10, 0)
    assert stream.n_classes == 289
    assert any("holds clips of 7.6 of the 10 tasks on average" in note for note in stream.notes)


def test_class_orders_are_a_function_of_their_seed(ek100):
    orders = [build_stream(ek100.table, "noun", 10, seed) for seed in (0, 0, 1)]
    assert orders[0].class_order == orders[1].class_order != orders[2].class_order
    assert [orders[0].classes[i] for i in orders[0].class_order[0]][:3] == ["plate", "mixture", "sink"]


def test_kinetics_has_the_published_counts():
    options = {"annotations": shared("kinetics"), "source": "validation"}
    table = benchmarks.describe("kinetics", options).table
    stream = build_stream(table, "action", 10, 0)
    assert (len(table), stream.n_classes, sum(counts(stream))) == (33_909, 700, 33_909)
    groups = table.frame.groupby("split").group.agg(set)
    assert not groups["test"] & (groups["train"] | groups["valid"])
    for pretrain, before, streamed in (("k400_merged", 392, 308), ("k400_name", 378, 322)):
        table = benchmarks.describe("kinetics", {**options, "pretrain": pretrain}).table
        stream = build_stream(table, "action", 10, 0, "pretrained")
        assert (len(stream.pretraining_classes), stream.n_classes) == (before, streamed)
    with pytest.raises(ValueError, match=r"lacks the train CSV of Kinetics-700.*benchmark.source=validation"):
        benchmarks.describe("kinetics", {**options, "source": "official"})


@pytest.mark.parametrize(
    ("dataset", "tasks", "trained", "tested"),
    [("ucf101", 10, 9_280, 2_726), ("ucf101", 20, 9_280, 2_726), ("activitynet", 20, 15_410, 7_654)],
)
def test_vclimb_has_the_published_tasks(dataset, tasks, trained, tested):
    folder = shared("vclimb")
    options = {"annotations": folder, "dataset": dataset, "tasks": tasks}
    table = benchmarks.describe("vclimb", options).table
    stream = build_stream(table, "action", tasks, 5)
    order = json.loads((Path(folder) / f"{dataset}_{tasks}tasks_class_order.json").read_text())
    assert [[stream.classes[i] for i in members] for members in stream.class_order] == order
    train, valid, test = counts(stream)
    assert (train if dataset == "ucf101" else train + valid, test) == (trained, tested)


def test_untrimmed_videos_hold_all_of_their_segments():
    given = {"annotations": shared("vclimb"), "dataset": "activitynet", "tasks": 20}
    trimmed, whole = (benchmarks.describe("vclimb", {**given, "untrimmed": u}).table.frame for u in (False, True))
    assert set(trimmed["file"]) == set(whole["file"])
    assert not whole.duplicated(["file", "action"]).any()
    ends = trimmed.groupby("file")["stop"].max()
    assert (whole["start"] == 0).all()
    assert (whole.groupby("file")["stop"].max() >= ends - 1).all()


# ---- right frames of all kinds of files

NTSC = Fraction(60000, 1001)
CONSTANT = {
    "cfr5994": (NTSC, 360), "cfr50": (50, 300), "cfr2997": (NTSC / 2, 180), "cfr4795": (Fraction(48000, 1001), 288),
    "cfr90": (90, 540), "cfr25": (25, 150), "opengop": (NTSC, 360), "bpyramid_closed": (NTSC, 360), "nob": (NTSC, 240),
    "rot90": (NTSC, 240), "gop250": (NTSC, 600), "audio": (NTSC, 360), "odd1278x718": (NTSC, 90),
    "odd322x242": (NTSC, 120), "odd321x241_444": (NTSC, 120), "vp9_odd321x241": (NTSC, 120), "tenbit": (NTSC, 180),
    "hevc": (NTSC, 180), "vp9": (NTSC, 180), "av1": (NTSC, 180), "single": (NTSC, 1), "short1s": (NTSC, 60),
    "kinetics340x256": (30, 300),
}  # fmt: skip
# First stored frame, its time, rate, last frame.
SHIFTED = {
    "start15": (0, Fraction(3, 2), NTSC, 299), "editlist": (102, Fraction(0), NTSC, 359),
    "copycut_zero": (60, Fraction(33, 1000), NTSC, 359),
}  # fmt: skip


@pytest.fixture(scope="module")
def barcode():
    file = Path(shared("decode")) / "make_barcode.py"
    spec = importlib.util.spec_from_file_location("make_barcode", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def expected(name: str, moment: float) -> int:
    exact = Fraction(moment) + Fraction(1, 10**6)
    if name == "vfr":
        shown = np.loadtxt(SHARED / "decode" / "vfr_times.txt")
        return int(np.clip(np.searchsorted(shown, float(exact), "right") - 1, 0, len(shown) - 1))
    first, begin, rate, last = SHIFTED.get(name) or (0, Fraction(0), CONSTANT[name][0], CONSTANT[name][1] - 1)
    return int(np.clip(first + (exact - begin) * rate // 1, first, last))


@pytest.mark.parametrize("name", [*CONSTANT, *SHIFTED, "vfr"])
def test_every_good_file_gives_the_right_frames(barcode, name):
    path = SHARED / "decode" / f"{name}.mp4"
    end = 6.0 if name == "short1s" else extent(path).end
    times = np.concatenate([frame_times(0.55 * end, 0.9 * end, 7), frame_times(0, end, 5), [0.0, end]])
    frames = decode(path, times)
    reads = [barcode.read_rot(frame) for frame in frames]
    assert [read and read[0] for read in reads] == [expected(name, moment) for moment in times]
    assert {read[2] for read in reads} == {3 if name == "rot90" else 0}  # turned by a quarter


BAD = {
    "audio_only": "no video stream", "empty": "the file is empty", "text": "Invalid data", "trunc_nomoov": "index",
    "trunc_faststart": "no frame could be decoded|damaged", "damaged_middle": "damaged", "zeroed_middle": "damaged",
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_every_bad_file_is_refused_with_its_reason(barcode, name):
    path = SHARED / "decode" / f"{name}.mp4"
    with pytest.raises(BadVideo, match=rf"{name}.mp4: .*({BAD[name]})"):
        decode(path, frame_times(2.5, 5.9, 14))
    for start, stop in ((0.2, 1.8), (4.3, 5.8)) if "_middle" in name else ():
        times = frame_times(start, stop, 7)
        read = [barcode.read(frame)[0] for frame in decode(path, times)]
        assert read == [int((Fraction(t) + Fraction(1, 10**6)) * NTSC) for t in times]


# ---- videos of one's own: sizes, layouts, bad ones, through the cache

RATE, SECONDS = 10, 20


def write_video(path: Path, seconds: int = SECONDS, width: int = 64, height: int = 48, shown=None) -> Path:
    """Frame number n, ten a second, shows n (or shown[n]) in two vertical stripes in base 16: 8 + 15 x the digit."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"crf": "1", "g": "20", "preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(seconds * RATE) if shown is None else shown:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture(number, width, height), format="rgb24")))
        container.mux(stream.encode())
    return path


def picture(number: int, width: int = 64, height: int = 48) -> np.ndarray:
    pixels = np.full((height, width, 3), 8 + 15 * (number // 16), np.uint8)
    pixels[:, width // 2 :] = 8 + 15 * (number % 16)
    return pixels


def numbers(clip: np.ndarray) -> list[int]:
    """Frame numbers read from a clip [T, H, W, 3] of any size."""
    width = clip.shape[2]
    stripes = [clip[:, 4:-4, a:b].mean((1, 2, 3)) for a, b in ((2, width // 2 - 3), (width // 2 + 3, width - 2))]
    high, low = (np.rint((stripe - 8) / 15).astype(int) for stripe in stripes)
    return (16 * high + low).tolist()


@pytest.fixture(scope="module")
def film(tmp_path_factory) -> Path:
    return write_video(tmp_path_factory.mktemp("film") / "film.mp4")


def lay_out(root: Path, film: Path, videos, pattern: str) -> Path:
    for video in videos:
        path = root / pattern.format(p=video[:3], v=video)
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(film, path)
    return root


def videos_of(folder: Path) -> list[str]:
    return sorted(describe_ek(folder).table.frame.group.unique())


def load_ek(folder: Path, videos: Path, cache: Path, **options):
    given = {"annotations": str(folder), "videos": str(videos), "min_train": 1, "min_test": 1, "frames": 5,
             "size": 32, **options}  # fmt: skip
    return benchmarks.load("epic_kitchens", given, cache)


@pytest.mark.parametrize("pattern", ["{p}/videos/{v}.MP4", "{v}.mp4", "videos/train/{p}/{v}.MP4"])
def test_cached_clips_hold_the_frames_of_their_times(ek, film, tmp_path, pattern):  # noqa: F811
    root = lay_out(tmp_path / "videos", film, videos_of(ek), pattern)
    benchmark = load_ek(ek, root, tmp_path / "cache")
    frame = benchmark.table.frame
    rows = np.random.default_rng(0).permutation(len(frame))[:30]
    clips = benchmark.reader.read(rows)
    assert clips.shape == (30, 5, 32, 32, 3)
    for row, clip in zip(rows, clips, strict=True):
        times = frame_times(frame.start[row], frame.stop[row], 5)
        assert numbers(clip) == [int(t * RATE + 1e-5) for t in times]


def test_folders_of_images_are_read_at_the_rate_of_their_release(ek, tmp_path):  # noqa: F811
    for video in videos_of(ek):
        rate = 60 if len(video) == 6 else 50
        folder = tmp_path / "videos" / video[:3] / "rgb_frames" / video
        folder.mkdir(parents=True)
        for number in range(15 * rate):
            if number < 3 * rate:  # the clips looked at; a gap is an error, so later images are links to the last
                shown = number * RATE // rate
                if number * RATE % rate < RATE:
                    last = folder / f"frame_{number + 1:010d}.jpg"
                    Image.fromarray(picture(shown)).save(last, quality=95)
                    continue
            (folder / f"frame_{number + 1:010d}.jpg").hardlink_to(last)
    benchmark = load_ek(ek, tmp_path / "videos", tmp_path / "cache")
    frame = benchmark.table.frame
    early = np.flatnonzero(frame.start < 1.3)
    assert len(early) == 14
    for row, clip in zip(early, benchmark.reader.read(early), strict=True):
        assert numbers(clip) == [int(t * RATE + 1e-5) for t in frame_times(frame.start[row], frame.stop[row], 5)]


def test_two_files_of_one_name_and_empty_folders_are_errors(ek, film, tmp_path):  # noqa: F811
    (tmp_path / "videos").mkdir()
    with pytest.raises(ValueError, match="holds none of the 14 videos"):
        describe_ek(ek, videos=str(tmp_path / "videos"))
    for pattern in ("a/{v}.mp4", "b/{v}.mp4"):
        lay_out(tmp_path / "videos", film, ["P01_11"], pattern)
    with pytest.raises(ValueError, match=r"2 files for P01/videos/P01_11\.MP4"):
        describe_ek(ek, videos=str(tmp_path / "videos"))
    with pytest.raises(ValueError, match="is no folder"):
        describe_ek(ek, videos=str(tmp_path / "none"))
    with pytest.raises(ValueError, match=r"needs benchmark.videos=DIR"):
        benchmarks.load("epic_kitchens", {"annotations": str(ek)}, tmp_path)


@pytest.fixture
def spoilt(ek, film, tmp_path) -> Path:  # noqa: F811
    """Videos of which one is missing, one is a web page, one cut short and one ends at 8 of 13 s."""
    root = lay_out(tmp_path / "videos", film, videos_of(ek), "{v}.MP4")
    (root / "P01_11.MP4").unlink()
    (root / "P02_12.MP4").write_text("<html>not found</html>")
    (root / "P03_13.MP4").write_bytes(film.read_bytes()[:3000])
    write_video(root / "P04_14.MP4", seconds=8)
    return root


def test_bad_videos_fail_with_the_whole_list_by_default(ek, spoilt, tmp_path, capsys):  # noqa: F811
    note = describe_ek(ek, videos=str(spoilt)).notes
    assert any("6 of 84 clips have no video (1 videos): P01/videos/P01_11.MP4" in line for line in note)
    with pytest.raises(
        BadVideo, match=r"20 clips of 4 videos cannot be used, listed in .*bad.csv.*on_bad=skip"
    ) as caught:
        load_ek(ek, spoilt, tmp_path / "cache")
    assert "\n" not in str(caught.value)
    (listed,) = (tmp_path / "cache").glob("*-bad.csv")
    text = listed.read_text()
    assert text.count("not under") == 6
    assert "P02_12.MP4: Invalid data" in text
    assert "ends at 8.00 s, the clip begins at 9.25 s" in text
    assert not list((tmp_path / "cache").glob("*-frames"))
    capsys.readouterr()
    assert len(load_ek(ek, spoilt, tmp_path / "cache", on_bad="skip").table.unusable) == 20
    assert "0 clips, about 0 B of" in capsys.readouterr().err  # nothing is decoded twice


def test_bad_videos_are_skipped_or_replaced_and_counted(ek, spoilt, tmp_path):  # noqa: F811
    skipping = load_ek(ek, spoilt, tmp_path / "cache", on_bad="skip")
    assert len(skipping.table) == 84
    assert skipping.table.hash == describe_ek(ek).table.hash
    assert len(skipping.table.unusable) == 20
    assert {bad["done"] for bad in skipping.bad} == {"skipped", "kept, its last frame repeats"}
    stream = build_stream(skipping.table, "noun", 3, 0)
    assert sum(counts(stream)) == 64
    assert skipping.reader.read(np.concatenate([e.indices for e in stream.train_stream])).shape[1:] == (5, 32, 32, 3)
    described = describe_ek(ek, videos=str(spoilt), on_bad="skip", frames=5, size=32)
    assert len(described.table.unusable) == 6  # what decoding will find is not known in another cache folder

    replacing = load_ek(ek, spoilt, tmp_path / "cache", on_bad="replace")
    assert sum(counts(build_stream(replacing.table, "noun", 3, 0))) == 84
    frame = replacing.table.frame.set_index("sample_id")
    by = {bad["sample_id"]: bad["done"].removeprefix("replaced by ") for bad in replacing.bad if "by" in bad["done"]}
    assert len(by) == 20
    for lost, other in by.items():
        assert tuple(frame.loc[lost, ["split", "verb", "noun"]]) == tuple(frame.loc[other, ["split", "verb", "noun"]])
        pair = [int(np.flatnonzero(frame.index == name)[0]) for name in (lost, other)]
        first, second = replacing.reader.read(pair)
        assert (first == second).all()


def test_resizing_crops_the_centre_or_stretches():
    pixels = np.zeros((40, 80, 3), np.uint8)
    pixels[:, 20:60] = 200
    assert fit(pixels, 20, 20, "crop")[:, 1:-1].min() > 190
    stretched = fit(pixels, 20, 20, "stretch")
    assert stretched[:, :4].max() < 10 < 190 < stretched[:, 8:12].min()
    assert fit(np.rot90(pixels), 30, 30, "crop").shape == (30, 30, 3)
    with pytest.raises(ValueError, match=r"resize=.* is not allowed"):
        fit(pixels, 20, 20, "pad")


def test_a_short_clip_repeats_frames(film, tmp_path):
    (tmp_path / "videos").mkdir()
    shutil.copy(film, tmp_path / "videos" / "a.mp4")
    path = tmp_path / "mine.csv"
    path.write_text("file,label,start,stop,split\na.mp4,x,1.0,1.2,train\na.mp4,y,2,2.01,train\na.mp4,x,,,train\n")
    given = {"annotations": str(path), "videos": str(tmp_path / "videos"), "frames": 4, "size": 32, "valid": 0}
    benchmark = benchmarks.load("video_csv", given, tmp_path / "cache")
    read = {clip: numbers(frames) for clip, frames in
            zip(benchmark.table.frame.sample_id, benchmark.reader.read(np.arange(3)), strict=True)}  # fmt: skip
    assert read["a.mp4@1.000-1.200"] == [10, 10, 11, 11]
    assert read["a.mp4@2.000-2.010"] == [20] * 4
    assert read["a.mp4"] == [25, 75, 125, 175]


def test_one_folder_a_class_makes_a_stream(film, tmp_path):
    for number in range(8):
        lay_out(tmp_path / "videos" / f"class {number % 2}", film, [f"clip{number}"], "{v}.mp4")
    benchmark = benchmarks.load("video_csv", {"videos": str(tmp_path / "videos"), "frames": 4, "size": 32}, tmp_path)
    stream = build_stream(benchmark.table, "label", 2, 0)
    assert counts(stream) == [4, 2, 2]
    assert all(len(each.indices) == 1 for each in stream.test_stream)
    assert benchmark.reader.read(stream.test_stream[0].indices).shape == (1, 4, 32, 32, 3)


def test_kinetics_files_are_found_in_the_crawlers_layouts(film, tmp_path):
    rows = [f"class {k % 2},{k:011d},{k},{k + 10},train" for k in range(8)]
    (tmp_path / "train.csv").write_text("label,youtube_id,time_start,time_end,split\n" + "\n".join(rows) + "\n")
    test = [f"class {k % 2},{k:011d},{k},{k + 10},val" for k in (20, 21)]
    (tmp_path / "val.csv").write_text("label,youtube_id,time_start,time_end,split\n" + "\n".join(test) + "\n")
    root = tmp_path / "videos"
    for k in (0, 1, 2, 3, 4, 20, 21):
        name = f"{k:011d}_{k:06d}_{k + 10:06d}"
        where = ("train/class_0/{v}.mp4", "{v}.mp4", "k700-2020/train/{v}.mp4")[k % 3]
        lay_out(root, film, [name], where)
    lay_out(root, film, [f"{5:011d}"], "{v}.mp4")  # the id alone
    options = {"annotations": str(tmp_path), "videos": str(root), "on_bad": "skip", "frames": 2, "size": 32}
    benchmark = benchmarks.load("kinetics", options, tmp_path / "cache")
    assert any("2 of 10 clips have no video" in note for note in benchmark.notes)
    usable = [row for row in range(10) if row not in benchmark.table.unusable]
    assert len(usable) == 8
    assert [numbers(clip) for clip in benchmark.reader.read(usable)] == [[25, 75]] * 8


def test_real_clips_run_through_video_csv(tmp_path):
    folder = tmp_path / "videos"
    for name in ("bikes", "carphone_pristine", "cup"):
        for part in ("train", "test"):
            lay_out(folder / part / name, Path(shared("clips")) / f"{name}.mp4", ["clip" + part], "{v}.mp4")
    benchmark = benchmarks.load("video_csv", {"videos": str(folder), "frames": 4, "size": 64, "valid": 0}, tmp_path)
    assert counts(build_stream(benchmark.table, "label", 3, 0)) == [3, 0, 3]
    clip = benchmark.reader.read(np.array([0]))[0]
    assert clip.std() > 10
