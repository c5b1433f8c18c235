r"""Gaussian mixtures on a line, spike and slab among them, whose entropies are known.

With weights w, means m and variances v, infinitely many samples have the matrix-based entropy

    S_2 = -ln sum_ij w_i w_j (1 + 2 V / sigma^2)^(-1/2) exp(-D^2 / (sigma^2 + 2 V)),

where V = v_i + v_j and D = m_i - m_j. The differential entropy is a one-dimensional integral.

Spike and slab, pi N(0, s^2) + (1 - pi) N(0, spike^2) with s^2 = (V - (1 - pi) spike^2) / pi, has
the variance V whatever pi is, while its entropy rises with pi: the paper's Fig. 5.
"""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np
from jaxtyping import Float, Float64
from scipy.integrate import quad
from scipy.special import logsumexp

from polar.entropy.samples import check_positive
from polar.errors import InvalidInput

_REACH: Final = 12.0  # std; the tails beyond hold a probability of 1e-32


@dataclass(frozen=True)
class GaussianMixture:
    """Mixture of k Gaussians; build one with `gaussian_mixture` or `spike_and_slab`."""

    weights: Float64[np.ndarray, " k"]  #: positive, summing to 1
    means: Float64[np.ndarray, " k"]
    variances: Float64[np.ndarray, " k"]  #: positive

    @property
    def variance(self) -> float:
        """Variance of the whole mixture."""
        mean = self.weights @ self.means
        return float(self.weights @ (self.variances + (self.means - mean) ** 2))

    def order_two_entropy(self, sigma: float) -> float:
        """S_2 of infinitely many samples, nats, for the kernel exp(-d^2 / (2 sigma^2))."""
        check_positive("sigma", sigma)
        v = self.variances[:, None] + self.variances
        distance = self.means[:, None] - self.means
        pairs = np.exp(-(distance**2) / (sigma**2 + 2 * v)) / np.sqrt(1 + 2 * v / sigma**2)
        return float(-math.log(self.weights @ pairs @ self.weights))

    def differential_entropy(self) -> float:
        """-integral p ln p, nats, by quadrature; exact to 1e-7."""
        std = np.sqrt(self.variances)
        # Between these edges the integrand is smooth, whether components are narrow or wide.
        edges = np.unique(self.means + np.outer([-_REACH, -3, -1, 0, 1, 3, _REACH], std))
        return math.fsum(
            quad(self._surprise, low, high, epsabs=1e-10, epsrel=1e-10, limit=200)[0]
            for low, high in pairwise(edges)
        )

    def sample(self, n: int, *, seed: int) -> Float64[np.ndarray, " n"]:
        """Stratified samples, shape (n,), in random order.

        Each component gets its share of n, rounded, and its samples have exactly its mean and, if
        there are at least two, its variance. Independent draws of a slab of weight 0.01 would
        leave the variance uncertain by a third.

        Raises:
            InvalidInput: n is not positive.
        """
        if n < 1:
            raise InvalidInput(f"n is {n}; allowed: at least 1")
        rng = np.random.default_rng(seed)
        ends = np.rint(n * np.cumsum(self.weights)).astype(int)
        counts = np.diff(ends, prepend=0)
        parts = [
            mean + math.sqrt(variance) * _standardised(rng.standard_normal(count))
            for mean, variance, count in zip(self.means, self.variances, counts, strict=True)
        ]
        return rng.permutation(np.concatenate(parts))

    def _surprise(self, x: float) -> float:
        """-p ln p at x."""
        exponents = -((x - self.means) ** 2) / (2 * self.variances)
        log_p = float(logsumexp(exponents, b=self.weights / np.sqrt(2 * math.pi * self.variances)))
        return -math.exp(log_p) * log_p if log_p > -math.inf else 0.0


def gaussian_mixture(
    weights: list[float], means: list[float], variances: list[float]
) -> GaussianMixture:
    """A mixture of k Gaussians.

    Args:
        weights: Shares of the components: k positive numbers that sum to 1.
        means: k finite numbers.
        variances: k positive numbers.

    Raises:
        InvalidInput: the lists differ in length or are empty, or a number is out of its range.
    """
    if not len(weights) == len(means) == len(variances) > 0:
        raise InvalidInput(
            f"{len(weights)} weights, {len(means)} means and {len(variances)} variances; "
            "allowed: the same number of each, at least 1"
        )
    for w, m, v in zip(weights, means, variances, strict=True):
        check_positive("weight", w)
        check_positive("variance", v)
        if not math.isfinite(m):
            raise InvalidInput(f"a mean is {m}; allowed: finite numbers")
    if not math.isclose(math.fsum(weights), 1, abs_tol=1e-9):
        raise InvalidInput(f"the sum of weights is {math.fsum(weights)}; allowed: 1")
    return GaussianMixture(*(np.array(a, dtype=np.float64) for a in (weights, means, variances)))


def spike_and_slab(
    pi: float, *, variance: float = 1.0, spike_std: float = 0.05
) -> GaussianMixture:
    """The mixture pi N(0, s^2) + (1 - pi) N(0, spike_std^2), with s set by the variance.

    Args:
        pi: Weight of the slab, above 0 and at most 1; at 1 there is no spike.
        variance: Variance of the whole mixture, above that of the spike.
        spike_std: Standard deviation of the spike, positive.

    Raises:
        InvalidInput: an argument is out of its range.
    """
    check_positive("variance", variance)
    check_positive("spike_std", spike_std)
    if not 0 < pi <= 1:
        raise InvalidInput(f"pi is {pi}; allowed: above 0 and at most 1")
    if not spike_std**2 < variance:
        raise InvalidInput(
            f"spike_std is {spike_std}; allowed: below the mixture's std {variance**0.5}"
        )
    if pi == 1:
        return gaussian_mixture([1.0], [0.0], [variance])
    slab = (variance - (1 - pi) * spike_std**2) / pi
    return gaussian_mixture([pi, 1 - pi], [0.0, 0.0], [slab, spike_std**2])


def _standardised(draws: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """The draws shifted and scaled to mean 0 and, if there are at least two, variance 1."""
    if len(draws) < 2:
        return 0 * draws
    centred = draws - draws.mean()
    return centred / centred.std()
