"""The beta-VAE: minimises reconstruction + beta * KL.

Notation:
    n, m: images of a batch, latents.
    mean, log_var: what the encoder says of each image, shape (n, m); sigma^2 = exp(log_var).
    z = mean + sigma * noise: a sample of the posterior, shape (n, m).

Reference: Higgins et al. (2017), https://openreview.net/forum?id=Sy2fzU9gl
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from polar.models import networks
from polar.models.autoencoder import Losses, Posterior
from polar.spec import BetaVAESpec

#: Beyond it exp(log_var) is of no use in float32; inside no trained encoder comes near.
LOG_VAR_RANGE = (-20.0, 10.0)


class BetaVAE(nn.Module):
    """Convolutional encoder and decoder with a Gaussian posterior and a Bernoulli likelihood."""

    def __init__(self, spec: BetaVAESpec, generator: torch.Generator) -> None:
        super().__init__()
        self.beta = spec.beta
        self.encoder = networks.encoder(spec.widths, generator)
        self.mean_head = networks.head(spec.widths[-1], spec.latent_dim, generator)
        self.log_var_head = networks.head(spec.widths[-1], spec.latent_dim, generator)
        self.decoder = networks.decoder(spec.latent_dim, spec.widths, generator)

    def encode(self, images: Float[Tensor, "n 1 32 32"]) -> Posterior:
        """The posteriors of images with pixels in [0, 1]; log_var is clamped to [-20, 10]."""
        features = self.encoder(images)  # (n, widths[-1])
        return Posterior(
            self.mean_head(features), self.log_var_head(features).clamp(*LOG_VAR_RANGE)
        )

    def decode(self, latents: Float[Tensor, "n m"]) -> Float[Tensor, "n 1 32 32"]:
        """The logits of the pixels; their sigmoid is the image."""
        return self.decoder(latents)

    def losses(self, images: Float[Tensor, "n 1 32 32"], noise: torch.Generator) -> Losses:
        """The loss of one batch, with one sample of each posterior drawn from the generator."""
        posterior = self.encode(images)
        logits = self.decode(sample(posterior, noise))
        reconstruction = F.binary_cross_entropy_with_logits(logits, images, reduction="sum")
        reconstruction = reconstruction / len(images)
        kl = kl_per_latent(posterior).sum(1).mean()
        return Losses(reconstruction, kl, total=reconstruction + self.beta * kl)


def sample(posterior: Posterior, noise: torch.Generator) -> Float[Tensor, "n m"]:
    """One sample of each posterior, differentiable in its parameters."""
    mean = posterior.mean
    standard = torch.randn(mean.shape, generator=noise, device=mean.device, dtype=mean.dtype)
    return mean + torch.exp(posterior.log_var / 2) * standard


def kl_per_latent(posterior: Posterior) -> Float[Tensor, "n m"]:
    """KL(q(z_j|x) || N(0, 1)) in nats, at least 0: (mean^2 + sigma^2 - ln sigma^2 - 1) / 2."""
    mean, log_var = posterior.mean, posterior.log_var
    return (mean.square() + log_var.exp() - log_var - 1) / 2
