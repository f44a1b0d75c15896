"""A video file as a player shows it: which of its streams, from when to when, and its frames from any time on."""

import itertools
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.stream import Disposition

# Times given with few decimals fall just short of the frame they mean; the tolerance is far below any frame's length.
TOLERANCE = 1e-6
# Where seeking lands after the time it was to find, it is tried again so many seconds earlier, then from the begin.
EARLIER = (0.0, 1.0, 4.0, 15.0, 60.0)
LOOKED_AT = 40  # packets in which a container that keeps no presentation times shows it
Shown = tuple[float, av.VideoFrame]


class BadVideo(ValueError):
    """A file that cannot be decoded as asked; the message names the file and the reason."""


class Video:
    """The first video stream of a file that is no cover picture; a context, in which FFmpeg's errors are BadVideo.

    Times are seconds on the player's timeline. Streams of broadcast (transport and program streams) begin at any
    number: their time is counted from the begin of the file. Some containers (AVI) keep the order of decoding only:
    their frames are `counted` from the begin, the k-th one shown is due at the k-th of the times there are.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = path

    def __enter__(self) -> "Video":
        self._open()
        self._counted: list[float] | None = None
        if "mp4" not in self.container.format.name:
            packets = list(itertools.islice(self._packets(), LOOKED_AT))
            guessed = self.container.format.name == "avi" and any(packet.pts != packet.dts for packet in packets)
            if guessed or any(packet.pts is None for packet in packets):
                self._counted = self._decoding_times()
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        self.container.close()
        if isinstance(error, av.error.FFmpegError):
            raise BadVideo(f"{self.path}: damaged: {error.strerror or error}") from error

    def _open(self) -> None:
        try:
            self.container = av.open(str(self.path))
        except FileNotFoundError:
            raise
        except (av.error.FFmpegError, OSError) as error:
            raise BadVideo(f"{self.path}: {_unreadable(Path(self.path), error)}") from error
        found = self.container.streams.video
        streams = [stream for stream in found if not stream.disposition & Disposition.attached_pic]
        if not streams or streams[0].codec_context is None:
            reason = "no video stream" if len(self.container.streams) else _unreadable(Path(self.path))
            self.container.close()
            raise BadVideo(f"{self.path}: {reason}")
        self.stream = streams[0]
        self.stream.thread_type = "NONE"
        self.tick = self.stream.time_base or Fraction(1, av.time_base)
        self.base = float(self.tick)
        discontinuous: Any = av.format.Flags.ts_discont
        self.broadcast = bool(self.container.format.flags & discontinuous.value)
        self.zero = (self.container.start_time or 0) / av.time_base if self.broadcast else 0.0
        self.at_begin, self.cut = True, False

    @property
    def frame_seconds(self) -> float:
        """How long a frame is shown, as far as the header says."""
        return 1 / float(self.stream.average_rate or self.stream.guessed_rate or 25)

    @property
    def slack(self) -> float:
        """Seconds by which a time may lie outside the video: headers and annotations are rounded."""
        return max(0.1, 2 * self.frame_seconds)

    def promised_end(self) -> float | None:
        """Where the stream ends as the header says; None where it does not say."""
        if self.stream.duration is None:
            return None
        return float(((self.stream.start_time or 0) + self.stream.duration) * self.tick) - self.zero

    def said_end(self) -> float | None:
        """`promised_end`, else the end of the whole file, whose sound may be longer."""
        duration, promised = self.container.duration, self.promised_end()
        return promised if promised is not None or duration is None else duration / av.time_base

    def extent(self) -> tuple[float, float]:
        """Begin of the first frame and end of the last.

        The index of an MP4 file tells; elsewhere the packets do, since headers speak of the sound, of a recording that
        was cut off since, or not at all.
        """
        if "mp4" in self.container.format.name and self.stream.frames and not self._fragmented():
            end = self.promised_end()
            if end is not None:
                return float((self.stream.start_time or 0) * self.tick), end
        said = self.said_end()
        begin, end = self._measured()
        # The header's word is as good where it agrees, and frames already decoded stay those of its times.
        return begin, said if said is not None and abs(said - end) <= self.slack else end

    def frames_from(self, target: float) -> Iterator[Shown]:
        """Frames with their times, ascending, from one that is shown at `target` on, or from the first of all."""
        begin = (self.stream.start_time or 0) * self.base - self.zero
        first = None
        for earlier in EARLIER if target > begin and self._counted is None else ():
            if target - earlier > begin and self._seek(target - earlier):
                frames = self._frames()
                first = next(frames, None)
                if first is not None and first[0] <= target + TOLERANCE:
                    return itertools.chain([first], frames)
        self._rewind()
        return self._frames()

    def _seek(self, time: float) -> bool:
        try:
            self.container.seek(int(np.floor((time + self.zero) / self.base)), stream=self.stream)
        except (av.error.FFmpegError, OSError):  # it has no index
            return False
        self.at_begin, self.cut = False, False
        return True

    def _rewind(self) -> None:
        if not self.at_begin:
            self.container.close()
            self._open()

    def _packets(self, through: bool = False) -> Iterator[Any]:
        """The packets with content up to the first damaged one, which sets `cut`; with `through` all but those."""
        self.at_begin = False
        packets = self.container.demux(self.stream)
        while True:
            try:
                packet = next(packets, None)
            except (av.error.FFmpegError, OSError):
                packet, self.cut = None, True
            damaged = packet is not None and packet.size > 0 and packet.is_corrupt
            self.cut = self.cut or (damaged and not through)
            if packet is None or self.cut:
                return
            if packet.size and not damaged:
                yield packet

    def _playable(self, through: bool = False) -> Iterator[Any]:
        """The packets from the first key frame on: before it, frames cannot be decoded, or only to something grey."""
        yield from itertools.dropwhile(lambda packet: not packet.is_keyframe, self._packets(through))

    def _frames(self) -> Iterator[Shown]:
        """Frames with their times from where the file stands on. BadVideo where they have none, or go back in time."""
        before, key, number = -np.inf, None, 0
        for frame, packet in self._decoded():
            if key is None:
                key = packet.pts if packet.pts is not None else packet.dts
            if self._counted is not None:
                if number == len(self._counted):
                    raise BadVideo(f"{self.path}: holds more frames than times")
                now, number = self._counted[number], number + 1
            elif frame.pts is None:
                raise BadVideo(f"{self.path}: a frame has no presentation time")
            elif key is not None and frame.pts < key:
                continue  # it refers to frames before the key frame
            else:
                now = float(frame.pts * self.tick) - self.zero
            if now < before - TOLERANCE:
                raise BadVideo(f"{self.path}: its time stamps go back from {before:.3f} to {now:.3f} s")
            before = now
            yield now, frame

    def _decoded(self) -> Iterator[tuple[av.VideoFrame, Any]]:
        """Frames as the decoder gives them, each with the packet that the decoder began with."""
        first = None
        for packet in self._playable():
            first = first or packet
            for frame in packet.decode():
                yield frame, first
        if first is not None:
            for frame in self.stream.codec_context.decode(None):
                yield frame, first

    def _decoding_times(self) -> list[float]:
        """The times of all packets in ascending order, where packets have no presentation times."""
        self._rewind()
        times = [packet.dts if packet.dts is not None else packet.pts for packet in self._playable()]
        self._rewind()
        if any(time is None for time in times):
            raise BadVideo(f"{self.path}: its frames have no times")
        return [time * self.base - self.zero for time in sorted(times)]

    def _measured(self) -> tuple[float, float]:
        """Begin and end by all packets, none of which is decoded."""
        self._rewind()
        times, ends, key = [], [], None
        for packet in self._playable(through=True):
            time = packet.pts if self._counted is None else packet.dts
            key = time if key is None else key
            if time is not None and key is not None and time >= key and not packet.is_discard:
                times.append(time)
                ends.append(time + (packet.duration or 0))
        self._rewind()
        if not times:
            raise BadVideo(f"{self.path}: holds no frame that can be decoded")
        last = max(times) * self.base + self.frame_seconds
        return min(times) * self.base - self.zero, max(max(ends) * self.base, last) - self.zero

    def _fragmented(self) -> bool:
        """Whether an MP4 file is written in fragments, of which its header knows nothing."""
        with open(self.path, "rb") as file:
            for kind, start, size in _boxes(file, 0, Path(self.path).stat().st_size):
                if kind == b"moov":
                    return any(kind == b"mvex" for kind, *_ in _boxes(file, start, start + size))
        return False


CUT_MP4 = "its index (moov) is missing: the file was cut off, or its download was"


def _unreadable(path: Path, error: OSError | av.error.FFmpegError | None = None) -> str:
    """Why a file cannot be opened, in words."""
    if path.is_file() and not path.stat().st_size:
        return "the file is empty"
    if _is_mp4(path):
        return CUT_MP4
    return "no video stream" if error is None else str(error.strerror or error)


def _is_mp4(path: Path) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read(8)[4:] == b"ftyp"
    except OSError:
        return False


def _boxes(file: Any, start: int, stop: int) -> Iterator[tuple[bytes, int, int]]:
    """Kind, begin and size of the content of each box of an MP4 file between two bytes."""
    while start + 8 <= stop:
        file.seek(start)
        head = file.read(16)
        size, length = int.from_bytes(head[:4], "big"), 8
        if size == 1:
            size, length = int.from_bytes(head[8:16], "big"), 16
        size = size or stop - start
        if size < length:
            return
        yield head[4:8], start + length, size - length
        start += size
