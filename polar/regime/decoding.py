"""How much of the images a model explains, and what its decoder needs for that.

Notation:
    n: images.
    loss: reconstruction loss of each image, nats, by samples of its posterior, shape (n,).
    mean_image: loss of the mean image, for an iVAE with a learned prior mean of the mean image of
        each u, shape (n,).
    floor: loss of a perfect reconstruction, shape (n,).
    R = mean(mean_image - loss) / mean(mean_image - floor).

An iVAE with a fixed prior mean is compared with the mean image of all images, although it knows u
too: to say u by their means costs its latents KL divergence, as all else that they say does
(decision 0016). Their variances may follow u at no cost, as those of the prior do; R of the prior
alone shows how much of R this is.
"""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from polar.errors import InvalidInput

#: Least R of a model that explains something. Chosen by us, because on the digits R is below 0.01
#: when all latents have collapsed, and 0.4 when three are left.
EXPLAINS_FROM = 0.05
#: R must exceed 0 by so many standard errors.
STANDARD_ERRORS = 2.0
#: Two losses that differ by no more than this, relatively, differ by rounding. Chosen by us,
#: because losses may be sums in float32, which keeps seven digits.
LOSS_ROUNDING = 1e-6


@dataclass(frozen=True)
class Explained:
    """R with its standard error over the images."""

    part: float
    se: float


@dataclass(frozen=True)
class Decoding:
    """What decoding the latents of one evaluation has shown."""

    #: Reconstruction loss by samples of the posteriors, nats per image.
    reconstruction_nats: float
    explained: Explained
    #: R of samples of an iVAE's prior; None for other models.
    explained_by_prior: float | None
    #: (R with only the active latents - R with none) / (R with all - R with none), where latents
    #: are taken away by replacing them by their means, given u if the mean of the prior follows
    #: it; 0 where all latents together carry nothing.
    carried_by_actives: float
    #: Rise of the loss when one latent alone is replaced so, nats per image, for each latent.
    usage_nats: tuple[float, ...]

    @property
    def explains_nothing(self) -> bool:
        """Whether R is below 0.05, or not above 0 by two standard errors."""
        part, se = self.explained.part, self.explained.se
        return part < EXPLAINS_FROM or part <= STANDARD_ERRORS * se

    @property
    def sufficiency(self) -> float | None:
        """The part of R that the active latents carry; None where the model explains nothing."""
        return None if self.explains_nothing else self.carried_by_actives


def explained(
    loss: Float64[np.ndarray, " n"],
    mean_image: Float64[np.ndarray, " n"],
    floor: Float64[np.ndarray, " n"],
) -> Explained:
    """R and its standard error, by the delta method for a ratio of two means.

    R is at most 1, and negative where the mean image is better than the model. Where all images
    are alike the mean image is perfect, so that there is nothing to explain, and R is 0.

    Args:
        loss: Loss of each image, nats.
        mean_image: Loss of the mean image for each image, nats.
        floor: Loss of a perfect reconstruction of each image, nats.

    Raises:
        InvalidInput: a loss is not finite, or the mean image is better than perfect.
    """
    losses = {"loss": loss, "mean_image": mean_image, "floor": floor}
    for name, values in losses.items():
        if not np.isfinite(values).all():
            raise InvalidInput(f"{name} has values that are not finite; allowed: finite numbers")
    explainable = float((mean_image - floor).mean())
    rounding = LOSS_ROUNDING * abs(float(mean_image.mean()))
    if explainable < -rounding:
        raise InvalidInput(
            f"floor is {floor.mean()} nats on average; allowed: at most the {mean_image.mean()} "
            "of the mean image"
        )
    if explainable <= rounding:
        return Explained(0.0, 0.0)
    part = float((mean_image - loss).mean()) / explainable
    residual = (mean_image - loss) - part * (mean_image - floor)
    se = float(residual.std()) / math.sqrt(len(loss)) / explainable
    return Explained(min(part, 1.0), se)
