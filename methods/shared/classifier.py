"""The classifier, one kind for codes and pixels: which network the settings name, and its loss."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from methods.shared.code_size import code_grid
from methods.shared.settings import ClassifierSettings, CompressorSettings


def code_classifier(
    clip_shape: tuple[int, ...], compressor: CompressorSettings, classifier: ClassifierSettings, n_classes: int
) -> nn.Module:
    """Codebook vectors [B,T',H',W',dim] -> logits [B, n_classes]."""
    if classifier.network == "s3d":
        from methods.networks.s3d import CodeS3D  # imports torchvision, which takes a while

        return CodeS3D(compressor.dim, n_classes)
    from methods.networks.small import Classifier

    return Classifier(code_grid(clip_shape, compressor), compressor.dim, classifier.width, n_classes)


def pixel_classifier(
    clip_shape: tuple[int, ...], compressor: CompressorSettings, classifier: ClassifierSettings, n_classes: int
) -> nn.Module:
    """Clips, uint8 or float in 0..1 [B,T,H,W,3] -> logits [B, n_classes]."""
    if classifier.network == "s3d":
        from methods.networks.s3d import PixelS3D

        return PixelS3D(n_classes)
    from methods.networks.small import PixelClassifier

    return PixelClassifier(clip_shape, compressor, classifier.width, n_classes)


def classification_loss(logits: Tensor, target: Tensor) -> tuple[Tensor, dict[str, float]]:
    """Cross-entropy over all classes, and what to log of it."""
    loss = F.cross_entropy(logits.float(), target)
    with torch.no_grad():
        accuracy = (logits.argmax(-1) == target).float().mean()
    return loss, {"loss": float(loss.detach()), "accuracy": float(accuracy)}
