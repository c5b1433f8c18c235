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


class BetaTCVAE(nn.Module):
    """The networks of `MlpVAE`, with a penalty that weighs the total correlation more.

    The penalty is KL + (gamma - 1) * total correlation, and the weight of the spec multiplies all
    of it; at the weight 1 this is the published loss.

    Reference: Chen, Li, Grosse, Duvenaud (2018), https://arxiv.org/abs/1802.04942, Eq. 4, with
    the densities of the aggregate posterior estimated on the batch by itself.
    """

    class Fields(MlpVAE.Fields):
        """Its own part of the spec."""

        #: How much more the total correlation counts than the rest of the KL divergence.
        gamma: float = Field(6.0, ge=0, le=1e6)

    def __init__(self, fields: Fields, sizes: Sizes, generator: torch.Generator) -> None:
        """Make the networks, with first weights from the generator."""
        super().__init__()
        self.gamma = fields.gamma
        self.networks = MlpVAE(fields, sizes, generator)

    def encode(self, images: Float[Tensor, "n c side side"], u: Float[Tensor, "n k"]) -> Encoding:
        """The posteriors of images with pixels in [0, 1]."""
        return self.networks.encode(images, u)

    def decode(self, latents: Float[Tensor, "n m"]) -> Float[Tensor, "n c side side"]:
        """The likelihood's parameter for each pixel."""
        return self.networks.decode(latents)

    def losses(
        self,
        images: Float[Tensor, "n c side side"],
        u: Float[Tensor, "n k"],
        noise: torch.Generator,
    ) -> Losses:
        """Reconstruction loss and penalty of a batch, in nats per image."""
        encoding = self.encode(images, u)
        mean, log_var = encoding.mean, encoding.log_var
        assert log_var is not None
        latents = sample(mean, log_var, noise)
        outputs = self.decode(latents)
        reconstruction = reconstruction_loss(self.networks.likelihood, outputs, images)
        kl = kl_per_latent(mean, log_var).sum(1).mean()
        correlation = total_correlation(latents, mean, log_var)
        return Losses(reconstruction, kl + (self.gamma - 1) * correlation)


def total_correlation(
    latents: Float[Tensor, "n m"], mean: Float[Tensor, "n m"], log_var: Float[Tensor, "n m"]
) -> Float[Tensor, ""]:
    """KL divergence of the aggregate posterior from the product of its marginals, nats.

    Args:
        latents: A sample of the posterior of each image of a batch.
        mean: Means of these posteriors.
        log_var: Logarithms of their variances.
    """
    # ln q(z_i | x_j) of each latent: (samples i, images j, latents)
    deviations = latents[:, None] - mean
    log_q = -0.5 * (math.log(2 * math.pi) + log_var + deviations.square() / log_var.exp())
    joint = log_q.sum(2).logsumexp(1)
    marginals = log_q.logsumexp(1).sum(1)
    n, m = latents.shape
    return (joint - marginals).mean() + (m - 1) * math.log(n)
