"""Experience replay, the plain answer to every question but `form`: stored clips are mixed into each batch."""

from dataclasses import dataclass
from typing import Any

from harness.common.settings import setting
from methods.answers import Answers
from methods.forms import FORMS, of_clips
from methods.shared.pixel_method import PixelMethod


@dataclass(frozen=True)
class ERSettings:
    """Settings of er, which are also called form and quality."""

    codec: str = setting(
        "raw",
        "how stored clips are kept; jpeg and h264 are bare payloads, decoded when drawn",
        choices=of_clips,
        registry=FORMS,
    )
    quality: int = setting(0, "JPEG quality 1..95, or H.264 crf 0..51", zero="the codec's default of ours")


class ER(PixelMethod):
    """replay of stored clips, raw or as JPEG or H.264"""

    name = "er"
    Settings = ERSettings
    answers = Answers()

    def kept(self) -> tuple[str, Any]:
        return self.settings.codec, self.settings.quality
