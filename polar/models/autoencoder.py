"""What training and evaluation require of every model."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn


@dataclass(frozen=True)
class Encoding:
    """The encoder's output for each image."""

    #: Means of the posteriors, or the codes of a deterministic autoencoder.
    mean: Float[Tensor, "n m"]
    #: Natural logarithms of the posteriors' variances; None for a deterministic autoencoder.
    log_var: Float[Tensor, "n m"] | None = None
    #: Means of the priors that an iVAE has for each image; None where the prior is N(0, 1).
    prior_mean: Float[Tensor, "n m"] | None = None
    #: Natural logarithms of the variances of an iVAE's priors; None where the prior is N(0, 1).
    prior_log_var: Float[Tensor, "n m"] | None = None


@dataclass(frozen=True)
class Losses:
    """The terms of the loss of one batch; `total` of the model's spec is their weighted sum."""

    #: Reconstruction loss in nats, summed over pixels and averaged over images.
    reconstruction: Float[Tensor, ""]
    #: The term that the weight multiplies, in the model's own unit; 0 for a model without one.
    penalty: Float[Tensor, ""]


@runtime_checkable
class Autoencoder(Protocol):
    """A model that can be trained and measured; each is one final `nn.Module` in one file.

    `encode` and `decode` change nothing. State besides the weights, such as the norms of an
    LV-AE's decoder, changes only in `losses`.
    """

    #: True while the model is trained, False while it is measured. This attribute and all methods
    #: from `train` on are those of `nn.Module`.
    training: bool

    def encode(
        self, images: Float[Tensor, "n c side side"], u: Float[Tensor, "n k"], /
    ) -> Encoding:
        """The encoder's output for each image.

        Args:
            images: Pixels in [0, 1].
            u: Each image's factors for an iVAE, as one-hot vectors side by side. For the other
                models u has no columns, and they ignore it.
        """

    def decode(self, latents: Float[Tensor, "n m"], /) -> Float[Tensor, "n c side side"]:
        """The likelihood's parameter for each pixel: a Bernoulli's logit or a Gaussian's mean."""

    def losses(
        self,
        images: Float[Tensor, "n c side side"],
        u: Float[Tensor, "n k"],
        noise: torch.Generator,
        /,
    ) -> Losses:
        """The losses of one batch; samples of the posteriors are drawn from the generator."""

    def train(self, mode: bool = True) -> Any:  # noqa: ANN401
        """Switch the model to training."""

    def eval(self) -> Any:  # noqa: ANN401
        """Switch the model to measurement."""

    def parameters(self) -> Iterator[nn.Parameter]:
        """The parameters that training changes."""

    def state_dict(self) -> Mapping[str, Any]:  # as torch declares it
        """The weights by name, and all other state that the next step depends on."""

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> Any:  # noqa: ANN401
        """Restore what `state_dict` returned."""
