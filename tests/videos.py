"""Tiny videos that show their frame's number, in every container, codec, start time and damage that people have."""

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from benchmarks.frames.decode import BadVideo, decode, extent

SIZE, BLOCK = 32, 8
RATE = 25
# Of 16 blocks the first 8 are the number's bits, the other 8 their opposites.
BITS = 8


def picture(number: int, size: int = SIZE) -> np.ndarray:
    """A frame [size, size, 3] that shows `number` < 256."""
    bits = [number >> k & 1 for k in range(BITS)]
    blocks = np.array([*bits, *(1 - bit for bit in bits)], np.uint8).reshape(4, 4)
    return np.repeat(np.kron(40 + 180 * blocks, np.ones((size // 4, size // 4), np.uint8))[..., None], 3, -1)


def number_of(frame: np.ndarray) -> int | None:
    """The number that a frame [H, W, 3] of any size shows; None where it shows none."""
    height, width = frame.shape[:2]
    y, x = ((np.arange(4) + 0.5) * height / 4).astype(int), ((np.arange(4) + 0.5) * width / 4).astype(int)
    bits = (frame[np.ix_(y, x)].mean(-1) > 130).reshape(-1)
    if (bits[:BITS] == bits[BITS:]).any():
        return None
    return int((bits[:BITS] * (1 << np.arange(BITS))).sum())


@dataclass(frozen=True)
class Made:
    """How a video is written: `start` seconds before its first frame, `keep` of its bytes, `b` B-frames in a row."""

    ending: str
    codec: str
    start: float = 0.0
    b: int = 0
    keep: float = 1.0
    n: int = 30
    gop: int = 10
    fragmented: bool = False
    options: tuple[tuple[str, str], ...] = ()

    def __str__(self) -> str:
        words = [self.ending, self.codec, f"start{self.start:g}", f"b{self.b}", *(["cut"] if self.keep < 1 else [])]
        return "-".join([*words, *(["fragmented"] if self.fragmented else [])])


QUALITY = {
    "libx264": {"preset": "ultrafast", "crf": "15"},
    "libvpx": {"cpu-used": "8", "crf": "10", "deadline": "realtime"},
    "gif": {},
}
FORMATS = {"ts": "mpegts", "mts": "mpegts", "mpg": "mpeg", "vob": "vob", "mkv": "matroska", "wmv": "asf", "m4v": "mp4"}


def write(path: Path, made: Made, numbers: Sequence[int] | None = None, sound: float = 0.0) -> Path:
    """Write the video; frame k shows the number k and is due at start + k / RATE. `sound`: seconds of a sound track."""
    numbers = range(made.n) if numbers is None else numbers
    move = {"movflags": "frag_keyframe+empty_moov+default_base_moof"} if made.fragmented else {}
    with av.open(str(path), "w", format=FORMATS.get(made.ending, made.ending), options=move) as container:
        options = {"g": str(made.gop), "bf": str(made.b), **dict(made.options)}
        options |= QUALITY.get(made.codec, {"qmin": "1", "qmax": "4"})
        stream = container.add_stream(made.codec, rate=RATE, options=options)
        stream.width = stream.height = SIZE
        stream.pix_fmt = {"mjpeg": "yuvj420p", "gif": "rgb8"}.get(made.codec, "yuv420p")
        stream.codec_context.thread_count = 1
        if made.codec not in ("libx264", "gif"):
            stream.bit_rate = 2_000_000
        audio = (
            container.add_stream("aac" if made.ending in ("mp4", "mkv") else "libopus", rate=48000) if sound else None
        )
        for k, number in enumerate(numbers):
            frame = av.VideoFrame.from_ndarray(picture(number), format="rgb24")
            frame.pts, frame.time_base = k + round(made.start * RATE), Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
        for k in range(round(sound * 48000 / 960)) if audio else ():
            part = av.AudioFrame.from_ndarray(np.zeros((1, 960 * 1), np.float32), format="fltp", layout="mono")
            part.sample_rate, part.pts, part.time_base = 48000, 960 * k, Fraction(1, 48000)
            container.mux(audio.encode(part))
        if audio:
            container.mux(audio.encode())
    if made.keep < 1:
        content = path.read_bytes()
        path.write_bytes(content[: int(len(content) * made.keep)])
    return path


def due(made: Made, number: int) -> float:
    """The middle of a frame's time. Fragments and streams of broadcast are written as if they began at once."""
    begin = 0.0 if made.fragmented or made.ending in ("ts", "mpg") else made.start
    return begin + (number + 0.5) / RATE


CONTAINERS = {
    "mp4": ("libx264", "mpeg4"),
    "mov": ("libx264", "mjpeg"),
    "mkv": ("libx264", "mpeg2video", "mpeg4"),
    "webm": ("libvpx",),
    "avi": ("libx264", "mpeg4", "mjpeg"),
    "flv": ("libx264", "flv"),
    "ts": ("libx264", "mpeg2video"),
    "mpg": ("mpeg2video", "mpeg1video"),
    "wmv": ("wmv2",),
    "3gp": ("libx264",),
}


def combinations() -> Iterator[Made]:
    """Container x codec x start time x B-frames x truncation x fragments, as far as they go together."""
    for ending, codecs in CONTAINERS.items():
        for codec, start, b, keep in itertools.product(codecs, (0.0, 0.08, 2.0), (0, 2), (1.0, 0.6)):
            if b and codec not in ("libx264", "mpeg4", "mpeg2video", "mpeg1video"):
                continue
            yield Made(ending, codec, start, b, keep)
            if ending == "mp4":
                yield Made(ending, codec, start, b, keep, fragmented=True)


def offsets(path: Path, made: Made) -> Counter:
    """For each frame asked for alone: how far the one that came is from it; None for one that shows no number."""
    found: Counter = Counter()
    for k in range(made.n):
        try:
            shown = number_of(decode(path, [due(made, k)])[0])
        except BadVideo as error:
            found["refused" if str(path) in str(error) else "refused without its name"] += 1
        else:
            # The first frames may be asked for before the first is there, by less than the slack.
            found[shown if shown is None else max(shown - k, -k)] += 1
    return found


def check(path: Path, made: Made) -> None:
    """A whole file gives every frame, at one distance of at most two; a cut one the frames before the cut."""
    write(path, made)
    if made.keep == 1:
        found = offsets(path, made)
        # AVI keeps decoding times alone: a late start is one of them.
        assert set(found) <= {0, -1, -2} | ({1, 2} if made.ending == "avi" and made.start else set())
        assert max(found.values()) >= made.n - 2, found
        begin, end = extent(path)[:2]
        assert abs(end - begin - made.n / RATE) < (2.2 if made.ending == "avi" else 0.09)
        return
    found = offsets(path, made)
    right = max((found[k], k) for k in (0, -1, -2))[1]
    # Up to the slack past the cut the last frame stays; nothing else is wrong.
    assert None not in found
    assert sum(n for k, n in found.items() if k not in ("refused", right)) <= 5, found
