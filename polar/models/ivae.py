"""The identifiable VAE, which minimises reconstruction + alpha * KL(q(z|x, u) || p(z|u)).

u gives some factors of the image to the encoder and the prior. With a learned prior mean, a latent
that says nothing beyond u can still follow u at no cost: its mean representation moves while its
KL is 0.

Notation:
    k: length of u, which is the one-hot vectors of its factors side by side.

References: Khemakhem et al. (2020), https://arxiv.org/abs/1907.04809; Bonheme, Grzes (2023), for
learned prior means, and for appending u to the features instead of to the pixels.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from polar.models import networks
from polar.models.autoencoder import Encoding, Losses
from polar.models.likelihood import reconstruction_loss
from polar.models.posterior import LOG_VAR_RANGE, conditional_kl_per_latent, sample
from polar.spec import ImageShape, IVAESpec

#: Widths of the hidden layers of the prior's networks, where u has several factors.
HIDDEN = (50, 50, 50)
#: Slope of LeakyReLU in the prior's networks, where u has several factors.
SLOPE = 0.1


class IVAE(nn.Module):
    """Convolutional encoder and decoder, and a prior that depends on u."""

    def __init__(
        self, spec: IVAESpec, shape: ImageShape, u_sizes: Sequence[int], generator: torch.Generator
    ) -> None:
        super().__init__()
        features = networks.feature_count(shape.side, spec.widths) + sum(u_sizes)
        self.spec = spec
        self.encoder = networks.encoder(shape.channels, spec.widths, generator)
        self.mean_head = networks.head(features, spec.latent_dim, generator)
        self.log_var_head = networks.head(features, spec.latent_dim, generator)
        self.decoder = networks.decoder(spec.latent_dim, shape, spec.widths, generator)
        self.prior_log_var = _function_of_u(u_sizes, spec.latent_dim, generator)
        if spec.prior_mean == "learned":
            self.prior_mean = _function_of_u(u_sizes, spec.latent_dim, generator)

    def encode(self, images: Float[Tensor, "n c side side"], u: Float[Tensor, "n k"]) -> Encoding:
        """Posteriors and priors of images with pixels in [0, 1]."""
        mean, log_var = self._posterior(images, u)
        prior_mean, prior_log_var = self._prior(u)
        return Encoding(mean, log_var, prior_mean, prior_log_var)

    def decode(self, latents: Float[Tensor, "n m"]) -> Float[Tensor, "n c side side"]:
        """The likelihood's parameter for each pixel."""
        return self.decoder(latents)

    def losses(
        self,
        images: Float[Tensor, "n c side side"],
        u: Float[Tensor, "n k"],
        noise: torch.Generator,
    ) -> Losses:
        """The losses of one batch, with one sample of each posterior drawn from the generator."""
        mean, log_var = self._posterior(images, u)
        outputs = self.decode(sample(mean, log_var, noise))
        reconstruction = reconstruction_loss(self.spec.likelihood, outputs, images)
        kl = conditional_kl_per_latent(mean, log_var, *self._prior(u)).sum(1).mean()
        return Losses(reconstruction, kl)

    def _posterior(
        self, images: Float[Tensor, "n c side side"], u: Float[Tensor, "n k"]
    ) -> tuple[Float[Tensor, "n m"], Float[Tensor, "n m"]]:
        """Mean and log-variance; the log-variance is clamped to [-20, 10]."""
        features = torch.cat([self.encoder(images), u], dim=1)
        return self.mean_head(features), self.log_var_head(features).clamp(*LOG_VAR_RANGE)

    def _prior(self, u: Float[Tensor, "n k"]) -> tuple[Float[Tensor, "n m"], Float[Tensor, "n m"]]:
        """Mean and log-variance; the log-variance is clamped to [-20, 10]."""
        log_var = self.prior_log_var(u).clamp(*LOG_VAR_RANGE)
        mean = self.prior_mean(u) if self.spec.prior_mean == "learned" else log_var.new_zeros(())
        return mean.expand_as(log_var), log_var


def _function_of_u(
    u_sizes: Sequence[int], latent_dim: int, generator: torch.Generator
) -> nn.Module:
    """A table for a single factor, because no network could do better; otherwise a network."""
    if len(u_sizes) == 1:
        return networks.head(u_sizes[0], latent_dim, generator, bias=False)
    return networks.perceptron(sum(u_sizes), HIDDEN, latent_dim, generator, SLOPE)
