"""compressor.augment: some of the current clips are changed while the compressor learns from them."""

import torch
from torch import Tensor


def changed(clips: Tensor, share: float, generator: torch.Generator) -> Tensor:
    """Float clips [B,T,H,W,3], of which a share, at random, is recolored, inverted and mirrored.

    Color channels are permuted; the inversion and the mirroring in time, rows and columns happen with probability one
    half each. The compressor sees no label, so a change that would change the label does no harm.
    """
    n, device = len(clips), clips.device

    def chance(p: float) -> Tensor:
        return (torch.rand(n, generator=generator) < p).to(device)[:, None, None, None, None]

    order = torch.rand(n, 3, generator=generator).argsort(1).to(device)
    new = torch.gather(clips, -1, order[:, None, None, None, :].expand_as(clips))
    new = torch.where(chance(0.5), 1 - new, new)
    for axis in (1, 2, 3):
        new = torch.where(chance(0.5), new.flip(axis), new)
    return torch.where(chance(share), new, clips)
