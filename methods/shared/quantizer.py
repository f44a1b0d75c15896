"""Product quantizer with EMA codebooks (van den Oord et al. 2017, appendix A.1; Razavi et al. 2019)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

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
                dead = self.count < self.dead_below
                if dead.any():
                    self._draw(parts, dead, generator)
            commitment = F.mse_loss(latents, vectors)
            return latents + (vectors - latents).detach(), commitment

    def forget(self) -> None:
        """Have the codebook drawn anew from the next batch (`compressor.reinit=each_task`)."""
        self.initialized.fill_(False)

    @torch.no_grad()
    def _move(self, parts: Tensor, codes: Tensor) -> None:
        for q in range(len(codes)):
            count = torch.bincount(codes[q], minlength=self.count.shape[1]).to(self.count.dtype)
            total = torch.zeros_like(self.total[q]).index_add_(0, codes[q], parts[q])
            self.count[q].mul_(self.decay).add_(count, alpha=1 - self.decay)
            self.total[q].mul_(self.decay).add_(total, alpha=1 - self.decay)
            # Entries without a latent in this batch stay put: total / count of long-unused ones is 0 / 0.
            used = (count > 0).unsqueeze(-1)
            self.codebook[q] = torch.where(used, self.total[q] / self.count[q].unsqueeze(-1), self.codebook[q])

    @torch.no_grad()
    def _draw(self, parts: Tensor, where: Tensor, generator: torch.Generator) -> None:
        """Set the entries marked in `where` [Q,K] to random latents of the batch."""
        for q in range(len(parts)):
            n = int(where[q].sum())
            picks = torch.randint(parts.shape[1], (n,), generator=generator).to(parts.device)
            self.codebook[q, where[q]] = parts[q, picks]
            self.total[q, where[q]] = parts[q, picks]
            self.count[q, where[q]] = 1.0
