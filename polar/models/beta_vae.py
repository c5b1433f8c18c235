"""The beta-VAE, which minimises reconstruction + beta * KL(q(z|x) || N(0, 1)).

The reconstruction loss is summed over pixels and the KL over latents; both are averaged over the
batch.

Reference: Higgins et al. (2017), https://openreview.net/forum?id=Sy2fzU9gl
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from polar.models import networks
from polar.models.autoencoder import Encoding, Losses
from polar.models.likelihood import reconstruction_loss
from polar.models.posterior import LOG_VAR_RANGE, kl_per_latent, sample
from polar.spec import BetaVAESpec, ImageShape


class BetaVAE(nn.Module):
    """Convolutional encoder and decoder with a Gaussian posterior for every latent."""

    def __init__(self, spec: BetaVAESpec, shape: ImageShape, generator: torch.Generator) -> None:
        super().__init__()
        features = networks.feature_count(shape.side, spec.widths)
        self.spec = spec
        self.encoder = networks.encoder(shape.channels, spec.widths, generator)
        self.mean_head = networks.head(features, spec.latent_dim, generator)
        self.log_var_head = networks.head(features, spec.latent_dim, generator)
        self.decoder = networks.decoder(spec.latent_dim, shape, spec.widths, generator)

    def encode(self, images: Float[Tensor, "n c side side"], _u: Float[Tensor, "n k"]) -> Encoding:
        """The posteriors of images with pixels in [0, 1]."""
        mean, log_var = self._posterior(images)
        return Encoding(mean, log_var)

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
        mean, log_var = self._posterior(images)
        outputs = self.decode(sample(mean, log_var, noise))
        reconstruction = reconstruction_loss(self.spec.likelihood, outputs, images)
        kl = kl_per_latent(mean, log_var).sum(1).mean()
        return Losses(reconstruction, kl)

    def _posterior(
        self, images: Float[Tensor, "n c side side"]
    ) -> tuple[Float[Tensor, "n m"], Float[Tensor, "n m"]]:
        """Mean and log-variance of the posteriors; the log-variance is clamped to [-20, 10]."""
        features = self.encoder(images)
        return self.mean_head(features), self.log_var_head(features).clamp(*LOG_VAR_RANGE)
