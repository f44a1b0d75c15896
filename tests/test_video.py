"""Frames by presentation time, on files written here, good and bad."""

from pathlib import Path

import av
import numpy as np
import pytest

from benchmarks.frames.decode import BadVideo, decode, frame_times


def _write(path: Path, times: list[int], rate: int = 10) -> Path:
    """A video whose frame number n < 24 has grey level 10 n and is shown from times[n] tenths of a second on."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate, options={"crf": "0", "g": "4"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number, time_ in enumerate(times):
            pixels = np.full((48, 64, 3), 10 * number % 240, np.uint8)
            pixels[:8, :8] = 255  # a mark in the upper left corner
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts = time_
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def _numbers(path: Path, times) -> list[int]:
    return np.rint(decode(path, times)[:, 30:40, 30:40].mean((1, 2, 3)) / 10).astype(int).tolist()


def test_frame_times_are_the_middles_of_equal_parts():
    assert frame_times(2.0, 4.0, 4).tolist() == [2.25, 2.75, 3.25, 3.75]


def test_frames_are_found_by_presentation_time(tmp_path):
    constant = _write(tmp_path / "a.mp4", list(range(20)))
    assert _numbers(constant, [0.0, 0.05, 0.1, 0.7, 1.95]) == [0, 0, 1, 7, 19]
    assert _numbers(constant, [1.25, 0.31, 1.25, 9.0]) == [12, 3, 12, 19]
    assert _numbers(constant, [1.5]) == [15]
    uneven = _write(tmp_path / "b.mp4", [0, 1, 2, 9, 10, 11])
    assert _numbers(uneven, [0.15, 0.5, 0.85, 0.95, 1.05]) == [1, 2, 2, 3, 4]
    late = _write(tmp_path / "c.mkv", [15, 16, 17, 18, 19, 20])
    assert _numbers(late, [0.0, 1.55, 1.75]) == [0, 0, 2]


def test_a_turned_video_is_set_upright(tmp_path):
    path = _write(tmp_path / "a.mp4", list(range(4)))
    content = bytearray(path.read_bytes())
    place = content.index(b"tkhd") + 4 + 40
    # The matrix of a display turned by a quarter, clockwise: x goes down, y goes left.
    turned = np.array([0, 1 << 16, 0, -(1 << 16), 0, 0, 0, 0, 1 << 30], ">i4").tobytes()
    content[place : place + 36] = turned
    path.write_bytes(content)
    frames = decode(path, [0.1])
    assert frames.shape == (1, 64, 48, 3)
    assert frames[0, :8, -8:].mean() > 240


def test_bad_files_are_errors(tmp_path):
    good = _write(tmp_path / "good.mp4", list(range(20)))
    for name, content in (
        ("text.mp4", b"<html>not found</html>"),
        ("empty.mp4", b""),
        ("cut.mp4", good.read_bytes()[:900]),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(BadVideo, match=name):
            decode(tmp_path / name, [0.5])
    with pytest.raises(FileNotFoundError):
        decode(tmp_path / "none.mp4", [0.5])
    with pytest.raises(ValueError, match="non-empty list"):
        decode(good, [])
    with av.open(str(tmp_path / "sound.wav"), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000, layout="mono")
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
    with pytest.raises(BadVideo, match="no video stream"):
        decode(tmp_path / "sound.wav", [0.0])


def test_a_file_cut_short_is_an_error_past_the_cut(tmp_path):
    whole = _write(tmp_path / "a.mp4", list(range(100)))
    front = tmp_path / "front.mp4"
    with av.open(str(whole)) as source, av.open(str(front), "w", options={"movflags": "faststart"}) as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                target.mux(packet)
    front.write_bytes(front.read_bytes()[: int(front.stat().st_size * 0.7)])
    assert decode(front, [0.1, 0.3]).shape == (2, 48, 64, 3)
    with pytest.raises(BadVideo):
        decode(front, [0.1, 9.5])
    with pytest.raises(BadVideo):
        decode(front, [9.5])
