"""Settings that all methods share, declared once; imports no torch so that `--help` stays quick."""

from dataclasses import dataclass
from typing import Any

from harness.common.registry import Registry
from harness.common.settings import choice, integer, loguniform, setting, uniform
from methods.forms import FORMS
from methods.heads import HEADS
from methods.networks import CLASSIFIERS, COMPRESSORS
from methods.rules import RULES
from methods.selection import SELECTIONS
from methods.upkeeps import UPKEEPS


def steps_of(settings: "CompressorSettings | ClassifierSettings", n_clips: int, n_merged: int = 1) -> int:
    """Training steps of an experience of `n_clips` current clips.

    For a joint method, `n_merged` experiences are given as one, and this is the number for each of them. With
    `epochs`, an epoch has as many steps as full batches of current clips would take, whatever share is replayed.
    """
    return settings.epochs * -(-n_clips // (settings.batch * n_merged)) if settings.epochs else settings.steps


def _answer(help: str, registry: Registry[Any]) -> Any:
    """A setting that names an answer to a question (methods/answers.py); empty: the method's own answer."""
    return setting("", f"{help}; default: the method's own", choices=lambda: ("", *registry), registry=registry,
                   since="0.2")  # fmt: skip


@dataclass(frozen=True)
class CompressorSettings:
    """The VQ-VAE and its training, equal for every method that has one."""

    steps: int = setting(100, "training steps an experience", above=0, also="iterations iters updates")
    first_steps: int = setting(0, "training steps of the first experience", zero="as many as `steps`")
    same_total: bool = setting(
        False, "what first_steps adds is taken from the later experiences (at least a step each)", since="0.2"
    )
    epochs: int = setting(
        0, "passes over the current clips instead of steps", zero="`steps` counts", since="0.1", also="epoch passes"
    )
    batch: int = setting(
        32,
        "clips a step, current and replayed together",
        above=0,
        also="batch_size batchsize minibatch_size bs train_batch_size train_mb_size",
    )
    rate: float = setting(
        2e-3,
        "peak learning rate of AdamW (warm-up, then cosine to a tenth)",
        search=loguniform(5e-4, 8e-3),
        also="lr learning_rate",
    )
    network: str = setting(
        "patch",
        "network of encoder and decoder",
        registry=COMPRESSORS,
        since="0.1",
        also="encoder decoder autoencoder vqvae",
    )
    patch: list[int] = setting(
        [4, 4, 4], "frames, rows and columns that one position of the code stands for", also="patch_size"
    )
    width: int = setting(48, "channels of the encoder and decoder", above=0)
    n_codebooks: int = setting(
        1, "product quantizer: codebooks a position; bytes a clip grow with it", above=0, also="quantizers"
    )
    entries: int = setting(
        256,
        "entries a codebook; an index takes ceil(log2 entries) bits",
        above=0,
        also="codebook codebook_size embeddings codes",
    )
    dim: int = setting(
        8,
        "dimensions of a latent vector, shared out among the codebooks",
        above=0,
        also="embedding_dim latent_dim code_dim",
    )
    decay: float = setting(
        0.95, "decay of the codebook's exponential moving averages", search=uniform(0.9, 0.99), also="ema ema_decay"
    )
    commitment: float = setting(
        0.25, "weight of the commitment loss", search=loguniform(0.05, 1.0), also="commitment_cost beta"
    )
    reconstruction: float = setting(10.0, "weight of the reconstruction loss (mean squared error)")
    dead_below: float = setting(
        0.1, "an entry whose moving count falls below this is replaced by a latent of the batch"
    )
    replace: str = setting("always", "when dead entries are replaced", choices=("always", "first_task"))
    reinit: str = setting(
        "never",
        "when the codebook is drawn anew from a batch; each_task is a stress: stored indices lose their meaning",
        choices=("never", "each_task"),
    )
    augment: float = setting(
        0.0, "share of the current clips that are recolored, inverted and mirrored while the compressor learns",
        minimum=0, maximum=1, since="0.2")  # fmt: skip
    snapshot_precision: str = setting(
        "float32", "numbers of the snapshot, whose bytes count", choices=("float32", "float16", "int8"),
        since="0.2")  # fmt: skip
    load: str = setting(
        "",
        "file of python -m harness.pretrain whose compressor every method starts from (default: none)",
        since="0.1",
        also="weights vqvae_path pretrained_path",
    )


@dataclass(frozen=True)
class ClassifierSettings:
    """The classifier and its training, equal for every method."""

    steps: int = setting(300, "training steps an experience", above=0, also="iterations iters updates")
    epochs: int = setting(
        0, "passes over the current clips instead of steps", zero="`steps` counts", since="0.1", also="epoch passes"
    )
    batch: int = setting(
        48,
        "clips or codes a step, current and replayed together",
        above=0,
        also="batch_size batchsize minibatch_size bs train_batch_size train_mb_size",
    )
    rate: float = setting(
        2e-3,
        "peak learning rate of AdamW (warm-up, then cosine to a tenth)",
        search=loguniform(5e-4, 8e-3),
        also="lr learning_rate optimizer optim scheduler lr_scheduler warmup",
    )
    network: str = setting(
        "small", "network of the classifier", registry=CLASSIFIERS, since="0.1", also="backbone arch architecture"
    )
    width: int = setting(
        96, "channels of the small classifier", above=0, search=choice(64, 96, 128), also="hidden channels"
    )
    views: int = setting(
        1, "views of each current clip to train on: itself, which is stored, and others", above=0, since="0.1",
        search=integer(1, 4), also="augment augmentation augmentations aug")  # fmt: skip


@dataclass(frozen=True)
class ReplaySettings:
    """How a step's batch is shared between current and stored samples, equal for every replay method."""

    share: float = setting(
        2 / 3,
        "share of a classifier batch that comes from the buffer",
        search=uniform(0.3, 0.8),
        also="replay_ratio mem_batch_size batch_size_mem buffer_batch_size",
    )
    compressor_share: float = setting(
        0.5, "share of a compressor batch that is decoded from the buffer", search=uniform(0.3, 0.7)
    )
    iid: bool = setting(False, "draw each batch from the union of current and stored samples instead of by `share`")
    form: str = _answer("what is kept of a clip", FORMS)
    quality: Any = setting(0, "of a form with a quality", kind="any", zero="the form's own", since="0.2")
    upkeep: str = _answer("what happens to codes while the compressor learns on", UPKEEPS)
    selection: str = _answer("which of the clips seen stay in the buffer", SELECTIONS)
    rule: str = _answer("how the classifier learns from current and stored samples", RULES)
    head: str = _answer("who answers at test time", HEADS)


@dataclass(frozen=True)
class TrainingSettings:
    """How steps are computed, equal for every method of our own loop."""

    accumulate: int = setting(
        1,
        "batches whose gradients are averaged before the weights move",
        above=0,
        since="0.1",
        also="accumulation accumulation_steps grad_accum gradient_accumulation_steps accumulate_grad_batches",
    )
    channels_last: bool = setting(
        False, "memory layout of convolutions, quicker with bfloat16 on a GPU", since="0.1", also="memory_format"
    )
    compile: bool = setting(
        False, "torch.compile for encoder, decoder and classifier", since="0.1", also="torch_compile"
    )


@dataclass(frozen=True)
class NoSettings:
    """For methods that have no settings of their own."""


# What an untrained encoder takes of the compressor: the stem of a classifier of pixels.
STEM = ("compressor.network", "compressor.patch", "compressor.width", "compressor.dim")

# The groups that all methods share, by the name of the group on the command line.
SHARED: dict[str, type] = {
    "compressor": CompressorSettings,
    "classifier": ClassifierSettings,
    "replay": ReplaySettings,
    "training": TrainingSettings,
}
