"""Two models of a lab: a VAE with a perceptron for an encoder, and a beta-TCVAE.

$ pip install ./examples/own_models
$ POLAR_MODEL_PACKAGES=lab_models polar run examples/own_models/mlp_vae.yaml --out out
"""

import math

import torch
from jaxtyping import Float
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor, nn

from polar.models import Encoding, Losses, Sizes, networks
from polar.models.likelihood import reconstruction_loss
from polar.models.posterior import LOG_VAR_RANGE, kl_per_latent, sample


class MlpVAE(nn.Module):
    """A beta-VAE whose encoder sees no neighbourhoods of pixels."""

    class Fields(BaseModel):
        """Its own part of the spec."""

        model_config = ConfigDict(extra="forbid")

        #: Width of the two hidden layers.
        hidden: int = Field(128, ge=1, le=4096)
        #: Channels of the decoder's transposed convolutions, the widest last.
        widths: tuple[int, int, int, int, int] = (8, 8, 16, 16, 32)

    def __init__(self, fields: Fields, sizes: Sizes, generator: torch.Generator) -> None:
        """Make the layers, with first weights from the generator."""
        super().__init__()
        self.likelihood = sizes.likelihood
        hidden = [fields.hidden, fields.hidden]
        self.encoder = nn.Sequential(
            nn.Flatten(),
            networks.perceptron(sizes.shape.values, hidden, 2 * sizes.latent_dim, generator),
        )
        self.decoder = networks.decoder(sizes.latent_dim, sizes.shape, fields.widths, generator)

    def encode(self, images: Float[Tensor, "n c side side"], _u: Float[Tensor, "n k"]) -> Encoding:
        """The posteriors of images with pixels in [0, 1]."""
        mean, log_var = self.encoder(images).chunk(2, dim=1)
        return Encoding(mean, log_var.clamp(*LOG_VAR_RANGE))

    def decode(self, latents: Float[Tensor, "n m"]) -> Float[Tensor, "n c side side"]:
        """The likelihood's parameter for each pixel."""
        return self.decoder(latents)

    def losses(
        self,
        images: Float[Tensor, "n c side side"],
        u: Float[Tensor, "n k"],
        noise: torch.Generator,
    ) -> Losses:
        """Reconstruction loss and KL divergence of a batch, in nats per image."""
        encoding = self.encode(images, u)
        assert encoding.log_var is not None
        outputs = self.decode(sample(encoding.mean, encoding.log_var, noise))
        kl = kl_per_latent(encoding.mean, encoding.log_var).sum(1).mean()
        return Losses(reconstruction_loss(self.likelihood, outputs, images), kl)


class BetaTCVAE(MlpVAE):
    """The weight multiplies the total correlation; the rest of the KL divergence counts once.

    The penalty is what remains when the weight is taken out: total correlation + rest / weight
    would need the weight, so the rest is added to the reconstruction loss.

    Reference: Chen, Li, Grosse, Duvenaud (2018), https://arxiv.org/abs/1802.04942, Eq. 4, with
    the densities of the aggregate posterior estimated on the batch by itself.
    """

    def losses(
        self,
        images: Float[Tensor, "n c side side"],
        u: Float[Tensor, "n k"],
        noise: torch.Generator,
    ) -> Losses:
        """The loss of a batch but for the total correlation, and the total correlation."""
        encoding = self.encode(images, u)
        mean, log_var = encoding.mean, encoding.log_var
        assert log_var is not None
        latents = sample(mean, log_var, noise)
        reconstruction = reconstruction_loss(self.likelihood, self.decode(latents), images)
        # ln q(z_i | x_j) of each latent: (samples i, images j, latents)
        deviations = latents[:, None] - mean
        log_q = -0.5 * (math.log(2 * math.pi) + log_var + deviations.square() / log_var.exp())
        joint = log_q.sum(2).logsumexp(1)
        marginals = log_q.logsumexp(1).sum(1)
        m, log_n = latents.shape[1], math.log(len(images))
        total_correlation = (joint - marginals).mean() + (m - 1) * log_n
        kl = kl_per_latent(mean, log_var).sum(1).mean()
        return Losses(reconstruction + kl - total_correlation, total_correlation)
