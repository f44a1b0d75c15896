"""classifier.network=s3d: torchvision's S3D (Xie et al., ECCV 2018) on codes and, for raw replay, on pixels."""

from functools import partial

import torch
from torch import Tensor, nn
from torchvision.models.video import s3d
from torchvision.models.video.s3d import TemporalSeparableConv

from methods.networks.head import Headed
from methods.networks.kinds import ClassifierNetwork
from methods.shared.compressor import to_float
from methods.shared.settings import ClassifierSettings, CompressorSettings

# torchvision's momentum of 0.001 leaves running statistics where they began in runs of a few thousand steps.
NORM = partial(nn.BatchNorm3d, eps=1e-3, momentum=0.1)
DROPOUT = 0.2
STEM, CHANNELS = 5, 192  # the layers before the first inception block, and what they hand on
MEAN, STD = (0.43216, 0.394666, 0.37645), (0.22803, 0.22145, 0.216989)  # of torchvision's weights


class S3DLayers(Headed):
    """Layers of S3D, averaged over time and space, dropout, one head over all classes."""

    n_features = 1024

    def __init__(self, layers: nn.Sequential, n_classes: int):
        super().__init__()
        self.layers, self.dropout = layers, nn.Dropout(DROPOUT)
        self.head = nn.Linear(self.n_features, n_classes)

    def pooled(self, x: Tensor) -> Tensor:
        """Input [B,C,T,H,W] -> features [B, n_features]."""
        pooled: Tensor = self.layers(x).mean((2, 3, 4))
        return pooled

    def forward(self, x: Tensor) -> Tensor:
        """Logits [B, n_classes]; dropout stands between the features and the head."""
        logits: Tensor = self.head(self.dropout(self.features(x)))
        return logits


class CodeS3D(S3DLayers):
    """Codebook vectors [B,T',H',W',dim] -> logits; one convolution without strides stands for the stem."""

    def __init__(self, dim: int, n_classes: int):
        stem = TemporalSeparableConv(dim, CHANNELS, 3, 1, 1, NORM)
        super().__init__(nn.Sequential(stem, *s3d(norm_layer=NORM).features[STEM:]), n_classes)

    def features(self, vectors: Tensor) -> Tensor:
        """Vectors [B,T',H',W',dim] -> features [B, n_features]."""
        return self.pooled(vectors.permute(0, 4, 1, 2, 3))


class PixelS3D(S3DLayers):
    """Clips, uint8 or float in 0..1 [B,T,H,W,3] -> logits."""

    mean: Tensor
    std: Tensor

    def __init__(self, n_classes: int):
        super().__init__(s3d(norm_layer=NORM).features, n_classes)
        self.register_buffer("mean", torch.tensor(MEAN), persistent=False)
        self.register_buffer("std", torch.tensor(STD), persistent=False)

    def features(self, clips: Tensor) -> Tensor:
        """Clips [B,T,H,W,3] -> features [B, n_features]."""
        return self.pooled(((to_float(clips) - self.mean) / self.std).permute(0, 4, 1, 2, 3))


class S3D(ClassifierNetwork):
    """S3D of torchvision, without weights."""

    @staticmethod
    def on_pixels(
        clip_shape: tuple[int, ...], compressor: CompressorSettings, classifier: ClassifierSettings, n_classes: int
    ) -> Headed:
        """The whole network."""
        return PixelS3D(n_classes)

    @staticmethod
    def on_codes(
        clip_shape: tuple[int, ...], compressor: CompressorSettings, classifier: ClassifierSettings, n_classes: int
    ) -> Headed:
        """One convolution stands for the stem."""
        return CodeS3D(compressor.dim, n_classes)
