"""er.codec=h264: a clip as bare H.264 slices; the parameter sets are kept once for all clips."""

from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.video.reformatter import VideoReformatter

from methods.forms.kinds import PayloadForm


class H264(PayloadForm):
    """A clip as bare H.264 slices (libx264); parameter sets are the shared header, encoder messages are dropped."""

    default_quality = 23
    qualities = (1, 51)  # the encoder's crf

    def __init__(self, clip_shape: tuple[int, ...], quality: int = 0):
        super().__init__(clip_shape, quality)
        self.header = b""
        self.encode(np.zeros(self.shape, np.uint8))
        self._decoder: Any = None
        self._to_rgb = VideoReformatter()  # kept: a new one a frame costs more than the conversion

    def _encoder(self) -> Any:
        context = av.CodecContext.create("libx264", "w")
        context.height, context.width = self.shape[1:3]
        context.pix_fmt, context.time_base, context.framerate = "yuv420p", Fraction(1, 25), Fraction(25)
        context.thread_count = 1
        # Without macroblock trees: with them, small pictures now and then come out in other bytes (measured: 26 of 600
        # clips encoded again), and no run could be repeated.
        context.options = {"crf": str(self.quality), "preset": "medium", "g": str(self.shape[0]), "mbtree": "0"}
        return context

    def encode(self, clip: np.ndarray) -> bytes:
        context = self._encoder()
        packets = []
        for i, picture in enumerate(clip):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame.pts = i
            packets += context.encode(frame)
        packets += context.encode(None)
        units = [unit for packet in packets for unit in nal_units(bytes(packet))]
        # Sequence and picture parameter sets; they are repeated at each key frame.
        header = b"".join(START + unit for unit in dict.fromkeys(u for u in units if u[0] & 31 in (7, 8)))
        if self.header and header != self.header:
            raise RuntimeError("this H.264 encoder writes other parameter sets for other clips: they cannot be shared")
        self.header = header
        return b"".join(START + u for u in units if u[0] & 31 in (1, 5))  # slices; not the encoder's messages (6)

    def decode(self, payloads: list[bytes]) -> np.ndarray:
        if self._decoder is None:  # one for all clips: opening one takes longer than a small clip
            self._decoder = av.CodecContext.create("h264", "r")
            self._decoder.thread_count = 1
        context, clips = self._decoder, []
        for payload in payloads:
            slices = [self.header, *(START + unit for unit in nal_units(payload))]  # one slice a frame
            packets = [av.Packet(slices[0] + slices[1]), *map(av.Packet, slices[2:])]
            frames = [frame for packet in packets for frame in context.decode(packet)] + context.decode(None)
            context.flush_buffers()
            pictures = [self._to_rgb.reformat(frame, format="rgb24").to_ndarray() for frame in frames]
            if len(pictures) != self.shape[0]:
                raise RuntimeError(f"a stored clip of {self.shape[0]} frames decodes to {len(pictures)}")
            clips.append(np.stack(pictures))
        return np.stack(clips)


START = b"\x00\x00\x01"


def nal_units(stream: bytes) -> list[bytes]:
    """The NAL units of an Annex B stream, without start codes (H.264 annex B; payloads never hold a start code)."""
    parts = stream.split(START)
    return [part.rstrip(b"\x00") if i < len(parts) - 1 else part for i, part in enumerate(parts) if part.strip(b"\x00")]
