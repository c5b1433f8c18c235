"""Measures the terms of a trained model's loss, which say what it pays at any weight.

Notation:
    n, m: images, latents.
    mean, std: mean and unbiased standard deviation of a latent's codes over the images.
    V = exp(mean_j ln(std_j + eta)): the volume of an LV-AE.
"""

from dataclasses import dataclass
from typing import assert_never

import numpy as np
from jaxtyping import Float64

from polar.errors import InvalidInput
from polar.records.certificates import LossTerms
from polar.regime.codes import Codes
from polar.regime.divergence import divergence
from polar.spec import (
    AESpec,
    BetaVAESpec,
    FixedVarianceVAESpec,
    IVAESpec,
    L2AESpec,
    LVAESpec,
    ModelSpec,
    OwnModelSpec,
)


@dataclass(frozen=True)
class _Penalty:
    """What the weight of a model multiplies, in the model's own unit."""

    value: float
    #: The part of each image, whose variance over n is that of the value.
    of_images: Float64[np.ndarray, " n"]
    #: The value of total collapse.
    collapsed: float


def measure_loss_terms(
    model: ModelSpec,
    codes: Codes,
    losses_nats: Float64[np.ndarray, " n"],
    mean_image_nats: Float64[np.ndarray, " n"],
    floor_nats: Float64[np.ndarray, " n"],
    *,
    pixels: int,
) -> LossTerms | None:
    """The terms of the loss of a trained model.

    Args:
        model: Spec of the model.
        codes: The codes of n images that it was trained on, for which all arrays are.
        losses_nats: Reconstruction loss of each image, as the mean over samples of its posterior,
            or of its code for a deterministic model; nats, summed over pixels.
        mean_image_nats: The same loss if the mean image is drawn for each image.
        floor_nats: The same loss if each image is drawn as it is.
        pixels: Number of values of an image, three for each pixel in colour.

    Returns:
        The terms, as means over the images; None for a model without a weight.

    Raises:
        InvalidInput: there are fewer than two images, or the codes are of other images.
    """
    n = len(codes.mean)
    if n < 2 or len(losses_nats) != n:
        raise InvalidInput(
            f"codes of {n} images with losses of {len(losses_nats)}; "
            "allowed: the same images, at least 2"
        )
    penalty = _penalty(model, codes)
    if penalty is None:
        return None
    of_means = np.cov(mean_image_nats - losses_nats, penalty.of_images) / n
    return LossTerms(
        images=n,
        reconstruction_nats=losses_nats.mean(),
        penalty=penalty.value,
        floor_nats=floor_nats.mean(),
        mean_image_nats=mean_image_nats.mean(),
        collapsed_penalty=penalty.collapsed,
        nats_per_penalty=model.total(0.0, 1.0, 1.0, pixels) / model.total(1.0, 0.0, 0.0, pixels),
        gain_variance=of_means[0, 0],
        penalty_variance=of_means[1, 1],
        covariance=of_means[0, 1],
    )


def _penalty(model: ModelSpec, codes: Codes) -> _Penalty | None:
    match model:
        case BetaVAESpec() | IVAESpec():
            return _mean_of(divergence(codes).total.sum(axis=1), collapsed=0.0)
        case FixedVarianceVAESpec(variance=variance, latent_dim=latents):
            collapsed = latents * (variance - 1 - np.log(variance)) / 2
            return _mean_of(divergence(codes).total.sum(axis=1), collapsed=collapsed)
        case L2AESpec():
            return _mean_of(np.square(codes.mean).sum(axis=1), collapsed=0.0)
        case LVAESpec(eta=eta):
            return _volume(codes.mean, eta)
        case AESpec() | OwnModelSpec():  # nobody knows how an own penalty depends on the codes
            return None
        case _:
            assert_never(model)


def _mean_of(of_images: Float64[np.ndarray, " n"], *, collapsed: float) -> _Penalty:
    return _Penalty(float(of_images.mean()), of_images, collapsed)


def _volume(codes: Float64[np.ndarray, "n m"], eta: float) -> _Penalty:
    """The volume, with the influence of each image on it (the delta method).

    The influence of image i on std_j is ((x_ij - mean_j)^2 - std_j^2) / (2 std_j), which V's
    derivative V / (m (std_j + eta)) multiplies; a constant latent has none. The volume of all
    images is a little larger than the mean over batches, which training minimises.
    """
    std = codes.std(axis=0, ddof=1)
    varies = std > 0
    with np.errstate(
        divide="ignore"
    ):  # ln 0 where eta is 0 and a latent constant: the volume is 0
        value = float(np.exp(np.log(std + eta).mean()))
    squares = np.square(codes[:, varies] - codes[:, varies].mean(axis=0))
    on_log = (squares - std[varies] ** 2) / (2 * std[varies] * (std[varies] + eta))
    return _Penalty(value, value * (1 + on_log.sum(axis=1) / codes.shape[1]), collapsed=eta)
