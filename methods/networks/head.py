"""What the classifiers share: features, and one head over them, which is made anew for another set of classes."""

from typing import Any

from torch import Tensor, nn


class Headed(nn.Module):
    """A network whose `head` maps `features(x)` [B, n_features] to logits of all classes of the stream."""

    n_features: int
    head: nn.Linear

    def features(self, x: Tensor) -> Tensor:
        """The input of the head, [B, n_features]; `x` is what `forward` takes."""
        raise NotImplementedError(f"{type(self).__name__} gives no features(x)")

    def forward(self, x: Tensor) -> Tensor:
        """Logits [B, n_classes]."""
        logits: Tensor = self.head(self.features(x))
        return logits

    def new_head(self, n_classes: int) -> None:
        """Replace the head by a fresh one for another set of classes."""
        self.head = nn.Linear(self.n_features, n_classes, device=self.head.weight.device)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        saved = state_dict.get(prefix + "head.weight")
        if saved is not None and saved.shape != self.head.weight.shape:
            self.new_head(saved.shape[0])  # saved during pre-training, or after it
        super()._load_from_state_dict(state_dict, prefix, *args)
