"""The classifier, one for codes and pixels: a small convolutional network, time folded into channels."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from methods.compressor import Encoder, code_grid, to_float
from methods.settings import ClassifierSettings, CompressorSettings

GROUPS = 8  # of GroupNorm: batch statistics of single experiences would mislead BatchNorm


class Block(nn.Sequential):
    """3x3 convolution, GroupNorm, ReLU."""

    def __init__(self, inward: int, outward: int, stride: int):
        super().__init__(nn.Conv2d(inward, outward, 3, stride, 1), nn.GroupNorm(GROUPS, outward), nn.ReLU())


class Classifier(nn.Module):
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

    def forward(self, vectors: Tensor) -> Tensor:
        b, t, h, w, d = vectors.shape
        x = vectors.permute(0, 2, 3, 1, 4).reshape(b, h, w, t * d).permute(0, 3, 1, 2)
        return self.head(self.blocks(x))

    def new_head(self, n_classes: int) -> None:
        """A fresh head for another set of classes."""
        self.head = nn.Linear(self.n_features, n_classes, device=self.head.weight.device)

    def _load_from_state_dict(self, state_dict, prefix, *args):
        saved = state_dict.get(prefix + "head.weight")
        if saved is not None and saved.shape != self.head.weight.shape:
            self.new_head(saved.shape[0])  # saved during pre-training, or after it
        super()._load_from_state_dict(state_dict, prefix, *args)


class PixelClassifier(nn.Module):
    """The same classifier on pixels: the compressor's encoder, untrained and without quantiser, is its stem."""

    def __init__(self, clip_shape: tuple[int, ...], compressor: CompressorSettings, width: int, n_classes: int):
        super().__init__()
        self.stem = Encoder(clip_shape, compressor)
        self.body = Classifier(code_grid(clip_shape, compressor), compressor.dim, width, n_classes)

    def forward(self, clips: Tensor) -> Tensor:
        return self.body(self.stem(to_float(clips)))

    def new_head(self, n_classes: int) -> None:
        self.body.new_head(n_classes)


def code_classifier(clip_shape, compressor: CompressorSettings, classifier: ClassifierSettings, n_classes: int):
    """The classifier on codebook vectors that the settings ask for."""
    return Classifier(code_grid(clip_shape, compressor), compressor.dim, classifier.width, n_classes)


def classification_loss(logits: Tensor, target: Tensor) -> tuple[Tensor, dict[str, float]]:
    """Cross-entropy over all classes, and what to log of it."""
    loss = F.cross_entropy(logits.float(), target)
    with torch.no_grad():
        accuracy = (logits.argmax(-1) == target).float().mean()
    return loss, {"loss": float(loss.detach()), "accuracy": float(accuracy)}
