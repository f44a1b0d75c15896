"""Product quantizer with EMA codebooks (van den Oord et al. 2017, appendix A.1; Razavi et al. 2019)."""

from collections.abc import Callable
from typing import Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from methods.forms.devices import to_device
from methods.shared.settings import CompressorSettings


class ProductQuantizer(nn.Module):
    """`n_codebooks` codebooks of `entries` vectors; each takes its share of the latent's dimensions.

    Everything it needs, 'initialized' included, is a registered buffer: a copy without that flag would draw the
    codebook anew in silence.
    """

    codebook: Tensor  # float32 [n_codebooks, entries, dim of one]
    count: Tensor  # float32 [n_codebooks, entries]
    total: Tensor  # as the codebook
    initialized: Tensor  # bool

    def __init__(self, settings: CompressorSettings):
        super().__init__()
        if settings.dim % settings.n_codebooks:
            raise ValueError(
                f"compressor.n_codebooks={settings.n_codebooks} does not divide compressor.dim={settings.dim}"
            )
        self.decay, self.dead_below = settings.decay, settings.dead_below
        shape = (settings.n_codebooks, settings.entries)
        dim = settings.dim // settings.n_codebooks
        self.register_buffer("codebook", torch.zeros(*shape, dim))
        self.register_buffer("count", torch.ones(shape))
        self.register_buffer("total", torch.zeros(*shape, dim))
        self.register_buffer("initialized", torch.tensor(False))

    def _split(self, latents: Tensor) -> Tensor:
        return latents.float().reshape(-1, self.codebook.shape[0], self.codebook.shape[2]).transpose(0, 1)  # [Q,N,d]

    @torch.no_grad()
    def nearest(self, latents: Tensor) -> Tensor:
        """Latents [...,dim] -> indices int64 [...,n_codebooks] of the nearest entries, in float32."""
        with torch.autocast(latents.device.type, enabled=False):
            parts = self._split(latents)
            distance = torch.baddbmm(
                self.codebook.square().sum(-1).unsqueeze(1), parts, self.codebook.transpose(1, 2), alpha=-2.0
            )
            return distance.argmin(-1).transpose(0, 1).reshape(*latents.shape[:-1], -1)

    @staticmethod
    def look_up(codebook: Tensor, codes: Tensor) -> Tensor:
        """Indices [...,n_codebooks] -> vectors [...,dim] of the given codebook [Q,K,d]."""
        parts = [F.embedding(codes[..., q], codebook[q]) for q in range(codebook.shape[0])]
        return parts[0] if len(parts) == 1 else torch.cat(parts, -1)

    def learn(self, latents: Tensor, generator: torch.Generator, replace: bool) -> tuple[Tensor, Tensor]:
        """Straight-through vectors and commitment loss; one EMA step; dead entries replaced where `replace`."""
        with torch.autocast(latents.device.type, enabled=False):
            latents = latents.float()
            parts = self._split(latents.detach())
            if not self.initialized:
                self._draw(parts, torch.ones_like(self.count, dtype=torch.bool), generator)
                self.initialized.fill_(True)
            codes = self.nearest(latents)
            vectors = self.look_up(self.codebook, codes)
            self._move(parts, codes.reshape(-1, self.codebook.shape[0]).T)
            if replace:
                self._draw(parts, self.count < self.dead_below, generator)
            commitment = F.mse_loss(latents, vectors)
            return latents + (vectors - latents).detach(), commitment

    def forget(self) -> None:
        """Have the codebook drawn anew from the next batch (`compressor.reinit=each_task`)."""
        self.initialized.fill_(False)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """As in every module, but `initialized` stays on the CPU: asking a GPU for it would wait for the GPU."""
        super()._apply(fn, recurse)
        self.initialized = self.initialized.cpu()
        return self

    @torch.no_grad()
    def _move(self, parts: Tensor, codes: Tensor) -> None:
        """One EMA step of all codebooks at once; nothing is asked of the device, and all shapes are fixed."""
        n_codebooks, entries, dim = self.codebook.shape
        places = (codes + entries * torch.arange(n_codebooks, device=codes.device).unsqueeze(1)).reshape(-1)
        ones = torch.ones(places.shape, dtype=self.count.dtype, device=places.device)
        count = torch.zeros_like(self.count).view(-1).index_add_(0, places, ones).view_as(self.count)
        total = torch.zeros_like(self.total).view(-1, dim).index_add_(0, places, parts.reshape(-1, dim))
        self.count.mul_(self.decay).add_(count, alpha=1 - self.decay)
        self.total.mul_(self.decay).add_(total.view_as(self.total), alpha=1 - self.decay)
        # Entries without a latent in this batch stay put: total / count of long-unused ones is 0 / 0.
        moved = self.total / self.count.unsqueeze(-1)
        self.codebook.copy_(torch.where((count > 0).unsqueeze(-1), moved, self.codebook))

    @torch.no_grad()
    def _draw(self, parts: Tensor, where: Tensor, generator: torch.Generator) -> None:
        """Set the entries marked in `where` [Q,K] to random latents of the batch."""
        if where.is_cuda:  # one draw for each entry: how many are marked is known to the device alone
            picks = torch.randint(parts.shape[1], where.shape, generator=generator)
        elif not where.any():
            return
        else:
            picks = torch.zeros(where.shape, dtype=torch.int64)
            for q in range(len(parts)):
                picks[q, where[q]] = torch.randint(parts.shape[1], (int(where[q].sum()),), generator=generator)
        picks = to_device(picks, where.device)
        drawn = torch.take_along_dim(parts, picks.unsqueeze(-1), 1)
        self.codebook.copy_(torch.where(where.unsqueeze(-1), drawn, self.codebook))
        self.total.copy_(torch.where(where.unsqueeze(-1), drawn, self.total))
        self.count.masked_fill_(where, 1.0)
