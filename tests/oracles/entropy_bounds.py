r"""What differential entropy implies about variance and KL, and the entropy of a mixed latent.

Among all variables with the same variance, the Gaussian has the most entropy, so the entropy power
N = exp(2 h) / (2 pi e) is at most Var. The mean of a latent's KL against N(0, 1) is at least
E[mu^2] / 2, and therefore at least Var(mu) / 2 and N / 2: the paper's Eq. 10. The converse does
not hold: a latent of little entropy may have any KL.

The matrix-based entropy of order 2 leads to h too. With x and x' independent,

    exp(-S_2) = E exp(-(x - x')^2 / sigma^2) = sigma sqrt(pi) E N(x - x'; 0, sigma^2 / 2),

and the expectation is the integral of the squared density of y = x + noise, for Gaussian noise of
variance sigma^2 / 4. For infinitely many samples, S_2 + ln(sigma sqrt pi) is therefore exactly
h_2(y) at any sigma, and it is h_2(x) itself where the noise does not matter. Because
h_2(y) <= h(y), the entropy power of y bounds Var(y) = Var(x) + sigma^2 / 4 without conditions.

Notation:
    h, h_2    differential entropies: Shannon's, and that of order 2; nats
    S_2       matrix-based Renyi entropy of order 2, nats
    sigma     width of the kernel exp(-d^2 / (2 sigma^2))

References: Shannon (1948), section 20; Clapham, Bonheme, Grzes (2026), Eq. 10 and 11,
https://arxiv.org/abs/2605.15965
"""

import math
from typing import Final

from polar.entropy.gaussian import gaussian_entropy
from polar.entropy.samples import check_positive
from polar.errors import InvalidInput

_MOST_NATS: Final = 300.0  # exp(2 h) is still a float
_WIDE: Final = 3.0  # std / sigma, at which the noise adds 0.014 nats to a Gaussian


def entropy_power(h: float) -> float:
    """exp(2 h) / (2 pi e): at most the variance, and equal to it for a Gaussian.

    Args:
        h: Differential entropy, nats, at most 300; minus infinity is allowed.

    Raises:
        InvalidInput: h is above 300 or not a number.
    """
    if not h <= _MOST_NATS:
        raise InvalidInput(f"h is {h} nats; allowed: at most {_MOST_NATS:g}")
    return math.exp(2 * h - 1) / (2 * math.pi)


def kl_lower_bound(h: float) -> float:
    """exp(2 h) / (4 pi e): the least mean KL, in nats, of a latent whose mean has entropy h.

    Args:
        h: Differential entropy of the mean representation, nats, at most 300. S_alpha will not do.

    Raises:
        InvalidInput: h is above 300 or not a number.
    """
    return entropy_power(h) / 2


def binary_entropy(p: float) -> float:
    """-p ln p - (1 - p) ln(1 - p): entropy of the variances of a latent active for a fraction p.

    Args:
        p: From 0 to 1.

    Returns:
        From 0 (always or never active) to ln 2 (half of the time).

    Raises:
        InvalidInput: p is out of its range.
    """
    if not 0 <= p <= 1:
        raise InvalidInput(f"p is {p}; allowed: from 0 to 1")
    return -sum(q * math.log(q) for q in (p, 1 - p) if q > 0)


def differential_from_order_two(nats: float, *, sigma: float, n: int | None = None) -> float:
    """h_2 of a latent from its S_2: S_2 + ln(sigma sqrt pi), where the kernel is narrow.

    Args:
        nats: S_2, at least that of a Gaussian of std 3 sigma, 1.805.
        sigma: Width of the kernel, positive.
        n: How many samples S_2 was measured with, at least 2; the pair of each sample with itself
            is then removed. None stands for infinitely many samples.

    Returns:
        h_2, at most h; for a Gaussian it is too high by at most 0.014 nats.

    Raises:
        InvalidInput: S_2 is so small that the kernel blurs the density, or so near ln n that more
            than half of it comes from samples paired with themselves; or sigma or n is out of its
            range.
    """
    check_positive("sigma", sigma)
    least = gaussian_entropy(_WIDE, sigma=1.0, alpha=2.0)
    most = math.inf if n is None else math.log(n) - math.log(2)
    if not least <= nats <= most:
        raise InvalidInput(
            f"S_2 is {nats} nats; allowed: from {least:.4g} to {most:.4g}, where the kernel is "
            "much narrower than the density and covers many samples"
        )
    return _without_own_pairs(nats, n) + math.log(sigma * math.sqrt(math.pi))


def variance_lower_bound(nats: float, *, sigma: float, n: int | None = None) -> float:
    """sigma^2 (exp(2 S_2) / 2e - 1/4), or 0: at most the variance, whatever the density.

    Half of it bounds the mean KL of a latent from below, as kl_lower_bound does, without requiring
    a narrow kernel. It is positive for S_2 above (1 - ln 2) / 2 = 0.153.

    Args:
        nats: S_2, from 0; at most ln n.
        sigma: Width of the kernel, positive.
        n: How many samples S_2 was measured with; the pair of each sample with itself is then
            removed, and the bound holds up to sampling error. None stands for infinitely many.

    Raises:
        InvalidInput: S_2 is out of its range, or so near ln n that more than half of it comes
            from samples paired with themselves; or sigma or n is out of its range.
    """
    check_positive("sigma", sigma)
    most = _MOST_NATS if n is None else math.log(n) - math.log(2)
    if not 0 <= nats <= most:
        raise InvalidInput(f"S_2 is {nats} nats; allowed: from 0 to {most:.4g}")
    return max(0.0, sigma**2 * (math.exp(2 * _without_own_pairs(nats, n) - 1) / 2 - 0.25))


def _without_own_pairs(nats: float, n: int | None) -> float:
    """S_2 over pairs of different samples only; its mean does not depend on n."""
    if n is None:
        return nats
    return -math.log((math.exp(-nats) - 1 / n) / (1 - 1 / n))
