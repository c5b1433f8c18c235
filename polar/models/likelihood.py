"""The likelihood of images, as the loss that training minimises and as the loss of each image.

Notation:
    n: images.
    outputs: the decoder's output for each pixel: the logit of a Bernoulli or mean of a Gaussian.
    loss: -ln p(pixels | outputs) in nats, summed over pixels and averaged over images.
"""

import math
from typing import assert_never

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float64
from torch import Tensor

from polar.spec import BernoulliSpec, GaussianSpec, LikelihoodSpec


def reconstruction_loss(
    likelihood: LikelihoodSpec,
    outputs: Float[Tensor, "n c side side"],
    pixels: Float[Tensor, "n c side side"],
) -> Float[Tensor, ""]:
    """-ln p(pixels | outputs) in nats, summed over pixels and averaged over images.

    A Gaussian's p is a density, so its loss can be negative. The loss has the precision of the
    pixels, also where that of the outputs is lower.
    """
    outputs = outputs.to(pixels.dtype)
    match likelihood:
        case BernoulliSpec():
            loss = F.binary_cross_entropy_with_logits(outputs, pixels, reduction="sum")
        case GaussianSpec(std=std):
            errors = F.mse_loss(outputs, pixels, reduction="sum") / (2 * std**2)
            loss = errors + pixels.numel() * _gaussian_floor(std)
        case _:
            assert_never(likelihood)
    return loss / len(pixels)


def image_losses(
    likelihood: LikelihoodSpec,
    outputs: Float[Tensor, "n c side side"],
    pixels: Float[Tensor, "n c side side"],
) -> Float64[Tensor, " n"]:
    """-ln p(pixels | outputs) of each image in nats, summed over pixels in float64.

    Each pixel's term is in the precision of the arguments: in float32 it is off by about 1e-7 of
    the larger of the term and the logit.
    """
    match likelihood:
        case BernoulliSpec():
            losses = F.binary_cross_entropy_with_logits(outputs, pixels, reduction="none")
            return losses.flatten(1).sum(1, dtype=torch.float64)
        case GaussianSpec(std=std):
            return _gaussian_losses(outputs - pixels, std)
        case _:
            assert_never(likelihood)


def constant_losses(
    likelihood: LikelihoodSpec,
    drawn: Float64[Tensor, "n c side side"],
    pixels: Float64[Tensor, "n c side side"],
) -> Float64[Tensor, " n"]:
    """-ln p of each image, in nats, if the likelihood's mean is the image that is drawn.

    Args:
        likelihood: The likelihood of a pixel.
        drawn: For each image the image that a decoder draws, in [0, 1]; the image itself gives the
            loss of a perfect reconstruction, which is not 0 for grey pixels under a Bernoulli.
        pixels: The images, in [0, 1].
    """
    match likelihood:
        case BernoulliSpec():
            losses = -torch.xlogy(pixels, drawn) - torch.xlogy(1 - pixels, 1 - drawn)
            return losses.flatten(1).sum(1)
        case GaussianSpec(std=std):
            return _gaussian_losses(drawn - pixels, std)
        case _:
            assert_never(likelihood)


def pixel_means(
    likelihood: LikelihoodSpec, outputs: Float[Tensor, "n c side side"]
) -> Float[Tensor, "n c side side"]:
    """The mean of the likelihood of each pixel; that of a Gaussian may lie outside [0, 1]."""
    match likelihood:
        case BernoulliSpec():
            return outputs.sigmoid()
        case GaussianSpec():
            return outputs
        case _:
            assert_never(likelihood)


def _gaussian_losses(errors: Float[Tensor, "n c side side"], std: float) -> Float64[Tensor, " n"]:
    squares = errors.square().flatten(1).sum(1, dtype=torch.float64)
    return squares / (2 * std**2) + errors[0].numel() * _gaussian_floor(std)


def _gaussian_floor(std: float) -> float:
    """-ln of a Gaussian's density at its mean."""
    return math.log(std * math.sqrt(2 * math.pi))
