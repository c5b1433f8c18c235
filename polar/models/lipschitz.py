"""Decoders whose layers are all 1-Lipschitz: each weight is divided by the layer's operator norm.

The norm is that of the layer as a linear map on inputs of their true shape, without its bias. It
is not the norm of the kernel as a matrix, which is a different number for a convolution.

In training, one power iteration per step follows the weights, as published. The norm lags behind:
on the digits, norms of up to 1.4 were seen in the first 50 steps at a learning rate of 1e-3, and
1.004 to 1.06 at step 200; at 1e-4, up to 1.1 in the first 200 steps. In evaluation the norm is
therefore computed afresh, to 1e-3, starting from the v of training, which is left unchanged.

Notation:
    A: the layer's linear map. ||A||: its largest singular value.
    v: unit vector in the shape of an input, near the top singular vector, so that ||A v|| is near
    ||A|| and never above it. A power iteration turns v towards A^T A v.

References: Chen, Fuge (2024), https://openreview.net/forum?id=jFJPd9kIiF; Miyato et al. (2018),
https://arxiv.org/abs/1802.05957, for one iteration per step.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils import parametrize

#: Dimension of the Krylov space in which the norm is computed. Our choice: at 64x64, where the
#: norm converges slowest, it was off by at most 4e-4; after 300 power iterations, by 3e-3.
KRYLOV = 60
#: Smallest norm to divide by, which keeps a layer whose weights are all 0 finite.
LEAST_NORM = 1e-12

#: A linear map of its first argument; the second is the weight.
Map: TypeAlias = Callable[[Tensor, Tensor], Tensor]


class OperatorNorm(nn.Module):
    """Parametrisation of a layer's weight that divides it by the layer's operator norm."""

    v: Tensor

    def __init__(
        self, layer_map: Map, transposed: Map, v: Float[Tensor, "1 ..."], weight: Tensor
    ) -> None:
        super().__init__()
        self.layer_map = layer_map
        self.transposed = transposed
        self.register_buffer("v", v)
        self.v.copy_(self._top_singular_vector(weight))

    def forward(self, weight: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """The weight that gives the layer norm 1; differentiable, with v taken as a constant."""
        # The next iteration may overwrite v before the gradient is computed.
        v = self.v.clone() if self.training else self._top_singular_vector(weight)
        with _in_full_precision(weight):
            return weight / self.layer_map(v, weight).norm().clamp_min(LEAST_NORM)

    @torch.no_grad()
    def iterate(self, weight: Float[Tensor, "*shape"]) -> None:
        """Turn v towards the top singular vector, by one power iteration."""
        with _in_full_precision(weight):
            self.v.copy_(_unit(self.transposed(self.layer_map(self.v, weight), weight)))

    @torch.no_grad()
    def _top_singular_vector(self, weight: Float[Tensor, "*shape"]) -> Float[Tensor, "1 ..."]:
        """The best vector in the space of v, A^T A v, (A^T A)^2 v, ...: the Lanczos method."""
        shape = self.v.shape
        basis = self.v.new_zeros(min(KRYLOV, self.v.numel()), self.v.numel())
        v = self.v
        for k in range(len(basis)):
            direction = v.flatten()
            for _ in range(2):  # one pass leaves a rounding error that would grow
                direction = direction - basis.T @ (basis @ direction)
            basis[k] = _unit(direction)
            v = self.transposed(self.layer_map(basis[k].view(shape), weight), weight)
        outputs = self.layer_map(basis.view(-1, *shape[1:]), weight).flatten(1)
        coordinates = torch.linalg.eigh(outputs @ outputs.T).eigenvectors[:, -1]
        return _unit(coordinates @ basis).view(shape)


def constrain(decoder: nn.Sequential, latent_dim: int, generator: torch.Generator) -> None:
    """Make every linear layer and transposed convolution of a decoder 1-Lipschitz.

    Args:
        decoder: Takes inputs of shape (n, latent_dim); its other layers must be 1-Lipschitz
            already.
        latent_dim: Number of latents.
        generator: Source of each layer's first v.
    """
    inputs = torch.zeros(1, latent_dim)
    for layer in decoder:
        v = torch.randn(inputs.shape, generator=generator)
        inputs = layer(inputs)
        if isinstance(layer, nn.Linear):
            maps: tuple[Map, Map] = F.linear, lambda y, weight: F.linear(y, weight.T)
        elif isinstance(layer, nn.ConvTranspose2d):
            # Any, because torch types a layer's padding more widely than its functions do
            geometry: dict[str, Any] = {"stride": layer.stride, "padding": layer.padding}
            maps = partial(F.conv_transpose2d, **geometry), partial(F.conv2d, **geometry)
        else:
            continue
        norm = OperatorNorm(*maps, v, layer.weight.detach())
        parametrize.register_parametrization(layer, "weight", norm)


def iterate(decoder: nn.Sequential) -> None:
    """Do one power iteration for every constrained layer, at its current weights."""
    for layer in decoder:
        parametrizations = getattr(layer, "parametrizations", None)
        if parametrizations is not None:
            (norm,) = parametrizations["weight"]
            norm.iterate(parametrizations["weight"].original)


def _in_full_precision(weight: Tensor) -> torch.autocast:
    """Norms are computed in the precision of the weights, also under autocast."""
    return torch.autocast(weight.device.type, enabled=False)


def _unit(v: Tensor) -> Tensor:
    return v / v.norm().clamp_min(LEAST_NORM)
