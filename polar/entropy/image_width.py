r"""The width of the images' kernel that leaves room for information.

Information is judged by I(X; mu_j) minus that of shuffled pairs. At order 2 a shuffle leaves
about tr A^2 = 1/n + (1 - 1/n) exp(-S(X) - S(mu_j)), and thus

    I_shuffled ~= ln(1 + exp(S(X) + S(mu_j) - ln n)).

The kernel must keep S(X) + S(mu_j) well below ln n, or pairing hardly matters. Because the entropy
of a latent of n samples is anywhere from 0 to ln n, X is allotted half of ln n: image_sigma is the
sigma_x at which S_2(X) = ln(n) / 2, if no two images are the same.

Other widths were rejected: at a width of 2, as for latents, S(X) is ln n and shuffled latents have
I/S = 0.98 (MNIST, n = 1,000); a multiple of the median distance gives every dataset another S(X).
"""

import math
from typing import Final

import torch
from jaxtyping import Float
from scipy.optimize import brentq
from torch import Tensor

from polar.entropy.points import Points, points
from polar.entropy.samples import Array
from polar.errors import InvalidInput

_MOST_IMAGES: Final = 2000  # 2 million pairs determine their mean to about 1 %


def image_sigma(images: Tensor | Array) -> float:
    """Width of the images' kernel at which S_2(X) is half of ln n.

    The width depends on nothing but the images; compute it once for an evaluation subset. Pairs of
    identical images are left out, so data with many copies have a smaller S_2(X).

    Args:
        images: Shape (n, ...); uint8 for pixels, which are divided by 255, or other real numbers.

    Returns:
        Positive, in the unit of the images; it scales with them.

    Raises:
        InvalidInput: a value is not a finite real number, or all images are the same.
    """
    return sigma_of(points(images))


def sigma_of(x: Points) -> float:
    """The width that image_sigma returns, from points; raises what image_sigma raises."""
    squares = _distinct_squared_distances(x)
    if len(squares) == 0:
        raise InvalidInput(
            f"all {len(x)} samples of x are the same; allowed: at least two different samples"
        )
    n = len(x)
    wanted = (n**-0.5 - 1 / n) / (1 - 1 / n)  # mean of exp(-d^2 / sigma^2) over pairs

    def excess(log_width: float) -> float:
        return float((-squares / math.exp(2 * log_width)).exp().mean()) - wanted

    # At each end, every pair is on the same side: exp(-2 ln n) < wanted < exp(-1 / n^2).
    low = math.log(float(squares.min()) / (2 * math.log(n) + 1)) / 2
    high = math.log(float(squares.max()) * n**2) / 2
    return math.exp(brentq(excess, low, high, xtol=1e-12))


def _distinct_squared_distances(x: Points) -> Float[Tensor, " pairs"]:
    """Positive squared distances of all pairs among evenly spaced samples, each pair once."""
    chosen = torch.linspace(0, len(x) - 1, min(len(x), _MOST_IMAGES)).long()
    subset = Points(x.coordinates[chosen], x.squares[chosen], x.unit)
    everything = slice(0, len(subset))
    squares = subset.squared_distances(everything, everything)
    pairs = squares[tuple(torch.triu_indices(len(subset), len(subset), 1))]
    return pairs[pairs > 0]
