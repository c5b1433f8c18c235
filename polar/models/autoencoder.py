"""What training and evaluation ask of every model."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn


@dataclass(frozen=True)
class Posterior:
    """What the encoder says of each image: independent Gaussians, one a latent."""

    mean: Float[Tensor, "n m"]
    #: Natural logarithm of the variance.
    log_var: Float[Tensor, "n m"]


@dataclass(frozen=True)
class Losses:
    """The terms of a loss, in nats per image (mean over the batch)."""

    #: Bernoulli, summed over pixels.
    reconstruction: Float[Tensor, ""]
    #: Summed over latents, before the weight.
    kl: Float[Tensor, ""]
    #: What is minimised: reconstruction + weight * kl.
    total: Float[Tensor, ""]


@runtime_checkable
class Autoencoder(Protocol):
    """A model that can be trained and measured; each is one final `nn.Module` in one file."""

    def encode(self, images: Float[Tensor, "n 1 32 32"]) -> Posterior:
        """The posteriors of images with pixels in [0, 1]."""

    def decode(self, latents: Float[Tensor, "n m"]) -> Float[Tensor, "n 1 32 32"]:
        """The logits of the pixels; their sigmoid is the image."""

    def losses(self, images: Float[Tensor, "n 1 32 32"], noise: torch.Generator) -> Losses:
        """The loss of one batch; the samples of the posteriors are drawn from the generator."""

    def parameters(self) -> Iterator[nn.Parameter]:
        """As of `nn.Module`, like the next two."""

    def state_dict(self) -> dict[str, Any]:
        """The weights by name."""

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> Any:  # noqa: ANN401
        """Take over the weights."""
