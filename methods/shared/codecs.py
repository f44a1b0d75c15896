"""JPEG and H.264 as rehearsal codecs: bare payloads, with tables and parameter sets kept once for all clips."""

import io
from fractions import Fraction
from typing import Any

import av
import numpy as np
import torch
from av.video.reformatter import VideoReformatter
from PIL import Image
from torch import Tensor

from methods.contract import Batch
from methods.shared.buffer import LABEL_BYTES, reservoir_slot

LENGTH_BYTES = 4  # int32 length of a stored payload


class Jpeg:
    """A clip as one baseline JPEG, frames below each other; everything before the scan data is the shared header."""

    DEFAULT_QUALITY = 30  # chosen on validation against 75

    def __init__(self, clip_shape: tuple[int, ...], quality: int):
        self.shape, self.quality = tuple(clip_shape), quality or self.DEFAULT_QUALITY
        if not 1 <= self.quality <= 95:
            raise ValueError(f"er.quality={quality}: JPEG allows 1 to 95")
        blank = self._encode(np.zeros(self.shape, np.uint8))
        self.header = blank[: self._scan(blank)]

    def _encode(self, clip: np.ndarray) -> bytes:
        t, h, w, _ = self.shape
        out = io.BytesIO()
        Image.fromarray(clip.reshape(t * h, w, 3)).save(out, "JPEG", quality=self.quality)
        return out.getvalue()

    @staticmethod
    def _scan(data: bytes) -> int:
        """Offset of the scan data: behind the start-of-scan segment."""
        at = data.index(b"\xff\xda")
        return at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")

    def encode(self, clip: np.ndarray) -> bytes:
        data = self._encode(clip)
        if not data.startswith(self.header):
            raise RuntimeError("this JPEG encoder writes other tables for other pictures: the header cannot be shared")
        return data[len(self.header) : -2]  # without the end-of-image marker

    def decode(self, payloads: list[bytes]) -> np.ndarray:
        pictures = [np.asarray(Image.open(io.BytesIO(self.header + p + b"\xff\xd9"))) for p in payloads]
        return np.stack(pictures).reshape(-1, *self.shape)


class H264:
    """A clip as bare H.264 slices (libx264); parameter sets are the shared header, encoder messages are dropped."""

    DEFAULT_QUALITY = 23

    def __init__(self, clip_shape: tuple[int, ...], quality: int):
        self.shape, self.quality = tuple(clip_shape), quality or self.DEFAULT_QUALITY
        if not 0 <= self.quality <= 51:
            raise ValueError(f"er.quality={quality}: H.264 allows a crf of 0 to 51")
        self.header = b""
        self.encode(np.zeros(self.shape, np.uint8))
        self._decoder: av.CodecContext | None = None
        self._to_rgb = VideoReformatter()  # kept: a new one a frame costs more than the conversion

    def _encoder(self) -> av.CodecContext:
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


CODECS = {"jpeg": Jpeg, "h264": H264}


class PayloadBuffer:
    """Clips as payloads of varying size under a budget in bytes; the same class-balanced reservoir as `Buffer`."""

    def __init__(self, codec: Jpeg | H264, budget: int, generator: torch.Generator, device: str):
        self.codec, self.generator, self.device = codec, generator, device
        self.budget = budget - len(codec.header)  # of payloads, labels, ids and lengths
        self.payloads: list[bytes] = []
        self.target: list[int] = []
        self.sample_id: list[int] = []
        self.seen: dict[int, int] = {}
        self.used = 0

    def __len__(self) -> int:
        return len(self.payloads)

    def sample(self, n: int) -> Batch:
        """`n` stored clips, drawn uniformly with replacement and decoded now."""
        return self.take(torch.randint(len(self), (n,), generator=self.generator).numpy())

    def take(self, index: np.ndarray, view: np.ndarray | None = None) -> Batch:
        clips = self.codec.decode([self.payloads[i] for i in index])
        return Batch(
            target=torch.tensor([self.target[i] for i in index], dtype=torch.int64).to(self.device),
            sample_id=torch.tensor([self.sample_id[i] for i in index], dtype=torch.int32),
            clips=torch.from_numpy(clips).to(self.device),
            slots=np.asarray(index),
        )

    def offer(self, batch: Batch, clips: Tensor) -> None:
        """Show clips to the reservoir; stored ones make room by bytes."""
        targets, ids = batch.target.tolist(), batch.sample_id.tolist()
        for target, sample_id, clip in zip(targets, ids, clips.cpu().numpy(), strict=True):
            self.seen[target] = self.seen.get(target, 0) + 1
            payload = self.codec.encode(clip)
            if self._make_room(target, len(payload) + LABEL_BYTES + LENGTH_BYTES):
                self.payloads.append(payload)
                self.target.append(target)
                self.sample_id.append(sample_id)
                self.used += len(payload) + LABEL_BYTES + LENGTH_BYTES

    def _make_room(self, target: int, size: int) -> bool:
        if size > self.budget:
            raise ValueError(f"method er: memory.budget holds not one clip: one takes {size} bytes of {self.budget}")
        if self.used + size <= self.budget:
            return True
        slot = reservoir_slot(np.array(self.target), self.seen, target, self._draw)
        if slot < 0:
            return False
        self._remove(slot)
        while self.used + size > self.budget:  # one small victim may not be enough
            stored = np.bincount(self.target)
            same = np.flatnonzero(np.array(self.target) == stored.argmax())
            self._remove(int(same[self._draw(len(same))]))
        return True

    def _remove(self, slot: int) -> None:
        self.used -= len(self.payloads[slot]) + LABEL_BYTES + LENGTH_BYTES
        for held in (self.payloads, self.target, self.sample_id):
            del held[slot]

    def _draw(self, n: int) -> int:
        return int(torch.randint(n, (1,), generator=self.generator))

    def state(self) -> dict[str, Any]:
        data = np.frombuffer(b"".join(self.payloads), np.uint8).copy()
        return {
            "header": torch.from_numpy(np.frombuffer(self.codec.header, np.uint8).copy()),
            "data": torch.from_numpy(data),
            "length": torch.tensor([len(p) for p in self.payloads], dtype=torch.int32),
            "target": torch.tensor(self.target, dtype=torch.int32),
            "sample_id": torch.tensor(self.sample_id, dtype=torch.int32),
            "seen": dict(self.seen),
        }

    def load(self, state: dict[str, Any]) -> None:
        self.codec.header = state["header"].numpy().tobytes()
        data, ends = state["data"].numpy().tobytes(), np.cumsum(state["length"].numpy())
        self.payloads = [data[end - length : end] for end, length in zip(ends, state["length"].tolist(), strict=True)]
        self.target, self.sample_id = state["target"].tolist(), state["sample_id"].tolist()
        self.seen = dict(state["seen"])
        self.used = len(data) + len(self.payloads) * (LABEL_BYTES + LENGTH_BYTES)
