"""KL divergence of each posterior from the model's prior, in its two parts.

Notation:
    n, m: images, latents.
    mean, variance: mean and variance of the posterior in units of the prior, so that the prior is
        N(0, 1).
    KL = (mean^2 + variance - ln variance - 1) / 2 nats; its mean part is mean^2 / 2, its variance
    part (variance - 1 - ln variance) / 2; both are 0 only where posterior and prior agree.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from polar.errors import InvalidInput
from polar.regime.codes import Codes


@dataclass(frozen=True)
class Divergence:
    """KL divergence of each image and latent, in nats; neither part is negative."""

    mean_part: Float64[np.ndarray, "n m"]
    variance_part: Float64[np.ndarray, "n m"]

    @property
    def total(self) -> Float64[np.ndarray, "n m"]:
        """The sum of the parts."""
        return self.mean_part + self.variance_part


def divergence(codes: Codes) -> Divergence:
    """KL divergence of each posterior from the model's own prior, conditional for an iVAE.

    Raises:
        InvalidInput: the codes have no variance, like those of a deterministic autoencoder.

    Reference: Clapham, Bonheme, Grzes (2026), Eq. 9, https://arxiv.org/abs/2605.15965
    """
    relative = codes.relative_to_prior()
    if relative.variance is None:
        raise InvalidInput("a divergence of codes without a variance; allowed: variational models")
    variance_part = (relative.variance - 1 - np.log(relative.variance)) / 2
    return Divergence(
        mean_part=relative.mean**2 / 2,
        variance_part=np.maximum(
            variance_part, 0
        ),  # rounding makes it negative near a variance of 1
    )
