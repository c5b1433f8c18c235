r"""Entropy of Gaussian data in closed form, and the standard deviation that has a given entropy.

By Mehler's formula, the spectrum of the Gaussian kernel of width sigma on N(0, std^2) is
lambda_k = (1 - B) B^k for k >= 0 with B = N / (N + 1): that of a thermal oscillator of mean
occupation N. The Gram matrix's spectrum converges to it as the number of samples grows.

Notation:
    r       std / sigma
    N       (sqrt(1 + 4 r^2) - 1) / 2, so that r^2 = N (N + 1)
    alpha   Renyi order, positive; 1 is the von Neumann limit

References: Mehler (1866); Rasmussen and Williams (2006), Gaussian Processes for Machine Learning,
section 4.3.1.
"""

import math
import sys

from scipy.optimize import brentq

from polar.errors import InvalidInput
from polar.spec.training import DEFAULT_RENYI_ALPHA, DEFAULT_SIGMA

_MOST_NATS = 300.0  # n samples have at most ln n
_MOST_R = 1e150  # above exp(_MOST_NATS), while its square is still a float


def gaussian_entropy(
    std: float, *, sigma: float = DEFAULT_SIGMA, alpha: float = DEFAULT_RENYI_ALPHA
) -> float:
    """Matrix-based Renyi entropy of infinitely many samples of N(0, std^2), in nats.

    Args:
        std: Standard deviation, from 0 to 1e150 sigma.
        sigma: Width of the kernel exp(-d^2 / (2 sigma^2)), positive, in the unit of `std`.
        alpha: Order, positive; infinity is allowed.

    Returns:
        0 for std = 0; about ln(r) plus a constant of alpha for r = std / sigma >> 1.

    Raises:
        InvalidInput: an argument is out of its range.
    """
    _check_kernel(sigma, alpha)
    r = std / sigma
    if not 0 <= r <= _MOST_R:
        raise InvalidInput(f"std / sigma is {std} / {sigma}; allowed: from 0 to {_MOST_R:g}")
    occupation = 2 * r * (r / (math.hypot(1, 2 * r) + 1))  # this form does not cancel at small r
    if occupation < sys.float_info.min:
        return 0.0
    least = math.log1p(occupation)  # the limit alpha -> infinity
    log_b = -math.log1p(1 / occupation)
    if alpha == 1:
        return least - occupation * log_b
    if math.isinf(alpha):
        return least
    return least + math.log1p(-occupation * math.expm1((alpha - 1) * log_b)) / (alpha - 1)


def equivalent_std(
    nats: float, *, sigma: float = DEFAULT_SIGMA, alpha: float = DEFAULT_RENYI_ALPHA
) -> float:
    """Standard deviation of the Gaussian that has this entropy: the inverse of gaussian_entropy.

    Args:
        nats: Entropy, from 0 to 300.
        sigma: Width of the kernel exp(-d^2 / (2 sigma^2)), positive; the result is in its unit.
        alpha: Order, positive; infinity is allowed.

    Returns:
        The standard deviation, 0 where the entropy is 0.

    Raises:
        InvalidInput: an argument is out of its range.
    """
    _check_kernel(sigma, alpha)
    if not 0 <= nats <= _MOST_NATS:
        raise InvalidInput(f"nats is {nats}; allowed: from 0 to {_MOST_NATS:g}")
    occupation = math.expm1(nats)  # attained at alpha = infinity, which has the largest std
    high = math.sqrt(occupation) * math.sqrt(occupation + 1) * sigma

    def excess(std: float) -> float:
        return gaussian_entropy(std, sigma=sigma, alpha=alpha) - nats

    low = high
    while excess(low) > 0:
        low /= 2
    return float(brentq(excess, low, 2 * low, xtol=1e-15 * low)) if low < high else high


def _check_kernel(sigma: float, alpha: float) -> None:
    if not 0 < sigma < math.inf:
        raise InvalidInput(f"sigma is {sigma}; allowed: positive and finite")
    if not alpha > 0:
        raise InvalidInput(f"alpha is {alpha}; allowed: positive")
