r"""Fast Gauss transform on a line: means of exp(-2 (x - u)^2) over samples x, for u on a grid.

The line is divided into cells. On each cell the Gaussian around u is a polynomial of v in [-1, 1],
up to the error of interpolation at Chebyshev points, so the samples of the cell enter only through
their moments sum v^p, p < P.

Error of each mean:
    interpolation   1.0865 w^P 2^(1 - P) / sqrt(P!) on cells of width w, because the P-th
                    derivative is at most 1.0865 2^P sqrt(P!) (Cramer)
    cut             exp(-2 r^2), where cells farther than r are left out

Notation:
    P, p      number of moments of a cell, a power below P
    u         grid points, u_k = (k - lead) step, shape (points,)
    q, w      cells in a step, their width step / q
    J         steps that count for a grid point, half of them on either side

Reference: Greengard and Strain (1991), https://doi.org/10.1137/0912004
"""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

_P: Final = 6  # fewer moments need more cells, which outgrow the first-level cache
_CRAMER: Final = 1.0865
_ROWS: Final = 2**15  # samples in a pass: its arrays stay in the second-level cache
_TOGETHER: Final = 64  # passes that a GPU makes at once; more would not make it faster


def gaussian_means(
    x: Float[Tensor, " n"],
    *,
    lead: int,
    step: float,
    points: int,
    error: float,
    begin: float = 0.0,
    sigma: float = 1.0,
) -> Float[Tensor, " points"]:
    """Mean over y = (x - begin) / sigma of exp(-2 (y - u)^2) at each grid point u.

    Each mean is within `error`.

    Args:
        x: Samples, shape (n,), float64, with y from 0 to (points - 1 - lead) step.
        lead: Number of grid points below 0.
        step: Distance between neighbouring grid points.
        points: Number of grid points.
        error: Largest absolute error apart from rounding, positive.
        begin: The sample at 0.
        sigma: The unit of the grid, in the unit of x.

    Returns:
        Shape (points,), float64, on the device of x.
    """
    reach = math.ceil(math.sqrt(math.log(2 / error) / 2) / step)  # J / 2
    widest = (error / 2 / _CRAMER * 2 ** (_P - 1) * math.sqrt(math.factorial(_P))) ** (1 / _P)
    q = math.ceil(step / widest)
    steps = points - 1 + 2 * reach
    moments = _Cells(begin, sigma, step / q, first=(lead + reach) * q, count=steps * q).moments(x)
    weights = _polynomials(reach, step, q).to(x.device)
    sums = torch.einsum("psc,pcj->sj", moments.view(_P, steps, q), weights).contiguous()
    seen = sums.as_strided((points, 2 * reach), (2 * reach, 2 * reach + 1))  # [k, j]: step k + j
    return seen.sum(1) / len(x)


def rounding(n: int) -> float:
    """Largest relative error that float64 rounding leaves in a mean over n samples."""
    return float(np.finfo(float).eps) * (min(n, _ROWS) + n / _ROWS + 1000)


@dataclass(frozen=True)
class _Cells:
    begin: float
    sigma: float
    width: float  #: in units of sigma
    first: int  #: the cell that begins at `begin`
    count: int

    def moments(self, x: Float[Tensor, " n"]) -> Float[Tensor, "P cells"]:
        """Moments sum v^p of each cell."""
        total = x.new_zeros(_P, self.count)
        for rows in torch.split(x, _ROWS if x.device.type == "cpu" else _ROWS * _TOGETHER):
            passes = math.ceil(len(rows) / _ROWS)
            # a sum for each pass keeps the rounding small
            moments = x.new_zeros(_P, passes * self.count)
            position = (rows - self.begin).div_(self.sigma).div_(self.width)
            cell = position.long().add_(self.first)
            v = position.frac_().mul_(2).sub_(1)
            if passes > 1:
                cell += torch.arange(len(rows), device=x.device) // _ROWS * self.count
            power = torch.ones_like(v)
            moments[0].scatter_add_(0, cell, power)
            for moment in moments[1:]:
                power *= v
                moment.scatter_add_(0, cell, power)
            total += moments.view(_P, passes, self.count).sum(1) if passes > 1 else moments
        return total


@lru_cache(maxsize=64)  # the latents of a model mostly share a grid
def _polynomials(reach: int, step: float, q: int) -> Float[Tensor, "P q J"]:
    """Coefficients of v^p in a grid point's Gaussian, for each cell of each step that counts."""
    v = np.cos(np.pi * (np.arange(_P) + 0.5) / _P)  # (P,)
    begin = np.arange(-reach, reach) + np.arange(q)[:, None] / q  # (q, J), in steps
    distance = step * (begin + (v[:, None, None] + 1) / (2 * q))  # (P, q, J)
    gaussian = np.exp(-2 * distance**2)
    solved = np.linalg.solve(np.vander(v, increasing=True), gaussian.reshape(_P, -1))
    return torch.from_numpy(solved.reshape(gaussian.shape))
