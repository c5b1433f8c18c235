r"""Spectrum of the Gaussian Gram matrix of points on a line, in O(n), with a nuclear-norm bound.

A = K / n with K_ij = exp(-(x_i - x_j)^2 / 2), x in units of sigma. A product of Gaussians is

    exp(-(x - y)^2 / 2) = sqrt(2 / pi) * integral exp(-(x - g)^2) exp(-(y - g)^2) dg,

and the trapezoid rule on nodes g_i = g_0 + i h is spectrally exact. Hence A ~= F F^T with a bump
F_xi = sqrt(c / n) exp(-(x - g_i)^2), c = h sqrt(2 / pi), for each node. The non-zero eigenvalues
of F F^T are those of the m x m matrix

    B_ij = (F^T F)_ij = c exp(-h^2 (i - j)^2 / 2) f[i + j],   f[k] = mean_x exp(-2 (x - u_k)^2).

The samples enter only through the 2 m - 1 densities f at the half-grid points u_k = g_0 + k h / 2.

Samples over a wide range are first sorted and cut wherever neighbours are farther apart than
`gap`; the entries between pieces are negligible, so A is block diagonal. A piece of few samples
keeps its own Gram matrix. Both kinds of block are band matrices.

Error, in nuclear norm: five contributions of at most budget / 5 each:
    quadrature   by Poisson, 2 sum_q exp(-(q pi / h)^2 / 2) Re(D^q A D^q) with D unitary
    end nodes    the omitted part is positive, so its norm is its trace, at most erfc(sqrt2 t)
                 when all nodes within t of the samples are kept
    densities    |dB|_1 <= sqrt(m) |dB|_F <= m max |df|, as h <= sqrt(pi) / 2
    band         diagonal by diagonal 2 sum_{k > b} exp(-(h k)^2 / 2), as c sum_i f[2 i + k] <= 1
    far pairs    |E|_1 <= sqrt(n) |E|_F <= sqrt(n) exp(-gap^2 / 2), as n E_ij <= exp(-gap^2 / 2)
The rounding of each block is added to these.

Notation:
    n, s, m     samples, samples of one piece, nodes of its grid
    h, c        step of the grid, weight of a node
    f, u        densities, and the points at which they are taken, shape (2 m - 1,)
    t           how far the grid reaches beyond the samples
    b           diagonals kept below the main one
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from jaxtyping import Float
from scipy.special import erfcinv
from torch import Tensor

from polar.entropy import band_matrix, gauss_transform

_EPSILON: Final = float(np.finfo(float).eps)
_COMPACT: Final = 50.0  # sigma; over a shorter range sorting costs more than cutting saves


@dataclass(frozen=True)
class Block:
    """Symmetric positive band matrix: one block of A."""

    bands: Float[np.ndarray, "diagonals m"]  #: [k, i] is the entry (i + k, i); 0 outside
    entry_rounding: float  #: nuclear norm of the entries' rounding errors

    @property
    def nodes(self) -> int:
        """Size of the eigenproblem; 0 for a diagonal matrix."""
        return self.bands.shape[1] if len(self.bands) > 1 else 0

    @property
    def trace(self) -> float:
        """Sum of the eigenvalues."""
        return float(self.bands[0].sum())

    @property
    def square_trace(self) -> float:
        """Sum of the squared eigenvalues."""
        return float(2 * (self.bands**2).sum() - (self.bands[0] ** 2).sum())

    @property
    def rounding(self) -> float:
        """Bound on the sum of the eigenvalues' rounding errors.

        LAPACK's backward error is taken as m eps |B|_F, far above what is ever observed.
        """
        return self.entry_rounding + _EPSILON * math.sqrt(self.nodes**3 * self.square_trace)

    def eigenvalues(self) -> Float[np.ndarray, " m"]:
        """Eigenvalues, with those that rounding made negative set to 0."""
        if self.nodes == 0:
            return self.bands[0]
        return np.maximum(band_matrix.eigenvalues(self.bands), 0)


@dataclass(frozen=True)
class _Grid:
    span: float
    share: float
    h: float
    lead: int  #: half steps before the first sample
    m: int
    b: int


def gram_blocks(x: Float[Tensor, " n"], *, sigma: float, budget: float) -> list[Block]:
    """Blocks whose spectra together are that of A, up to `budget` and the blocks' rounding.

    Args:
        x: Samples, shape (n,), float64, finite.
        sigma: Width of the kernel, positive, in the unit of x.
        budget: Nuclear norm of the error, from 1e-15 to 1e-3.

    Returns:
        Blocks on the CPU; their traces sum to 1.
    """
    n, share = len(x), budget / 5
    low, high = (float(extreme) for extreme in x.aminmax())
    span = (high - low) / sigma
    if span < _COMPACT and (grid := _grid_over(span, share)).m <= n:
        return [_grid_block(x, grid, n, low, sigma)]
    gap = math.sqrt(2 * math.log(math.sqrt(n) / share))
    return list(_pieces(x.sort().values.cpu().numpy(), sigma, gap, share))


def _pieces(x: Float[np.ndarray, " n"], sigma: float, gap: float, share: float) -> Iterator[Block]:
    """Blocks of sorted samples, cut where neighbours are more than `gap` sigma apart."""
    n = len(x)
    with np.errstate(over="ignore"):  # an infinite distance is a cut like any other
        cuts = np.flatnonzero(np.diff(x) / sigma > gap) + 1
    begins, ends = np.append(0, cuts), np.append(cuts, n)
    alone = ends - begins == 1
    if alone.any():
        yield Block(np.full((1, alone.sum()), 1 / n), _EPSILON)
    for begin, end in zip(begins[~alone], ends[~alone], strict=True):
        yield _smaller_block((x[begin:end] - x[begin]) / sigma, gap, share, n)


def _grid_over(span: float, share: float) -> _Grid:
    """The grid for samples from 0 to `span` sigma that keeps each of its errors below `share`."""
    h = math.pi / math.sqrt(2 * math.log(4 / share))
    lead = math.ceil(erfcinv(share) / math.sqrt(2) / (h / 2))
    m = math.ceil(span / h + lead) + 1
    b = math.ceil(erfcinv(share * h / math.sqrt(2 * math.pi)) * math.sqrt(2) / h)
    return _Grid(span, share, h, lead, m, min(b, m - 1))


def _smaller_block(x: Float[np.ndarray, " s"], gap: float, share: float, n: int) -> Block:
    """Grid or Gram matrix of one sorted piece in units of sigma, whichever is cheaper."""
    s = len(x)
    grid = _grid_over(x[-1], share)
    if s <= grid.m:
        b = int((np.searchsorted(x, x + gap, side="right") - np.arange(s)).max()) - 1
        if _seconds(s, b) <= _seconds(grid.m, grid.b):
            return _gram_block(x, b, n)
    return _grid_block(torch.from_numpy(x), grid, n)


def _seconds(m: int, b: int) -> float:
    """Time that eigenvalues or determinants take, as measured for m from 500 to 20,000."""
    return min(3e-10 * m**2 * (b + 100), 7e-7 * m * (b + 1))


def _gram_block(x: Float[np.ndarray, " s"], b: int, n: int) -> Block:
    """A of sorted samples x in units of sigma, without pairs more than b places apart."""
    s = len(x)
    bands = np.zeros((b + 1, s))
    for k in range(b + 1):
        bands[k, : s - k] = np.exp(-((x[k:] - x[: s - k]) ** 2) / 2) / n
    # The relative error of exp(-d^2 / 2) is 100 eps at d = 9, and no pair that far apart is kept.
    return Block(bands, s / n * (_moved(x[-1]) + 100 * _EPSILON * math.sqrt(s)))


def _grid_block(
    x: Float[Tensor, " s"], grid: _Grid, n: int, begin: float = 0.0, sigma: float = 1.0
) -> Block:
    """B of samples x, the first of which is at `begin`; by default 0, in units of sigma."""
    s, m, h = len(x), grid.m, grid.h
    f = gauss_transform.gaussian_means(
        x,
        lead=grid.lead,
        step=h / 2,
        points=2 * m - 1,
        error=grid.share / m,
        begin=begin,
        sigma=sigma,
    )
    k, i = np.arange(grid.b + 1)[:, None], np.arange(m)
    hankel = np.where(i + k < m, f.cpu().numpy()[np.minimum(2 * i + k, 2 * m - 2)], 0)
    toeplitz = h * math.sqrt(2 / math.pi) * np.exp(-((h * k) ** 2) / 2)
    # Summed over diagonals, a relative error of f is multiplied by sqrt(2 pi) / h, where h > 1/3.
    return Block(
        toeplitz * hankel * (s / n), s / n * (_moved(grid.span) + 10 * gauss_transform.rounding(s))
    )


def _moved(span: float) -> float:
    """Nuclear norm of A's change when samples are rounded: 2 |F|_F |dF|_F with |dF|_F <= |dx|."""
    return 4 * _EPSILON * span
