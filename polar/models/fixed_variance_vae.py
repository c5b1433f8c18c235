"""A VAE whose posterior has one fixed variance; it minimises reconstruction + beta * KL.

The variance's contribution to the KL is then constant, so the KL stays large even when every mean
has collapsed.

Reference: Takida et al. (2022), https://arxiv.org/abs/2102.08663
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from polar.models import networks
from polar.models.autoencoder import Encoding, Losses
from polar.models.likelihood import reconstruction_loss
from polar.models.posterior import kl_per_latent, sample
from polar.spec import FixedVarianceVAESpec, ImageShape


class FixedVarianceVAE(nn.Module):
    """Convolutional encoder, of the mean only, and decoder."""

    def __init__(
        self, spec: FixedVarianceVAESpec, shape: ImageShape, generator: torch.Generator
    ) -> None:
        super().__init__()
        features = networks.feature_count(shape.side, spec.widths)
        self.spec = spec
        self.encoder = networks.encoder(shape.channels, spec.widths, generator)
        self.mean_head = networks.head(features, spec.latent_dim, generator)
        self.decoder = networks.decoder(spec.latent_dim, shape, spec.widths, generator)

    def encode(self, images: Float[Tensor, "n c side side"], _u: Float[Tensor, "n k"]) -> Encoding:
        """The posteriors of images with pixels in [0, 1]."""
        mean = self._mean(images)
        return Encoding(mean, self._log_var(mean))

    def decode(self, latents: Float[Tensor, "n m"]) -> Float[Tensor, "n c side side"]:
        """The likelihood's parameter for each pixel."""
        return self.decoder(latents)

    def losses(
        self,
        images: Float[Tensor, "n c side side"],
        _u: Float[Tensor, "n k"],
        noise: torch.Generator,
    ) -> Losses:
        """The losses of one batch, with one sample of each posterior drawn from the generator."""
        mean = self._mean(images)
        log_var = self._log_var(mean)
        outputs = self.decode(sample(mean, log_var, noise))
        reconstruction = reconstruction_loss(self.spec.likelihood, outputs, images)
        kl = kl_per_latent(mean, log_var).sum(1).mean()
        return Losses(reconstruction, kl)

    def _mean(self, images: Float[Tensor, "n c side side"]) -> Float[Tensor, "n m"]:
        return self.mean_head(self.encoder(images))

    def _log_var(self, mean: Float[Tensor, "n m"]) -> Float[Tensor, "n m"]:
        return torch.full_like(mean, math.log(self.spec.variance))
