"""er.codec=jpeg: a clip as one picture; bare scan data, the tables are kept once for all clips."""

import io

import numpy as np
from PIL import Image

from methods.forms.kinds import PayloadForm


class Jpeg(PayloadForm):
    """A clip as one baseline JPEG, frames below each other; everything before the scan data is the shared header."""

    default_quality = 30  # chosen on validation against 75
    qualities = (1, 95)

    def __init__(self, clip_shape: tuple[int, ...], quality: int = 0):
        super().__init__(clip_shape, quality)
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
