"""Videos, folders and command lines as people have them: each is read right, or named in one line."""

import importlib.util
import itertools
import json
import shutil
import unicodedata
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

import benchmarks
from benchmarks.frames.decode import BadVideo, decode, extent, frame_times
from benchmarks.frames.find import VideoFile, find_videos
from benchmarks.frames.picture import displayed
from benchmarks.frames.shards import Clip, Packed, _within
from harness.config import overrides
from harness.config.compose import request
from tests import videos
from tests.videos import RATE, Made, number_of

REPORTS = Path(__file__).resolve().parent.parent.parent / "shared" / "data" / "reports"
ALL = list(videos.combinations())


# ---- time


@pytest.mark.parametrize("made", ALL[:: len(ALL) // 30], ids=str)
def test_a_frame_asked_for_by_its_time_comes_from_every_container(made, tmp_path):
    videos.check(tmp_path / f"a.{made.ending}", made)


def fate(path: Path, start: float, stop: float) -> str:
    """Whether a clip is kept whole, kept with a note that it is short, or bad."""
    packed = Packed()
    inside = _within(VideoFile(path), [Clip(0, start, stop)], packed, 4)
    return "bad" if packed.bad else "short" if packed.short else "whole" if inside else "lost"


def test_a_clip_outside_its_video_is_named(tmp_path):
    late = videos.write(tmp_path / "late.mkv", Made("mkv", "libx264", start=2.0))
    assert [fate(late, *span) for span in ((2, 3), (1.5, 2.6), (0, 1.8), (3, 5), (4, 5))] == [
        "whole", "short", "bad", "short", "bad",
    ]  # fmt: skip
    sounding = videos.write(tmp_path / "sounding.mkv", Made("mkv", "libx264"), sound=3.0)
    assert extent(sounding).end == pytest.approx(30 / RATE, abs=0.05)
    assert [fate(sounding, *span) for span in ((0, np.inf), (2, 3))] == ["whole", "bad"]
    cut = videos.write(tmp_path / "cut.webm", Made("webm", "libvpx", keep=0.5))
    assert extent(cut).end < 0.9
    assert fate(cut, 0.95, 1.2) == "bad"
    with pytest.raises(BadVideo, match=r"cut\.webm: "):
        decode(cut, [1.1])


def test_a_stream_that_begins_before_its_first_key_frame_begins_with_it(tmp_path):
    whole = videos.write(tmp_path / "whole.ts", Made("ts", "libx264", n=40))
    content = whole.read_bytes()
    with av.open(str(whole)) as container:
        second = [packet.pos for packet in container.demux(video=0) if packet.is_keyframe][1]
    # Tables that name the streams, then packets from the middle of the first group of pictures on.
    headless = tmp_path / "headless.ts"
    headless.write_bytes(content[: 188 * 3] + content[second - 188 * 8 :])
    begin, end = extent(headless)[:2]
    shown = [number_of(frame) for frame in decode(headless, frame_times(begin, end, 10))]
    assert None not in shown
    assert shown == sorted(shown)
    assert min(shown) >= 10


def test_a_broadcast_with_a_gap_gives_the_clips_before_and_after_it(tmp_path):
    whole = videos.write(tmp_path / "whole.ts", Made("ts", "mpeg2video", n=60)).read_bytes()
    gap = 188 * (len(whole) // 188 // 2)
    path = tmp_path / "gap.ts"
    path.write_bytes(whole[:gap] + whole[gap + 188 * 3 :])
    assert extent(path).end == pytest.approx(60 / RATE, abs=0.1)
    right = {k: None for k in range(2, 60)}
    for k in right:
        try:
            right[k] = number_of(decode(path, [(k + 0.5) / RATE])[0]) - k
        except BadVideo as error:
            right[k] = str(error).partition(": ")[2]
    numbers = [away for away in right.values() if not isinstance(away, str)]
    assert set(numbers) <= {0, -1, -2}
    assert len(numbers) >= 30
    assert isinstance(right[30], str)
    assert not isinstance(right[2], str)
    assert not isinstance(right[55], str)


def test_a_size_that_changes_is_an_error_unless_frames_are_resized(tmp_path):
    path = tmp_path / "both.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuvj420p"
        for number in range(20):
            coder = av.CodecContext.create("mjpeg", "w")
            coder.width = coder.height = size = 32 if number < 10 else 48
            coder.pix_fmt, coder.time_base = "yuvj420p", Fraction(1, 25)
            frame = av.VideoFrame.from_ndarray(videos.picture(number, size), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            for packet in coder.encode(frame):
                packet.stream = stream
                container.mux(packet)
    with pytest.raises(BadVideo, match="frame size changes"):
        decode(path, [0.1, 0.7])
    made = _folders(tmp_path, {"a/0.mkv": path, "b/0.mkv": path})
    assert [number_of(frame) for frame in made.reader.read(np.array([0]))[0]] == [5, 15]


# ---- orientation and shape


@pytest.mark.parametrize("turned", range(8))
def test_all_eight_display_matrices_show_the_picture_upright(turned):
    upright = videos.picture(75, 32)[:, :24]
    # What a camera stores, and the matrix that undoes it: a pixel at x, y goes to a x + c y, b x + d y.
    a, b, c, d = [(1, 0, 0, 1), (-1, 0, 0, 1), (1, 0, 0, -1), (-1, 0, 0, -1),
                  (0, 1, 1, 0), (0, 1, -1, 0), (0, -1, 1, 0), (0, -1, -1, 0)][turned]  # fmt: skip
    height, width = upright.shape[:2] if a else (upright.shape[1], upright.shape[0])
    stored = np.empty((height, width, 3), np.uint8)
    for y, x in itertools.product(range(height), range(width)):
        column, row = a * x + c * y - (a + c < 0), b * x + d * y - (b + d < 0)
        stored[y, x] = upright[row, column]  # negative ones count from the far side
    matrix = np.array([a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30], np.int32)
    assert (displayed(stored, matrix) == upright).all()


def test_pixels_that_are_not_square_are_made_so(tmp_path):
    path = tmp_path / "wide.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(videos.picture(5), format="rgb24")))
        container.mux(stream.encode())
    (frame,) = decode(path, [0.0])
    assert frame.shape == (32, 43, 3)
    assert number_of(frame) == 5


def test_a_cover_picture_is_not_the_video(tmp_path):
    film, cover = tmp_path / "film.mp4", tmp_path / "covered.mp4"
    videos.write(film, Made("mp4", "libx264"))
    with av.open(str(film)) as source, av.open(str(cover), "w") as out:
        picture = out.add_stream("mjpeg", rate=1)
        picture.width = picture.height = 32
        picture.pix_fmt = "yuvj420p"
        picture.disposition = av.stream.Disposition.attached_pic
        copied = out.add_stream_from_template(source.streams.video[0])
        frame = av.VideoFrame.from_ndarray(videos.picture(200), format="rgb24")
        for packet in picture.encode(frame):
            out.mux(packet)
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = copied
                out.mux(packet)
    assert number_of(decode(cover, [0.42])[0]) == 10


@pytest.mark.parametrize(("matrix", "full"), list(itertools.product((1, 5), (False, True))))
def test_colors_are_those_of_the_declared_matrix_and_range(tmp_path, matrix, full):
    """matrix: 1 is BT.709, 5 is BT.601."""
    path = tmp_path / "red.mkv"
    kr, kb = {1: (0.2126, 0.0722), 5: (0.299, 0.114)}[matrix]
    red = np.array([200, 40, 60]) / 255
    luma = kr * red[0] + (1 - kr - kb) * red[1] + kb * red[2]
    chroma = (red[2] - luma) / (2 * (1 - kb)), (red[0] - luma) / (2 * (1 - kr))
    y, (u, v) = (255 * luma, [128 + 255 * each for each in chroma]) if full else (
        16 + 219 * luma, [128 + 224 * each for each in chroma])  # fmt: skip
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"qp": "0"})
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv444p"
        stream.codec_context.colorspace, stream.codec_context.color_range = matrix, 2 if full else 1
        planes = np.stack([np.full((32, 32), round(each), np.uint8) for each in (y, u, v)])
        frame = av.VideoFrame.from_ndarray(planes, format="yuv444p")
        frame.colorspace, frame.color_range = matrix, 2 if full else 1
        container.mux(stream.encode(frame))
        container.mux(stream.encode())
    assert np.abs(decode(path, [0.0])[0, 16, 16].astype(int) - [200, 40, 60]).max() <= 3


# ---- folders


@pytest.fixture(scope="module")
def film(tmp_path_factory) -> Path:
    return videos.write(tmp_path_factory.mktemp("film") / "film.mp4", Made("mp4", "libx264", n=12))


def _lay_out(root: Path, files: dict[str, Path]) -> Path:
    for name, source in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, root / name)
    return root


def _folders(place: Path, files: dict[str, Path], load: bool = True, **options):
    """The benchmark of class folders; two more clips of each class make it whole."""
    root = place / "videos"
    for name, source in files.items():
        _lay_out(root, {name: source, f"{Path(name).parent}/1{Path(name).suffix}": source})
    given = {"videos": str(root), "frames": 2, "size": 32, "valid": 0, **options}
    if not load:
        return benchmarks.describe("video_csv", given, place / "cache")
    return benchmarks.load("video_csv", given, place / "cache")


def test_every_ending_that_the_decoder_reads_is_read_and_the_rest_is_named(film, tmp_path):
    root = tmp_path / "videos"
    endings = ("mp4", "3gp", "wmv", "flv", "gif", "MP4", "mts", "m2ts", "ogv", "vob")
    for ending in endings:
        _lay_out(root, {f"{ending}{'_' * (ending == 'MP4')}/{k}.{ending}": film for k in range(2)})
    _lay_out(root, {"bow/notes.txt": film, "__MACOSX/bow/._1.mp4": film, "gif/._0.gif": film, "clap.zip": film})
    (root / "empty").mkdir()
    (root / "jump").symlink_to(tmp_path / "nowhere")
    found = benchmarks.describe("video_csv", {"videos": str(root)}, tmp_path / "cache")
    assert set(found.table.frame["label"]) == {*endings[:5], "MP4_", *endings[6:]}
    (note,) = [note for note in found.notes if note.startswith("passed over")]
    for name in ("clap.zip", "jump", "bow/notes.txt", "empty", "unpack the archives"):
        assert name in note
    assert "._" not in note


def test_names_with_accents_a_second_ending_and_links_to_nowhere(film, tmp_path):
    root = tmp_path / "videos"
    apart, whole = unicodedata.normalize("NFD", "café.mp4"), unicodedata.normalize("NFC", "café.mp4")
    _lay_out(root, {apart: film, "b.mp4.mkv": film, "D.MP4": film})
    (root / "c.mp4").symlink_to(tmp_path / "gone.mp4")
    rows = [f"{name},{'ab'[k % 2]}" for k, name in enumerate((whole, "b.mp4", "c.mp4", "d.mp4"))]
    (tmp_path / "rows.csv").write_text("\n".join(["file,action", *rows]), encoding="utf-8")
    given = {"annotations": str(tmp_path / "rows.csv"), "videos": str(root), "on_bad": "skip"}
    found = benchmarks.describe("video_csv", given, tmp_path / "cache")
    assert {row["file"]: row["reason"].replace(str(tmp_path), "") for row in found.bad} == {
        "c.mp4": "c.mp4: is a link to /gone.mp4, which leads nowhere",
        "d.mp4": "d.mp4: not under /videos; did you mean D.MP4?",
    }
    assert set(find_videos(root, {"b": "b"}.get)) == {"b"}
    (tmp_path / "mac").mkdir()
    classes = _folders(tmp_path / "mac", {f"{apart[:-4]}/0.mp4": film, "b/0.mp4": film}, load=False)
    assert set(classes.table.frame["label"]) == {whole[:-4], "b"}


def test_a_name_that_is_not_utf8_and_archives_are_named(film, tmp_path):
    root = _lay_out(tmp_path / "videos", {"a/0.mp4": film})
    (tmp_path / "packed" / "a").mkdir(parents=True)
    (tmp_path / "packed" / "a" / "clips.tar.gz").write_bytes(b"x")
    with pytest.raises(ValueError, match=r"no class folders with videos .*unpack the archives, as a/clips.tar.gz"):
        benchmarks.describe("video_csv", {"videos": str(tmp_path / "packed")}, tmp_path / "cache")
    try:
        (root / "a" / b"caf\xe9.mp4".decode(errors="surrogateescape")).write_bytes(film.read_bytes())
    except OSError:
        pytest.skip("this file system takes UTF-8 names only")
    with pytest.raises(ValueError, match=r"not UTF-8: b'a/caf.xe9.mp4'; rename it"):
        benchmarks.describe("video_csv", {"videos": str(root)}, tmp_path / "cache")


def test_an_image_that_is_missing_is_named(tmp_path):
    for number in (1, 2, 3, 5, 6, 7, 8):
        Image.fromarray(videos.picture(number)).save(tmp_path / f"frame_{number:010d}.png")
    assert extent(tmp_path, 10).end == 0.8
    assert [number_of(frame) for frame in decode(tmp_path, [0.05, 0.75], 10)] == [1, 8]
    with pytest.raises(BadVideo, match=r"image 4 is missing .*no such file; it holds 7 of 8"):
        decode(tmp_path, [0.35], 10)


# ---- the reported files


@pytest.fixture(scope="module")
def read():
    """Name and times -> the numbers of the frames, None where the clip is named as bad."""
    if not REPORTS.is_dir():
        pytest.skip("the reported files are not here")
    spec = importlib.util.spec_from_file_location("frame_number", REPORTS / "frame_number.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def numbers(name: str, times) -> list[int] | None:
        try:
            return [module.frame_number(frame) for frame in decode(REPORTS / name, times)]
        except BadVideo:
            return None

    return numbers


def test_reported_clips_hold_their_frames_or_are_named(read):
    right = json.loads((REPORTS / "expected.json").read_text())
    assert read("transport_stream.ts", frame_times(2, 4, 8)) in right["transport_stream.ts"]["right"]
    assert read("transport_stream.ts", frame_times(7, 9, 8)) is not None
    assert read("cut.webm", frame_times(6, 8, 8)) is None
    assert fate(REPORTS / "cut.webm", 6, 8) == "bad"
    assert fate(REPORTS / "cut.webm", 4, 8) == "short"
    sounding = REPORTS / "audio_longer.webm"
    assert [read(sounding.name, frame_times(*extent(sounding)[:2], 8))] == right[sounding.name]["right"]
    assert fate(sounding, 6, 10) == "bad"
    mirrored = decode(REPORTS / "mirrored.mp4", [0.1, 0.5])
    assert (mirrored == decode(REPORTS / "mirrored_plain.mp4", [0.1, 0.5])[:, :, ::-1]).all()


@pytest.mark.parametrize(("name", "rate", "n"), [("fragmented.mp4", 30, 300), ("decode_times_only.avi", 25, 116)])
def test_reported_videos_give_every_frame_by_its_time(read, name, rate, n):
    asked = range(0, n, 7)
    away = {read(name, [(k + 0.5) / rate])[0] - k for k in asked if k > 1}
    assert away in ({0}, {-1}, {-2})


def test_reported_class_folders_are_seven(read, tmp_path):
    given = {"videos": str(REPORTS / "class_folders"), "valid": 0}
    found = benchmarks.describe("video_csv", given, tmp_path)
    assert set(found.table.frame["label"]) == {"bow", "clap", "jump", "run", "sit", "turn", "wave"}


# ---- words of the command line


@pytest.mark.parametrize("word", ["20241105_1530", "1e5", "12.50", "true", "007"])
def test_a_word_that_looks_like_a_value_stays_a_word_where_a_text_is_expected(word, tmp_path):
    asked = request(["preset=smoke", "methods=[naive]", f"out={word}", f"paths.cache={tmp_path}/{word}"])
    assert Path(asked.execution.out).name == Path(asked.execution.paths["cache"]).name == word
    labels = overrides.as_words(overrides.parse([f"label={word},b"]), {"label"})
    assert [str(value) for value in overrides.value_of(labels, "label")] == [word, "b"]


def test_seeds_beyond_what_numpy_takes_are_refused_before_anything_runs():
    with pytest.raises(ValueError, match=r"seeds=\[4294967296\]: give numbers up to 4294967295"):
        request(["preset=smoke", "methods=[naive]", "seeds=[4294967296]"])
    request(["preset=smoke", "methods=[naive]", "seeds=[4294967295]"])
