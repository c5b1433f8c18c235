"""Trainings of a dense autoencoder on the digits: another network than that of the studies.

Its steps are cheaper, so that what needs many long trainings can have more of them.
"""

from dataclasses import dataclass
from typing import Final, Literal

import torch
from jaxtyping import Float
from pydantic import BaseModel
from torch import Tensor, nn

from benchmarks.trainings import DIGITS
from polar.models import Encoding, Losses, Sizes, networks
from polar.models.likelihood import reconstruction_loss
from polar.models.posterior import LOG_VAR_RANGE, kl_per_latent, sample
from polar.spec import ExperimentSpec

#: The weights of each penalty, as for the convolutional networks of `benchmarks.league`.
WEIGHTS: Final = {"kl": (0.15, 0.6, 2.5, 10.0), "l2": (1e-3, 1e-2, 1e-1, 1.0)}


class DenseAutoencoder(nn.Module):
    """A beta-VAE, or an L2 autoencoder, of perceptrons with two hidden layers."""

    class Fields(BaseModel):
        """The penalty, and the width of the hidden layers."""

        penalty: Literal["kl", "l2"]
        hidden: int = 128

    def __init__(self, fields: Fields, sizes: Sizes, generator: torch.Generator) -> None:
        super().__init__()
        self.likelihood, self.shape = sizes.likelihood, sizes.shape
        self.is_variational = fields.penalty == "kl"
        hidden = [fields.hidden, fields.hidden]
        codes = sizes.latent_dim * (2 if self.is_variational else 1)
        self.encoder = networks.perceptron(sizes.shape.values, hidden, codes, generator)
        self.decoder = networks.perceptron(sizes.latent_dim, hidden, sizes.shape.values, generator)

    def encode(self, images: Float[Tensor, "n c side side"], _u: Float[Tensor, "n k"]) -> Encoding:
        codes = self.encoder(images.flatten(1))
        if not self.is_variational:
            return Encoding(codes)
        mean, log_var = codes.chunk(2, dim=1)
        return Encoding(mean, log_var.clamp(*LOG_VAR_RANGE))

    def decode(self, latents: Float[Tensor, "n m"]) -> Float[Tensor, "n c side side"]:
        shape = self.shape
        return self.decoder(latents).view(len(latents), shape.channels, shape.side, shape.side)

    def losses(
        self,
        images: Float[Tensor, "n c side side"],
        u: Float[Tensor, "n k"],
        noise: torch.Generator,
    ) -> Losses:
        encoding = self.encode(images, u)
        mean, log_var = encoding.mean, encoding.log_var
        latents = mean if log_var is None else sample(mean, log_var, noise)
        penalty = mean.square() if log_var is None else kl_per_latent(mean, log_var)
        outputs = self.decode(latents)
        return Losses(reconstruction_loss(self.likelihood, outputs, images), penalty.sum(1).mean())


@dataclass(frozen=True)
class DenseTraining:
    """One training of the dense network."""

    penalty: str
    weight: float
    seed: int

    @property
    def family(self) -> str:
        return f"dense_{self.penalty}"

    @property
    def name(self) -> str:
        return f"digits-{self.family}-{self.weight:g}-{self.seed}"

    def spec(self) -> ExperimentSpec:
        kind = f"{DenseAutoencoder.__module__}:{DenseAutoencoder.__qualname__}"
        model = {"name": "own", "class": kind, "weight": self.weight, "latent_dim": 16}
        return ExperimentSpec.model_validate(
            {
                "dataset": DIGITS,
                "model": {**model, "fields": {"penalty": self.penalty}},
                "training": {"batch_size": 64, "learning_rate": 4e-3},
                "diagnostics": {"information_images": 0},
                "seeds": [self.seed],
            }
        )
