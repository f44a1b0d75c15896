"""What the classifiers share: one head, which is made anew for another set of classes."""

from torch import nn


class Headed(nn.Module):
    """A network whose `head` maps `n_features` to logits of all classes of the stream."""

    n_features: int
    head: nn.Linear

    def new_head(self, n_classes: int) -> None:
        """A fresh head for another set of classes."""
        self.head = nn.Linear(self.n_features, n_classes, device=self.head.weight.device)

    def _load_from_state_dict(self, state_dict, prefix, *args):
        saved = state_dict.get(prefix + "head.weight")
        if saved is not None and saved.shape != self.head.weight.shape:
            self.new_head(saved.shape[0])  # saved during pre-training, or after it
        super()._load_from_state_dict(state_dict, prefix, *args)
