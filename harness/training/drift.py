"""Drift of stored codes, measured by the harness on a probe of stored ids; its time and bytes are not the method's."""

from typing import Any, ClassVar, Protocol, TypeGuard

import numpy as np
import torch

from benchmarks.randomness import generator
from harness.training.batches import ClipSource
from methods.contract import Method, Spec, evaluating
from methods.forms.codes import CodeRows
from methods.shared.buffers import Buffer, Store
from methods.shared.compressor import Compressor

PROBE = 200  # stored clips


class StoresCodes(Protocol):
    """A method that keeps codes, and a compressor that gives them meaning: what can drift."""

    name: ClassVar[str]
    spec: Spec
    compressor: Compressor
    buffer: Buffer


def stores_codes(method: Method) -> TypeGuard[StoresCodes]:
    """Whether a method keeps codes in its buffer, and a compressor."""
    return (
        hasattr(method, "compressor") and isinstance(method.buffer, Store) and isinstance(method.buffer.rows, CodeRows)
    )


class Drift:
    """Four series, a value an experience: latent shift before the refresh and after the task, changed indices, PSNR."""

    SERIES = ("latent_shift_before", "latent_shift_after", "changed_before", "changed", "psnr_before", "psnr")

    def __init__(self, n_experiences: int, reader: Any, seed: int, device: str, trained: np.ndarray):
        """`trained`: sample ids of all training clips, the only ones that the probe shows to a compressor."""
        self.trained = trained
        self.reader, self.seed, self.device = reader, seed, device
        self.series: dict[str, list[float | None]] = {name: [None] * n_experiences for name in self.SERIES}

    def state(self) -> dict[str, Any]:
        return self.series

    def load(self, state: dict[str, Any]) -> None:
        self.series = state

    def measure(self, method: Method, experience: int, at: str, current_ids: set[int]) -> None:
        """`at` before (compressor trained, codes not refreshed) or after (end of the experience)."""
        if not stores_codes(method):
            return
        ids = method.buffer.sample_id[: len(method.buffer)]
        old = np.flatnonzero(~np.isin(ids, list(current_ids)))
        if len(old) == 0:
            return
        rng = generator("drift", self.seed, experience)
        slots = np.sort(rng.choice(old, min(PROBE, len(old)), replace=False))
        if not np.isin(ids[slots], self.trained).all():
            raise ValueError(f"method {method.name}: its buffer names sample ids that are none of training clips")
        values = probe(method, slots, self.reader, self.device)
        suffix = {"before": "_before", "after": ""}[at]
        self.series["latent_shift_" + at][experience] = values["latent_shift"]
        self.series["changed" + suffix][experience] = values["changed"]
        self.series["psnr" + suffix][experience] = values["psnr"]


def probe(method: StoresCodes, slots: np.ndarray, reader: Any, device: str) -> dict[str, float]:
    """Latent shift |e_new(fresh) - e_new(stale)|^2 / (2 var), share of changed indices, PSNR in dB of decoded codes.

    fresh: the original clip encoded now; stale: its stored code; e_new: the codebook of now. 1 means that stored
    codes say no more about their clip than those of another one.
    """
    stored = method.buffer.take(slots)
    rows = stored.sample_id.numpy().astype(np.int64)
    source = ClipSource(reader, rows, np.zeros(len(rows), np.int64), {}, device)
    encoded, errors = [], []
    with evaluating(method.compressor):
        for part in np.split(np.arange(len(rows)), range(method.spec.chunk, len(rows), method.spec.chunk)):
            clips = source.take(part).clips
            encoded.append(method.compressor.encode(clips))
            decoded = method.compressor.decode(stored.codes[part])
            errors.append((decoded - clips.float() / 255).square().mean((1, 2, 3, 4)).clamp_min(1e-10))
        fresh, error = torch.cat(encoded), torch.cat(errors)
        e_fresh, e_stale = method.compressor.embed(fresh).double(), method.compressor.embed(stored.codes).double()
    distance = (e_fresh - e_stale).square().sum(-1).mean()
    variance = e_fresh.flatten(0, -2).var(0, unbiased=False).sum()
    return {
        "latent_shift": float(distance / (2 * variance).clamp_min(1e-12)),
        "changed": float((fresh != stored.codes).double().mean()),
        "psnr": float((-10 * torch.log10(error)).mean()),
    }
