r"""Sums over all pairs of samples, which give entropies of order 2 without an n x n matrix.

With K_ij = exp(-d_ij^2 / (2 sigma^2)) for the points x and for a latent y, A = K / n has

    tr A^2 = sum_ij K_ij^2 / n^2,    and jointly    sum_ij Kx_ij^2 Ky_ij^2 / n^2.

K_y^2 is a Gaussian Gram matrix as well, of width sigma / sqrt 2, and has low rank because its
points are on a line. With K_y^2 = F F^T the joint sum is sum((Kx^2 F) * F), one matrix product for
all latents; K_x^2 is formed block by block, and only on and above the diagonal. Where a latent
spreads over so many sigma that its rank is high, its kernel is evaluated instead.

F comes from a Cholesky factorisation with pivots that ends when no entry of K_y^2 - F F^T exceeds
`_RESIDUAL`. Because Kx^2 is positive, the joint sum is then off by at most _RESIDUAL sum Kx^2: in
nats, _RESIDUAL exp(S_2(x, y) - S_2(x)). The exponential is at most the rank of K_y, because
K_y o K_y minus 1/rank in every entry is positive (Khare): the error is below 1.3e-6 nats. The
product with F, most of the work, is in float32; its rounding is a little larger, but its sign
varies from pair to pair.

Notation:
    n, d, r     samples, latents, features of a latent
    F           features, shape (n, r)
    w, k        blocks of Kx^2 and Ky^2

Reference: Khare (2021), https://doi.org/10.1090/proc/15555, for the bound
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import torch
from jaxtyping import Float, Float32
from torch import Tensor

from polar.entropy.points import Points

_BLOCK: Final = 1024  # samples; a block of float64 takes 8 MB
_RESIDUAL: Final = 1e-8
_MOST_FEATURES: Final = 128  # evaluating the kernel is faster than using more features


@dataclass(frozen=True)
class PairSums:
    """Sums over ordered pairs, including the pairs of a sample with itself."""

    x_rows: Float[Tensor, " n"]  #: sum_j Kx_ij^2
    x_squares: float  #: sum_ij Kx_ij^4
    latent_rows: Float[Tensor, "d n"]  #: sum_j Ky_ij^2
    joint: Float[Tensor, " d"]  #: sum_ij Kx_ij^2 Ky_ij^2


@dataclass(frozen=True)
class _Features:
    stacked: Float32[Tensor, "n all_r"]
    ranks: dict[int, int]  # r of each latent that has features, in the order of the stack


def pair_sums(
    x: Points, mu: Float[Tensor, "d n"], *, sigma_x: float, sigma: float, block: int = _BLOCK
) -> PairSums:
    """Sums of the squared kernels over all pairs, in O(block^2 + n r) memory.

    Args:
        x: Points.
        mu: Latents, shape (d, n), float64, on the device of x.
        sigma_x: Width of the points' kernel, positive.
        sigma: Width of the latents' kernel, positive.
        block: Rows and columns of a block.

    Returns:
        The sums, in float64.
    """
    width_x, width = sigma_x / 2**0.5, sigma / 2**0.5
    features = _features_of(mu, width)
    by_feature = mu.new_zeros(features.stacked.shape[1])
    x_rows, x_squares = mu.new_zeros(len(x)), 0.0
    latent_rows, joint = torch.zeros_like(mu), mu.new_zeros(len(mu))
    for rows, columns in _upper_blocks(len(x), block):
        w = x.kernel(rows, columns, width_x)
        count = 1 if rows == columns else 2
        _add_rows(x_rows, w, rows, columns)
        x_squares += count * float(w.square().sum())
        products = (w.float() @ features.stacked[columns]) * features.stacked[rows]
        by_feature += count * products.sum(0, dtype=torch.float64)
        for j in set(range(len(mu))) - set(features.ranks):
            k = _line_kernel(mu[j, rows, None], mu[j, columns], width)
            _add_rows(latent_rows[j], k, rows, columns)
            joint[j] += count * (k * w).sum()
    ranks = list(features.ranks.values())
    parts = (torch.split(stack, ranks, -1) for stack in (features.stacked, by_feature))
    for j, f, sums in zip(features.ranks, *parts, strict=True):
        latent_rows[j] = f.double() @ f.double().sum(0)
        joint[j] = sums.sum()
    return PairSums(x_rows, x_squares, latent_rows, joint)


def gram_features(y: Float[Tensor, " n"], width: float) -> Float[Tensor, "n r"] | None:
    """F with exp(-(y_i - y_j)^2 / (2 width^2)) = F F^T up to `_RESIDUAL`; None if r would be high.

    In this Cholesky factorisation the next pivot is the sample that the features describe worst.
    The remainder is positive, so none of its entries exceeds the largest on the diagonal.
    """
    features = y.new_empty(_MOST_FEATURES, len(y))
    residual = torch.ones_like(y)
    for r in range(_MOST_FEATURES):
        pivot = int(residual.argmax())
        if residual[pivot] <= _RESIDUAL:
            return features[:r].T.contiguous()
        known = features[:r, pivot] @ features[:r]
        features[r] = (_line_kernel(y, y[pivot], width) - known) / residual[pivot].sqrt()
        residual -= features[r].square()
    return None if residual.max() > _RESIDUAL else features.T.contiguous()


def _features_of(mu: Float[Tensor, "d n"], width: float) -> _Features:
    low_rank = {
        j: f.float() for j, y in enumerate(mu) if (f := gram_features(y, width)) is not None
    }
    empty = mu.new_zeros(mu.shape[1], 0, dtype=torch.float32)
    return _Features(
        torch.cat([empty, *low_rank.values()], 1), {j: f.shape[1] for j, f in low_rank.items()}
    )


def _line_kernel(
    a: Float[Tensor, "*any"], b: Float[Tensor, "*other"], width: float
) -> Float[Tensor, "..."]:
    return ((a - b) / width).square_().div_(-2).exp_()


def _upper_blocks(n: int, block: int) -> Iterator[tuple[slice, slice]]:
    for row in range(0, n, block):
        for column in range(row, n, block):
            yield slice(row, row + block), slice(column, column + block)


def _add_rows(
    total: Float[Tensor, " n"], symmetric: Float[Tensor, "r c"], rows: slice, columns: slice
) -> None:
    """Add the row sums of a block and, off the diagonal, of its mirror image."""
    total[rows] += symmetric.sum(1)
    if rows != columns:
        total[columns] += symmetric.sum(0)
