"""Settings shared by all methods, with their help texts; imports no torch so that `--help` stays quick."""

from dataclasses import dataclass, field
from typing import Any


def setting(default: Any, help: str, later: bool = False) -> Any:
    """A dataclass field with a default and the help text that the command line prints.

    `later`: came after runs had been made; at its default it is left out of a run's config, so that they stay the same.
    """
    metadata = {"help": help, "later": later}
    if isinstance(default, list | dict):
        return field(default_factory=lambda: type(default)(default), metadata=metadata)
    return field(default=default, metadata=metadata)


def steps_of(settings: "CompressorSettings | ClassifierSettings", n_clips: int, n_merged: int = 1) -> int:
    """Training steps of an experience of `n_clips` current clips (of `n_merged` experiences given as one: of each).

    With `epochs`: as many as full batches of current clips would take, whatever share of them is replayed.
    """
    return settings.epochs * -(-n_clips // (settings.batch * n_merged)) if settings.epochs else settings.steps


@dataclass(frozen=True)
class CompressorSettings:
    """The VQ-VAE and its training, equal for every method that has one."""

    steps: int = setting(100, "training steps an experience")
    first_steps: int = setting(0, "training steps of the first experience (0: as many as `steps`)")
    epochs: int = setting(0, "passes over the current clips instead of steps (0: `steps` counts)", later=True)
    batch: int = setting(32, "clips a step, current and replayed together")
    rate: float = setting(2e-3, "peak learning rate of AdamW (warm-up, then cosine to a tenth)")
    network: str = setting("patch", "patch | convolutional: see methods/networks", later=True)
    patch: list[int] = setting([4, 4, 4], "frames, rows and columns that one position of the code stands for")
    width: int = setting(48, "channels of the encoder and decoder")
    n_codebooks: int = setting(1, "product quantiser: codebooks a position; bytes a clip grow with it")
    entries: int = setting(256, "entries a codebook; an index takes ceil(log2 entries) bits")
    dim: int = setting(8, "dimensions of a latent vector, shared out among the codebooks")
    decay: float = setting(0.95, "decay of the codebook's exponential moving averages")
    commitment: float = setting(0.25, "weight of the commitment loss")
    reconstruction: float = setting(10.0, "weight of the reconstruction loss (mean squared error)")
    dead_below: float = setting(
        0.1, "an entry whose moving count falls below this is replaced by a latent of the batch"
    )
    replace: str = setting("always", "when dead entries are replaced: always | first_task")
    reinit: str = setting(
        "never", "codebook drawn anew from a batch: never | each_task (stress: stored indices lose meaning)"
    )
    load: str = setting(
        "", "file of python -m harness.pretrain whose compressor every method starts from (default: none)", later=True
    )


@dataclass(frozen=True)
class ClassifierSettings:
    """The classifier and its training, equal for every method."""

    steps: int = setting(300, "training steps an experience")
    epochs: int = setting(0, "passes over the current clips instead of steps (0: `steps` counts)", later=True)
    batch: int = setting(48, "clips or codes a step, current and replayed together")
    rate: float = setting(2e-3, "peak learning rate of AdamW (warm-up, then cosine to a tenth)")
    network: str = setting("small", "small | s3d: see methods/networks", later=True)
    width: int = setting(96, "channels of the small classifier")
    views: int = setting(1, "views of each current clip to train on: itself, which is stored, and others", later=True)


@dataclass(frozen=True)
class ReplaySettings:
    """How a step's batch is shared between current and stored samples, equal for every replay method."""

    share: float = setting(2 / 3, "share of a classifier batch that comes from the buffer")
    compressor_share: float = setting(0.5, "share of a compressor batch that is decoded from the buffer")
    iid: bool = setting(False, "draw each batch from the union of current and stored samples instead of by `share`")


@dataclass(frozen=True)
class TrainingSettings:
    """How steps are computed, equal for every method of our own loop."""

    accumulate: int = setting(1, "batches whose gradients are averaged before the weights move", later=True)
    channels_last: bool = setting(False, "memory layout of convolutions, quicker with bfloat16 on a GPU", later=True)
    compile: bool = setting(False, "torch.compile for encoder, decoder and classifier", later=True)


@dataclass(frozen=True)
class NoSettings:
    """For methods that have no settings of their own."""
