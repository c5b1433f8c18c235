"""The likelihood of images, and its loss at best and at worst.

Notation:
    n: images.
    outputs: the decoder's output for each pixel: the logit of a Bernoulli or mean of a Gaussian.
    loss: -ln p(pixels | outputs) in nats, summed over pixels and averaged over images.
"""

import math
from dataclasses import dataclass
from typing import assert_never

import torch
import torch.nn.functional as F
from jaxtyping import Float, Float64, UInt8
from torch import Tensor

from polar.spec import BernoulliSpec, GaussianSpec, LikelihoodSpec

WHITE = 255


def reconstruction_loss(
    likelihood: LikelihoodSpec,
    outputs: Float[Tensor, "n 1 side side"],
    pixels: Float[Tensor, "n 1 side side"],
) -> Float[Tensor, ""]:
    """-ln p(pixels | outputs) in nats, summed over pixels and averaged over images.

    A Gaussian's p is a density, so its loss can be negative.
    """
    match likelihood:
        case BernoulliSpec():
            loss = F.binary_cross_entropy_with_logits(outputs, pixels, reduction="sum")
        case GaussianSpec(std=std):
            errors = F.mse_loss(outputs, pixels, reduction="sum") / (2 * std**2)
            loss = errors + pixels.numel() * _gaussian_floor(std)
        case _:
            assert_never(likelihood)
    return loss / len(pixels)


@dataclass(frozen=True)
class LossRange:
    """The losses between which every sensible decoder's loss lies, in nats per image."""

    #: Loss of a perfect reconstruction; not 0 for grey pixels under a Bernoulli.
    floor: float
    #: Loss of a decoder that always returns the mean image.
    mean_image: float


def loss_range(likelihood: LikelihoodSpec, images: UInt8[Tensor, "n 1 side side"]) -> LossRange:
    """The smallest and the largest loss that a sensible decoder has on these images."""
    n, pixels = len(images), images[0].numel()
    mean_image = images.sum(0).double() / (WHITE * n)
    grey_values = torch.arange(WHITE + 1, device=images.device).double() / WHITE
    frequencies = torch.bincount(images.flatten(), minlength=WHITE + 1).double() / n
    match likelihood:
        case BernoulliSpec():
            # The loss is linear in the pixel, so its mean over images is the mean pixel's loss.
            floor = frequencies @ _entropy(grey_values)
            at_mean_image = _entropy(mean_image).sum()
        case GaussianSpec(std=std):
            floor = torch.tensor(pixels * _gaussian_floor(std), dtype=torch.float64)
            variance = frequencies @ grey_values.square() - mean_image.square().sum()
            at_mean_image = floor + variance.clamp_min(0) / (2 * std**2)
        case _:
            assert_never(likelihood)
    return LossRange(floor.item(), at_mean_image.item())


def _entropy(pixels: Float64[Tensor, "*shape"]) -> Float64[Tensor, "*shape"]:
    """Entropy of a Bernoulli variable, in nats: the loss of a pixel against itself."""
    return -torch.xlogy(pixels, pixels) - torch.xlogy(1 - pixels, 1 - pixels)


def _gaussian_floor(std: float) -> float:
    """-ln of a Gaussian's density at its mean."""
    return math.log(std * math.sqrt(2 * math.pi))
