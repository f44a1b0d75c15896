"""A synthetic EPIC-KITCHENS-100: real annotations of some validation videos, laid on videos that show frame numbers."""

import csv
import gzip
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from benchmarks.clips import ClipTable
from benchmarks.frames.decode import decode, frame_times

WIDTH, HEIGHT, BLOCK = 456, 256, 32
ROWS, COLUMNS, LEFT, TOP = 4, 6, 132, 64  # inside the square that is left of a cropped frame
NUMBER_BITS = 16
RATES = (Fraction(30000, 1001), Fraction(48000, 1001), Fraction(50), Fraction(60000, 1001), Fraction(90))
# Of the validation videos of at most six minutes those with most segments, and three short ones.
EIGHT = ("P30_07", "P11_22", "P20_06", "P08_10", "P06_13", "P01_12", "P28_16", "P18_07")
THREE = ("P02_13", "P11_21", "P02_14")


@dataclass(frozen=True)
class Kitchen:
    """The folders of annotations and videos, and the frame rate and number of frames of each video."""

    annotations: Path
    videos: Path
    rates: dict[str, Fraction]
    counts: dict[str, int]

    def shown(self, video: str, times: np.ndarray) -> list[int]:
        """The numbers of the frames that are shown at these times."""
        exact = [Fraction(t) + Fraction(1, 10**6) for t in times]
        return [min(int(t * self.rates[video]), self.counts[video] - 1) for t in exact]


def build(official: Path, folder: Path, names: tuple[str, ...], n_test: int) -> Kitchen:
    """Annotation files of these videos (the last n_test are the validation file), and the videos at their lengths."""
    annotations, videos = folder / "annotations", folder / "videos"
    annotations.mkdir(parents=True)
    header, rows = _rows(official / "EPIC_100_validation.csv.gz")
    for part, chosen in (("train", names[:-n_test]), ("validation", names[-n_test:])):
        _write(annotations / f"EPIC_100_{part}.csv", [header, *(row for row in rows if row[2] in chosen)])
    for name in ("verb_classes", "noun_classes", "video_info"):
        _write(annotations / f"EPIC_100_{name}.csv", list(_plain(official / f"EPIC_100_{name}.csv")))
    lengths = {row[0]: float(row[1]) for row in _plain(official / "EPIC_100_video_info.csv") if row[0] in names}
    rates = {name: RATES[k % len(RATES)] for k, name in enumerate(names)}
    counts = {name: int(lengths[name] * rates[name]) for name in names}
    for name in names:
        write_video(videos / name[:3] / f"{name}.MP4", rates[name], counts[name])
    return Kitchen(annotations, videos, rates, counts)


def _rows(path: Path) -> tuple[list[str], list[list[str]]]:
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    return header, rows


def _plain(path: Path) -> list[list[str]]:
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def _write(path: Path, rows: list[list[str]]) -> None:
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)


# ---- barcodes: 16 bits of the frame's number and 8 of a check


def _bits(number: int) -> np.ndarray:
    code = number << 8 | number * 151 % 251
    return np.array([code >> k & 1 for k in range(ROWS * COLUMNS)], np.uint8).reshape(ROWS, COLUMNS)


def write_video(path: Path, rate: Fraction, count: int) -> None:
    """A constant-rate H.264 file (two B-frames, a key frame every two seconds) of numbered frames."""
    path.parent.mkdir(parents=True, exist_ok=True)
    assert count < 2**NUMBER_BITS
    options = {"preset": "ultrafast", "bf": "2", "crf": "18", "g": str(round(2 * rate))}
    picture = np.full((HEIGHT * 3 // 2, WIDTH), 128, np.uint8)
    rng = np.random.default_rng(0)
    picture[:HEIGHT] = np.kron(rng.integers(60, 196, (HEIGHT // 8, WIDTH // 8)), np.ones((8, 8)))
    with av.open(str(path), "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=rate, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.thread_count = 1
        for number in range(count):
            code = np.kron(16 + 219 * _bits(number), np.ones((BLOCK, BLOCK), np.uint8))
            picture[TOP : TOP + code.shape[0], LEFT : LEFT + code.shape[1]] = code
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="yuv420p")))
        container.mux(stream.encode())


def read(frame: np.ndarray, cropped: bool = False) -> int | None:
    """The number of a frame [H, W, 3], whole or the square in its middle at any size; None where it cannot be read."""
    scale = frame.shape[0] / HEIGHT
    left = LEFT - (WIDTH - HEIGHT) / 2 if cropped else LEFT
    y = ((TOP + BLOCK * (np.arange(ROWS) + 0.5)) * scale).astype(int)
    x = ((left + BLOCK * (np.arange(COLUMNS) + 0.5)) * scale).astype(int)
    code = int(((frame[np.ix_(y, x)].mean(-1) > 127).reshape(-1) * (1 << np.arange(ROWS * COLUMNS))).sum())
    number, check = code >> 8, code & 255
    return number if number * 151 % 251 == check else None


# ---- what is checked on it


def wrong_clips(kitchen: Kitchen, table: ClipTable, clips: dict[int, np.ndarray], times, cropped: bool) -> list[str]:
    """Rows whose clip [T, H, W, 3] does not show the frames of its times, with what was read and what is right."""
    wrong = []
    for row, clip in clips.items():
        wanted = kitchen.shown(Path(table.frame["file"].iloc[row]).stem, times[row])
        found = [read(frame, cropped) for frame in clip]
        if found != wanted:
            wrong.append(f"{table.frame['sample_id'].iloc[row]}: {found} where {wanted} are right")
    return wrong


def clip_times(table: ClipTable, row: int, frames: int, candidates: int = 1) -> np.ndarray:
    """All times that the frames of a clip may be of: [frames, candidates]."""
    clip = table.frame.iloc[row]
    return frame_times(clip["start"], clip["stop"], frames * candidates).reshape(frames, candidates)


def decoded(kitchen: Kitchen, table: ClipTable, rows: np.ndarray, frames: int) -> list[str]:
    """`wrong_clips` of rows decoded from their files, before crop and resize."""
    times = {int(row): clip_times(table, row, frames)[:, 0] for row in rows}
    clips = {row: decode(table.video(table.frame["file"].iloc[row]).path, each) for row, each in times.items()}
    return wrong_clips(kitchen, table, clips, times, cropped=False)


def cached(kitchen: Kitchen, table: ClipTable, reader, rows: np.ndarray, rng: np.random.Generator) -> list[str]:
    """`wrong_clips` of rows read from the cache at candidate times drawn by `rng`."""
    n = reader.shape[0]
    choice = rng.integers(0, reader.candidates, (len(rows), n))
    clips = dict(zip(rows.tolist(), reader.read(rows, choice), strict=True))
    times = {int(row): clip_times(table, row, n, reader.candidates)[np.arange(n), c]
             for row, c in zip(rows, choice, strict=True)}  # fmt: skip
    return wrong_clips(kitchen, table, clips, times, cropped=True)
