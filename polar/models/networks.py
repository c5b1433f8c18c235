"""Convolutional networks for square images, with the initialisation of He et al.

Every convolution (4x4, stride 2, padding 1) halves the side, so five of them end at 1x1 for 32x32
images, and at 2x2 for 64x64.

Notation:
    n, c, m: images of a batch, channels of an image, latents.
    slope: slope of the activation for negative inputs: ReLU if 0, otherwise LeakyReLU.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn

from polar.models.transposed import KERNEL, PADDING, STRIDE, Transposed
from polar.spec import ImageShape

#: Standard deviation of the heads' weights, with which every latent starts near mean 0 and
#: variance 1.
HEAD_STD = 0.01


class Head(nn.Linear):
    """A linear layer whose outputs have the precision of its weights, as losses need it."""

    def forward(self, x: Float[Tensor, "n width"]) -> Float[Tensor, "n m"]:
        """The same as torch's layer, which under autocast gives a lower precision."""
        return super().forward(x).to(self.weight.dtype)


def encoder(
    channels: int, widths: Sequence[int], generator: torch.Generator, slope: float = 0.0
) -> nn.Sequential:
    """Five convolutions with activations: (n, c, side, side) -> (n, feature_count(side))."""
    layers: list[nn.Module] = []
    for c_in, c_out in pairwise([channels, *widths]):
        convolution = nn.Conv2d(c_in, c_out, KERNEL, STRIDE, PADDING, device="meta")
        std = _he_std(c_in * KERNEL**2, slope)
        layers += [_initialised(convolution, std, generator), _activation(slope)]
    return nn.Sequential(*layers, nn.Flatten())


def decoder(
    latent_dim: int,
    shape: ImageShape,
    widths: Sequence[int],
    generator: torch.Generator,
    slope: float = 0.0,
) -> nn.Sequential:
    """A linear layer and five transposed convolutions: (n, latent_dim) -> (n, c, side, side).

    Args:
        latent_dim: Number of latents.
        shape: Channels and side of the images.
        widths: Widths of the encoder, used here in reverse order.
        generator: Source of the weights.
        slope: Slope of the activation for negative inputs.
    """
    small = smallest_side(shape.side)
    first = nn.Linear(latent_dim, feature_count(shape.side, widths), device="meta")
    layers = [
        _initialised(first, _he_std(latent_dim, slope), generator),
        nn.Unflatten(1, (widths[-1], small, small)),
    ]
    for c_in, c_out in pairwise([*reversed(widths), shape.channels]):
        transposed = Transposed(c_in, c_out, device="meta")
        # An output pixel depends on only every second row and column of the kernel, which
        # kaiming_normal_ does not take into account.
        fan_in = c_in * KERNEL**2 // STRIDE**2
        layers += [_activation(slope), _initialised(transposed, _he_std(fan_in, slope), generator)]
    return nn.Sequential(*layers)


def head(
    width: int, latent_dim: int, generator: torch.Generator, *, bias: bool = True
) -> nn.Linear:
    """A linear layer (n, width) -> (n, latent_dim) with small weights."""
    return _initialised(Head(width, latent_dim, bias, device="meta"), HEAD_STD, generator)


def perceptron(
    width: int,
    hidden: Sequence[int],
    latent_dim: int,
    generator: torch.Generator,
    slope: float = 0.0,
) -> nn.Sequential:
    """Linear layers with activations, then a head: (n, width) -> (n, latent_dim)."""
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise([width, *hidden]):
        linear = nn.Linear(n_in, n_out, device="meta")
        layers += [_initialised(linear, _he_std(n_in, slope), generator), _activation(slope)]
    return nn.Sequential(*layers, head(hidden[-1], latent_dim, generator))


def smallest_side(side: int) -> int:
    """Side of the image after five convolutions, in pixels."""
    return side // STRIDE**5


def feature_count(side: int, widths: Sequence[int]) -> int:
    """Number of features of an image that the heads take."""
    return widths[-1] * smallest_side(side) ** 2


def _activation(slope: float) -> nn.Module:
    return nn.LeakyReLU(slope) if slope else nn.ReLU()


def _he_std(fan_in: int, slope: float) -> float:
    """The std of weights that keeps the second moment through a layer and its activation.

    Reference: He, Zhang, Ren, Sun (2015), https://arxiv.org/abs/1502.01852
    """
    return math.sqrt(2 / ((1 + slope**2) * fan_in))


Layer = TypeVar("Layer", nn.Conv2d, nn.ConvTranspose2d, nn.Linear)


def _initialised(layer: Layer, std: float, generator: torch.Generator) -> Layer:
    """The layer moved from the meta device to the CPU, its weights drawn from the generator.

    A layer made on the CPU would first draw weights from torch's global generator, and
    `to_empty` imports half a second's worth of torch's compiler.
    """
    weight = torch.empty(layer.weight.shape)
    layer.weight = nn.Parameter(nn.init.normal_(weight, std=std, generator=generator))
    if layer.bias is not None:
        layer.bias = nn.Parameter(torch.zeros(layer.bias.shape))
    return layer
