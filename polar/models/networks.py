"""Convolutional networks for 32x32 images, with the initialisation of He et al.

Every convolution (4x4, stride 2, padding 1) halves the side, so five of them end at 1x1.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TypeVar

import torch
from torch import nn

KERNEL = 4
STRIDE = 2
PADDING = 1
#: Standard deviation of the heads' weights: every latent starts near mean 0 and variance 1.
HEAD_STD = 0.01


def encoder(widths: Sequence[int], generator: torch.Generator) -> nn.Sequential:
    """Five convolutions, each followed by ReLU: (n, 1, 32, 32) -> (n, widths[-1])."""
    layers: list[nn.Module] = []
    for c_in, c_out in pairwise([1, *widths]):
        convolution = nn.Conv2d(c_in, c_out, KERNEL, STRIDE, PADDING, device="meta")
        layers += [_initialised(convolution, _he_std(c_in * KERNEL**2), generator), nn.ReLU()]
    return nn.Sequential(*layers, nn.Flatten())


def decoder(latent_dim: int, widths: Sequence[int], generator: torch.Generator) -> nn.Sequential:
    """A linear layer and five transposed convolutions: (n, latent_dim) -> (n, 1, 32, 32).

    Args:
        latent_dim: Latents.
        widths: Of the encoder; mirrored here.
        generator: Source of the weights.
    """
    first = nn.Linear(latent_dim, widths[-1], device="meta")
    layers = [
        _initialised(first, _he_std(latent_dim), generator),
        nn.Unflatten(1, (widths[-1], 1, 1)),
    ]
    channels = [*reversed(widths), 1]
    for c_in, c_out in pairwise(channels):
        transposed = nn.ConvTranspose2d(c_in, c_out, KERNEL, STRIDE, PADDING, device="meta")
        # A pixel of the output sees only every second row and column of the kernel, which
        # kaiming_normal_ does not know.
        fan_in = c_in * KERNEL**2 // STRIDE**2
        layers += [nn.ReLU(), _initialised(transposed, _he_std(fan_in), generator)]
    return nn.Sequential(*layers)


def head(width: int, latent_dim: int, generator: torch.Generator) -> nn.Linear:
    """A linear layer (n, width) -> (n, latent_dim) with small weights."""
    linear = nn.Linear(width, latent_dim, device="meta")
    return _initialised(linear, HEAD_STD, generator)


def _he_std(fan_in: int) -> float:
    """Keeps the second moment of activations through a layer and its ReLU.

    Reference: He, Zhang, Ren, Sun (2015), https://arxiv.org/abs/1502.01852
    """
    return math.sqrt(2 / fan_in)


Layer = TypeVar("Layer", nn.Conv2d, nn.ConvTranspose2d, nn.Linear)


def _initialised(layer: Layer, std: float, generator: torch.Generator) -> Layer:
    """A layer of the meta device with weights of its own; torch's global generator is not used."""
    layer.to_empty(device="cpu")
    nn.init.normal_(layer.weight, std=std, generator=generator)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
