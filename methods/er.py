"""Experience replay of clips (Chaudhry et al. 2019): raw pixels, or really encoded as JPEG or H.264."""

from dataclasses import dataclass

import torch

from harness.common.settings import setting
from methods.contract import Experience, Phase, Spec
from methods.forms import FORMS, of_clips
from methods.shared.buffers import buffer_of
from methods.shared.pixel_method import PixelMethod


@dataclass(frozen=True)
class ERSettings:
    """Settings of er."""

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

    def __init__(self, spec: Spec, settings: ERSettings, generator: torch.Generator):
        super().__init__(spec, settings, generator)
        form = FORMS.get(settings.codec)(spec.clip_shape, settings.quality)
        self.buffer = buffer_of(form, spec, generator, f"method {self.name}", self.live_bytes())

    def phases(self, experience: Experience) -> list[Phase]:
        return [self.classifier_phase(experience), *self.store_phases(experience)]
