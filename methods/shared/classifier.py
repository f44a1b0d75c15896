"""The classifier, one kind for codes and pixels: the network that the settings name, and its loss."""

import torch
import torch.nn.functional as F
from torch import Tensor

from methods.networks import CLASSIFIERS
from methods.networks.head import Headed
from methods.shared.settings import ClassifierSettings, CompressorSettings


def code_classifier(
    clip_shape: tuple[int, ...], compressor: CompressorSettings, classifier: ClassifierSettings, n_classes: int
) -> Headed:
    """Codebook vectors [B,T',H',W',dim] -> logits [B, n_classes]."""
    network: Headed = CLASSIFIERS.get(classifier.network).on_codes(clip_shape, compressor, classifier, n_classes)
    return network


def pixel_classifier(
    clip_shape: tuple[int, ...], compressor: CompressorSettings, classifier: ClassifierSettings, n_classes: int
) -> Headed:
    """Clips, uint8 or float in 0..1 [B,T,H,W,3] -> logits [B, n_classes]."""
    network: Headed = CLASSIFIERS.get(classifier.network).on_pixels(clip_shape, compressor, classifier, n_classes)
    return network


def classification_loss(logits: Tensor, target: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Cross-entropy over all classes, and what to log of it: tensors, which the loop reads when it needs them."""
    loss = F.cross_entropy(logits.float(), target)
    with torch.no_grad():
        accuracy = (logits.argmax(-1) == target).float().mean()
    return loss, {"loss": loss.detach(), "accuracy": accuracy}
