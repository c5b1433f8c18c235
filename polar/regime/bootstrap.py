"""How far entropies and thresholds would move with other images: a bootstrap to first order.

Resampling n images gives image i a weight w_i with w ~ multinomial(n; 1/n ... 1/n). The entropy
of the resample is, to first order,

    S(w) = S + (1/n) sum_i (w_i - 1) G_i,        G_i = n dS/dw_i less its mean over the images,

so that one eigenproblem for each latent serves all resamples, and a resample has the same images
for all latents. The bias is left out on purpose: a resample repeats images, which lowers its
entropy once more, so that quantiles of exactly resampled entropies can miss the entropy itself.

For the gradient, the samples are sorted and cut into cells no wider than sigma / 4 and of no more
than n / 128 samples. With the fractions p and means x of the cells, the Gram matrix
A_gh = sqrt(p_g p_h) exp(-(x_g - x_h)^2 / (2 sigma^2)) has the spectrum of that of the samples, up
to the width of the cells. With its eigenvalues l_k and eigenvectors v_k, and T = sum l_k^alpha,

    dS/dp_g = alpha / (1 - alpha) / T sum_k l_k^alpha v_kg^2 / p_g,

or -sum_k l_k ln l_k v_kg^2 / p_g at alpha = 1. Wide latents are cut into windows of cells, each of
which sees its neighbourhood, because the kernel of cells farther apart than a few sigma is 0.

Reference: Efron (1982), The Jackknife, the Bootstrap and Other Resampling Plans, chapter 6.
"""

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from jaxtyping import Float64, Int64

from polar.entropy import equivalent_std
from polar.records.measurement import ConfidenceInterval, Threshold
from polar.regime.threshold import Cut

RESAMPLES = 200
#: The quantiles at the ends of an interval of 95 %.
QUANTILES = (0.025, 0.975)
HALF = 0.5
#: In units of sigma; cells are no wider.
WIDEST = 0.25
#: A cell has at most the n-th part of the samples, so that passive latents have many cells too.
LEAST_CELLS = 128
#: Number of cells in a window.
WINDOW = 256
#: How far a window sees on either side, in units of sigma.
REACH = 5.0


def resampled_entropies(
    mean: Float64[np.ndarray, "n m"],
    entropies: Float64[np.ndarray, " m"],
    *,
    sigma: float,
    renyi_alpha: float,
    rng: np.random.Generator,
) -> Float64[np.ndarray, "resamples m"]:
    """Entropies of every latent under resampled images, to first order.

    Args:
        mean: Mean representation, shape (n, m), in units of the ruler.
        entropies: The entropies of its columns, in nats.
        sigma: Kernel width of the entropies, in units of the ruler.
        renyi_alpha: Order of the entropies, finite.
        rng: Draws the images.

    Returns:
        Nats, 0 to ln n; row b has the entropies of one resample.
    """
    n = len(mean)
    gradients = [
        entropy_gradient(x, nats, sigma=sigma, renyi_alpha=renyi_alpha)
        for x, nats in zip(mean.T, entropies, strict=True)
    ]
    slopes, even = np.stack(gradients), np.full(n, 1 / n)
    # One resample at a time, because all together are 200 numbers for each image.
    moves = [slopes @ (rng.multinomial(n, even) - 1) / n for _ in range(RESAMPLES)]
    return np.clip(entropies + np.stack(moves), 0, math.log(n))


def interval(nats: Float64[np.ndarray, " resamples"]) -> ConfidenceInterval:
    """Interval of 95 % of an entropy or a tau over resamples."""
    low, high = np.quantile(nats, QUANTILES)
    return ConfidenceInterval(low_nats=float(low), high_nats=float(high))


def resampled_threshold(
    method: str,
    rule: Callable[[Sequence[float]], Cut],
    entropies: Sequence[float],
    resampled: Float64[np.ndarray, "resamples m"],
    *,
    sigma: float,
    renyi_alpha: float,
) -> Threshold:
    """The tau of a rule, with its interval over resampled images.

    The interval covers the resamples in which the rule sees a regime. There is none where the
    rule sees no regime in most resamples, or in the images themselves.

    Args:
        method: Name of the rule.
        rule: Finds tau from the entropies of all latents.
        entropies: The entropy of each latent, in nats.
        resampled: What `resampled_entropies` returned.
        sigma: Kernel width of the entropies, in units of the ruler.
        renyi_alpha: Order of the entropies.
    """
    cut = rule(entropies)
    cuts = [rule(row) for row in resampled.tolist()]
    taus = np.array([other.tau_nats for other in cuts if other.tau_nats is not None])
    tau, seen = cut.tau_nats, len(taus) / len(cuts)
    return Threshold(
        method=method,
        tau_nats=tau,
        equivalent_std=None
        if tau is None
        else equivalent_std(tau, sigma=sigma, alpha=renyi_alpha),
        reason=cut.reason,
        interval=None if tau is None or seen < HALF else interval(taus),
        found=seen,
    )


def entropy_gradient(
    x: Float64[np.ndarray, " n"], nats: float, *, sigma: float, renyi_alpha: float
) -> Float64[np.ndarray, " n"]:
    """G: how the entropy of one latent depends on the weight of each image; its mean is 0.

    Args:
        x: Mean representation of the latent, shape (n,), in units of the ruler.
        nats: Its entropy.
        sigma: Kernel width of the entropy, in units of the ruler.
        renyi_alpha: Order of the entropy, positive and finite.
    """
    order = np.argsort(x)
    cell = _cells(x[order], sigma)
    size = np.bincount(cell)
    centre = np.bincount(cell, weights=x[order]) / size
    by_cell = np.concatenate(list(_gradients(centre, size / len(x), nats, sigma, renyi_alpha)))
    gradient = np.empty(len(x))
    gradient[order] = by_cell[cell]
    return gradient - gradient.mean()


def _cells(x: Float64[np.ndarray, " n"], sigma: float) -> Int64[np.ndarray, " n"]:
    """The number of the cell of each of the sorted samples."""
    by_width = np.floor(x / (WIDEST * sigma))
    by_count = np.arange(len(x)) * LEAST_CELLS // len(x)
    begins = (np.diff(by_width) != 0) | (np.diff(by_count) != 0)
    return np.concatenate([[0], np.cumsum(begins)])


def _gradients(
    x: Float64[np.ndarray, " cells"],
    p: Float64[np.ndarray, " cells"],
    nats: float,
    sigma: float,
    renyi_alpha: float,
) -> Iterator[Float64[np.ndarray, " window"]]:
    """The gradients at the cells, one window after the other, up to a constant."""
    for begin in range(0, len(x), WINDOW):
        end = min(begin + WINDOW, len(x))
        first, last = np.searchsorted(
            x, [x[begin] - REACH * sigma, x[end - 1] + REACH * sigma], side="right"
        )
        near = slice(min(first, begin), last)
        distance = (x[near, None] - x[near]) / sigma
        gram = np.sqrt(p[near, None] * p[near]) * np.exp(-(distance**2) / 2)
        eigenvalues, eigenvectors = np.linalg.eigh(gram)
        slope = _slope(np.maximum(eigenvalues, np.finfo(float).tiny), nats, renyi_alpha)
        yield ((eigenvectors**2 @ slope) / p[near])[begin - near.start : end - near.start]


def _slope(
    eigenvalues: Float64[np.ndarray, " k"], nats: float, renyi_alpha: float
) -> Float64[np.ndarray, " k"]:
    """L dS/dl of each eigenvalue l, up to a constant that is the same for all images."""
    log = np.log(eigenvalues)
    if renyi_alpha == 1:
        return -eigenvalues * log
    log_t = (1 - renyi_alpha) * nats
    return renyi_alpha / (1 - renyi_alpha) * np.exp(renyi_alpha * log - log_t)
