r"""Estimators of differential entropy, to compare with the matrix-based entropy.

Differential entropy is minus infinity for a constant latent, or for a latent with many equal
samples. The estimates here are always finite: the sorted samples are first spread by a ramp of
width 1e-6, which separates equal samples and moves none by more than 5e-7. A constant column then
has about ln 1e-6 = -13.8 nats under every estimator but the histogram, which gives the logarithm
of its bin width.

Notation:
    n, d    samples, latents
    h       differential entropy -integral p ln p, nats, in the unit of x
"""

import math
import warnings
from dataclasses import dataclass
from typing import Final, Generic

import numpy as np
from jaxtyping import Float
from scipy.spatial import cKDTree
from scipy.special import digamma
from scipy.stats import differential_entropy
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture
from torch import Tensor

from polar.entropy.samples import Array, ArrayT, check_positive, columns, in_kind_of
from polar.errors import InvalidInput

SPACINGS: Final = ("vasicek", "van es", "ebrahimi", "correa")

_RESOLUTION: Final = 1e-6  # far below any kernel width, far above the rounding of float32 codes
_LARGEST: Final = 1e150  # the squares of larger samples overflow
_FEWEST: Final = 5  # samples; fewer have no spacings


@dataclass(frozen=True)
class MixtureEntropy(Generic[ArrayT]):
    """Entropies of Gaussian mixtures fitted to d latents."""

    nats: ArrayT  #: (d,) float64, h
    standard_error_nats: ArrayT  #: (d,) float64, from the draws alone, not from the fit
    components: ArrayT  #: (d,) int64, how many components the BIC chose


def histogram_entropy(x: ArrayT, *, width: float = 0.1) -> ArrayT:
    """-sum p ln(p / width) over bins [k width, (k + 1) width), of each column.

    The width is absolute: bins from the smallest to the largest sample would make a collapsed
    latent look like an active one.

    Args:
        x: Samples, shape (n, d), or (n,) for d = 1; n at least 5.
        width: Width of a bin, positive, in the unit of x.

    Returns:
        Shape (d,), from ln width to ln width + ln n; on average too low by (bins - 1) / 2n.

    Raises:
        InvalidInput: fewer than 5 samples, values that are not finite real numbers up to 1e150, or
            a width that is not positive.
    """
    check_positive("width", width)

    def entropy(sample: Float[np.ndarray, " n"]) -> float:
        counts = np.unique(np.floor(sample / width), return_counts=True)[1]
        p = counts / counts.sum()
        return float(math.log(width) - p @ np.log(p))

    return in_kind_of(x, np.array([entropy(sample) for sample in _samples(x)]))


def nearest_neighbour_entropy(x: ArrayT, *, k: int = 3) -> ArrayT:
    """psi(n) - psi(k) + ln 2 + mean ln r_k of each column, r_k the distance of the k-th neighbour.

    Args:
        x: Samples, shape (n, d), or (n,) for d = 1; n at least 5.
        k: Which neighbour, from 1 (the nearest) to n - 1.

    Returns:
        Shape (d,), finite.

    Raises:
        InvalidInput: as in histogram_entropy, or k is out of its range.

    Reference: Kozachenko and Leonenko (1987), Problems of Information Transmission 23(2), 95-101
    """
    samples = _samples(x)
    n = len(samples[0])
    if not 1 <= k < n:
        raise InvalidInput(f"k is {k}; allowed: from 1 to n - 1 = {n - 1}")

    def entropy(sample: Float[np.ndarray, " n"]) -> float:
        points = _spread(sample)[:, None]
        distances = cKDTree(points).query(points, k + 1)[0][:, k]
        return float(digamma(n) - digamma(k) + math.log(2) + np.log(distances).mean())

    return in_kind_of(x, np.array([entropy(sample) for sample in samples]))


def spacing_entropy(x: ArrayT, *, method: str = "ebrahimi") -> ArrayT:
    """Entropy of each column from the spacings of its order statistics.

    Args:
        x: Samples, shape (n, d), or (n,) for d = 1; n at least 5.
        method: An author in SPACINGS; Ebrahimi's estimator has the least bias on Gaussian
            samples.

    Returns:
        Shape (d,), finite.

    Raises:
        InvalidInput: as in histogram_entropy, or the method is unknown.

    Reference: scipy.stats.differential_entropy, which names the papers
    """
    if method not in SPACINGS:
        raise InvalidInput(f"method is {method!r}; allowed: {', '.join(SPACINGS)}")
    nats = [float(differential_entropy(_spread(s), method=method)) for s in _samples(x)]
    return in_kind_of(x, np.array(nats))


def mixture_entropy(
    x: ArrayT, *, most_components: int = 5, draws: int = 10_000, seed: int = 0
) -> MixtureEntropy[ArrayT]:
    """-mean ln p of draws from the Gaussian mixture p that fits a column best by the BIC.

    Args:
        x: Samples, shape (n, d), or (n,) for d = 1; n at least 5.
        most_components: Largest mixture tried, from 1 to n.
        draws: Samples of the mixture, at least 2.
        seed: Seed of the fits and the draws.

    Returns:
        Entropies, with the standard errors of the draws. No component is narrower than a
        thousandth of the column's standard deviation.

    Raises:
        InvalidInput: as in histogram_entropy, or most_components or draws is out of its range.
    """
    samples = _samples(x)
    n = len(samples[0])
    if not 1 <= most_components <= n:
        raise InvalidInput(f"most_components is {most_components}; allowed: from 1 to n = {n}")
    if draws < 2:
        raise InvalidInput(f"draws is {draws}; allowed: at least 2")
    fits = [_fitted_mixture(_spread(s), most_components, draws, seed) for s in samples]
    return MixtureEntropy(
        in_kind_of(x, np.array([nats for nats, _, _ in fits])),
        in_kind_of(x, np.array([error for _, error, _ in fits])),
        in_kind_of(x, np.array([components for _, _, components in fits])),
    )


def _fitted_mixture(
    sample: Float[np.ndarray, " n"], most_components: int, draws: int, seed: int
) -> tuple[float, float, int]:
    """Entropy of the best mixture, its standard error and its number of components."""
    scale = float(sample.std())
    standardised = ((sample - sample.mean()) / scale)[:, None]
    fits = []
    with warnings.catch_warnings():
        # A fit that has not converged is judged by its likelihood, like every other fit.
        warnings.simplefilter("ignore", ConvergenceWarning)
        for components in range(1, most_components + 1):
            fits.append(GaussianMixture(components, random_state=seed).fit(standardised))
    best = min(fits, key=lambda fit: float(fit.bic(standardised)))
    surprise = -best.score_samples(best.sample(draws)[0])
    error = float(surprise.std(ddof=1)) / math.sqrt(draws)
    return float(surprise.mean()) + math.log(scale), error, int(best.n_components)


def _samples(x: Tensor | Array) -> list[Float[np.ndarray, " n"]]:
    samples = [column.cpu().numpy() for column in columns(x)]
    if len(samples[0]) < _FEWEST:
        raise InvalidInput(f"x has {len(samples[0])} samples; allowed: at least {_FEWEST}")
    largest = max(float(np.abs(sample).max()) for sample in samples)
    if largest > _LARGEST:
        raise InvalidInput(f"x has a sample of size {largest:g}; allowed: up to {_LARGEST:g}")
    return samples


def _spread(sample: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """The samples sorted and centred, with a ramp that separates equal samples."""
    ordered = np.sort(sample) - np.median(sample)
    n = len(ordered)
    # Where steps of 1e-6 / n would be lost to rounding, the ramp is made wide enough to survive.
    width = max(_RESOLUTION, 8 * n * np.finfo(float).eps * float(np.abs(ordered).max()))
    return ordered + np.linspace(-width / 2, width / 2, n)
