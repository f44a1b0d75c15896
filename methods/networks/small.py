"""classifier.network=small: a small convolutional network, time folded into channels; for codes and for pixels."""

from torch import Tensor, nn

from methods.networks.head import Headed
from methods.networks.kinds import ClassifierNetwork
from methods.shared.code_size import code_grid
from methods.shared.compressor import encoder, to_float
from methods.shared.settings import ClassifierSettings, CompressorSettings

GROUPS = 8  # of GroupNorm: batch statistics of single experiences would mislead BatchNorm


class Block(nn.Sequential):
    """3x3 convolution, GroupNorm, ReLU."""

    def __init__(self, inward: int, outward: int, stride: int):
        super().__init__(nn.Conv2d(inward, outward, 3, stride, 1), nn.GroupNorm(GROUPS, outward), nn.ReLU())


class Classifier(Headed):
    """Vectors [B,T',H',W',dim] -> logits [B, classes]; one head over all classes of the stream (class-incremental)."""

    def __init__(self, grid: tuple[int, int, int], dim: int, width: int, n_classes: int):
        super().__init__()
        if width % GROUPS:
            raise ValueError(f"classifier.width={width} is not a multiple of {GROUPS}")
        self.blocks = nn.Sequential(
            Block(grid[0] * dim, width // 2, 1), Block(width // 2, width, 2), Block(width, width, 2), nn.Flatten()
        )
        rows, columns = ((size + 3) // 4 for size in grid[1:])  # two strides of two
        self.n_features = width * rows * columns
        self.head = nn.Linear(self.n_features, n_classes)

    def features(self, vectors: Tensor) -> Tensor:
        """Vectors [B,T',H',W',dim] -> features [B, n_features]."""
        b, t, h, w, d = vectors.shape
        x = vectors.permute(0, 2, 3, 1, 4).reshape(b, h, w, t * d).permute(0, 3, 1, 2)
        features: Tensor = self.blocks(x)
        return features


class PixelClassifier(Headed):
    """The same classifier on pixels: the compressor's encoder, untrained and without quantizer, is its stem."""

    def __init__(self, clip_shape: tuple[int, ...], compressor: CompressorSettings, width: int, n_classes: int):
        super().__init__()
        self.stem = encoder(clip_shape, compressor)
        self.body = Classifier(code_grid(clip_shape, compressor), compressor.dim, width, n_classes)

    @property
    def head(self) -> nn.Linear:  # type: ignore[override]
        """The head of the body."""
        return self.body.head

    @property
    def n_features(self) -> int:  # type: ignore[override]
        """The length of a feature vector."""
        return self.body.n_features

    def features(self, clips: Tensor) -> Tensor:
        """Clips, uint8 or float in 0..1 [B,T,H,W,3] -> features [B, n_features]."""
        return self.body.features(self.stem(to_float(clips)))

    def new_head(self, n_classes: int) -> None:
        """Replace the head of the body."""
        self.body.new_head(n_classes)


class Small(ClassifierNetwork):
    """A small convolutional network, time folded into channels."""

    @staticmethod
    def on_pixels(
        clip_shape: tuple[int, ...], compressor: CompressorSettings, classifier: ClassifierSettings, n_classes: int
    ) -> Headed:
        """The classifier behind an untrained encoder."""
        return PixelClassifier(clip_shape, compressor, classifier.width, n_classes)

    @staticmethod
    def on_codes(
        clip_shape: tuple[int, ...], compressor: CompressorSettings, classifier: ClassifierSettings, n_classes: int
    ) -> Headed:
        """The classifier alone."""
        return Classifier(code_grid(clip_shape, compressor), compressor.dim, classifier.width, n_classes)
