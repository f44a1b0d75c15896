"""How a batch is shared between the current experience and the buffer, equal for every replay method."""

from typing import Any

import torch

from methods.contract import Batch
from methods.shared.settings import ReplaySettings


def fresh_part(total: int, share: float, has_past: bool, iid: bool = False) -> int:
    """Current samples the loop hands to a step: all in the first experience, later `1 - share` of the batch.

    With `replay.iid` the loop hands over a full batch and the step keeps as many as the union would give.
    """
    return total if iid or not has_past else max(1, total - round(total * share))


def replayed_part(
    batch: Batch, total: int, replay: ReplaySettings, buffer: Any, n_current: int
) -> tuple[Batch, Batch | None]:
    """The current part of a batch, and a draw from the buffer (len, sample, generator) that fills it up to `total`.

    Instead of an empty draw comes None.
    """
    if buffer is None or len(buffer) == 0:
        return batch, None
    n_old = total - len(batch)
    if replay.iid:
        odds = torch.full((total,), len(buffer) / (len(buffer) + n_current))
        n_old = int(torch.bernoulli(odds, generator=buffer.generator).sum())
    if n_old == 0:
        return batch, None
    return first(batch, total - n_old), buffer.sample(n_old)


def first(batch: Batch, n: int) -> Batch:
    """The first n samples."""
    clips = None if batch.clips is None else batch.clips[:n]
    codes = None if batch.codes is None else batch.codes[:n]
    return Batch(target=batch.target[:n], sample_id=batch.sample_id[:n], clips=clips, codes=codes)


def joined(a: Batch, b: Batch) -> Batch:
    """Two batches of the same kind as one."""
    clips = None if a.clips is None else torch.cat([a.clips, b.clips])
    codes = None if a.codes is None else torch.cat([a.codes, b.codes])
    return Batch(
        target=torch.cat([a.target, b.target]),
        sample_id=torch.cat([a.sample_id, b.sample_id]),
        clips=clips,
        codes=codes,
    )
