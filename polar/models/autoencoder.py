"""What training and evaluation ask of every model."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn


@dataclass(frozen=True)
class Encoding:
    """What the encoder says of each image."""

    #: Means of the posteriors, or the codes of a deterministic autoencoder.
    mean: Float[Tensor, "n m"]
    #: Natural logarithm of the posteriors' variances; none for a deterministic autoencoder.
    log_var: Float[Tensor, "n m"] | None = None
    #: Of the prior that an iVAE has for each image; none where the prior is N(0, 1).
    prior_mean: Float[Tensor, "n m"] | None = None
    prior_log_var: Float[Tensor, "n m"] | None = None


@dataclass(frozen=True)
class Losses:
    """The terms of the loss of one batch."""

    #: In nats: summed over pixels, mean over images.
    reconstruction: Float[Tensor, ""]
    #: What the weight multiplies, in the model's own unit; 0 for a model without a weight.
    penalty: Float[Tensor, ""]
    #: What is minimised.
    total: Float[Tensor, ""]


@runtime_checkable
class Autoencoder(Protocol):
    """A model that can be trained and measured; each is one final `nn.Module` in one file.

    `encode` and `decode` change nothing; what a model keeps beside its weights, such as the norms
    of an LV-AE's decoder, moves in `losses` alone.
    """

    #: Whether it is being trained, not measured; as of `nn.Module`, like `train` and all after it.
    training: bool

    def encode(
        self, images: Float[Tensor, "n 1 side side"], u: Float[Tensor, "n k"], /
    ) -> Encoding:
        """What the encoder says of images with pixels in [0, 1].

        Args:
            images: Pixels.
            u: What an iVAE is told of each image: the one-hot vectors of its factors, side by
                side. The other models do not look at it; it has no columns then.
        """

    def decode(self, latents: Float[Tensor, "n m"], /) -> Float[Tensor, "n 1 side side"]:
        """What the likelihood is told of each pixel: a Bernoulli's logit or a Gaussian's mean."""

    def losses(
        self,
        images: Float[Tensor, "n 1 side side"],
        u: Float[Tensor, "n k"],
        noise: torch.Generator,
        /,
    ) -> Losses:
        """The loss of one batch; samples of the posteriors are drawn from the generator."""

    def train(self, mode: bool = True) -> Any:  # noqa: ANN401
        """To be trained."""

    def eval(self) -> Any:  # noqa: ANN401
        """To be measured."""

    def parameters(self) -> Iterator[nn.Parameter]:
        """What is trained."""

    def state_dict(self) -> dict[str, Any]:
        """The weights by name, and all else that the next step depends on."""

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> Any:  # noqa: ANN401
        """Take over the weights."""
