"""Mixed latents as defined: high entropy on one subset of the images, low on another.

The subsets must not be chosen by the latent's own mean, because images near its centre always have
less entropy than the others. They come from elsewhere:

- for a variational model, from the latent's own variance: the best split of the variances in two;
- for a deterministic model, from the other latents: images that crowd together there, such as
  those that lack an object and so have the same code, against the rest. What no other latent shows
  is missed.

Notation:
    n, m: images, latents.
    r: distance of an image from its k-th nearest neighbour, in all latents except that whose
        subsets are sought.

Reference: Clapham, Bonheme, Grzes (2026), section 3, https://arxiv.org/abs/2605.15965
"""

import math
from collections.abc import Iterator

import numpy as np
from jaxtyping import Bool, Float64
from scipy.spatial.distance import cdist

from polar.entropy import renyi_entropy
from polar.regime.codes import Codes
from polar.regime.split import best_split

#: Least fraction of the images that a subset has; also the fraction of the images that are counted
#: as neighbours. Chosen by us, because fewer images make no crowd.
LEAST_FRACTION = 0.05
#: The search for crowds takes the distances of all pairs of images: of at most so many images, and
#: at most so many distances over all latents, which take 15 s.
MOST_CROWD_IMAGES = 1000
MOST_DISTANCES = 1e9
#: Distances smaller than this part of the largest differ by rounding only.
ALIKE = 1e-6


def subset_entropies(
    codes: Codes, *, sigma: float, renyi_alpha: float, rng: np.random.Generator
) -> tuple[float | None, ...]:
    """How much the entropies of each latent's mean on two subsets differ, in nats, at least 0.

    None where the images have no two subsets of at least 5 % each.

    Args:
        codes: The codes of any model, in units of the ruler.
        sigma: Kernel width of the entropy, in units of the ruler.
        renyi_alpha: Order of the entropy.
        rng: Draws the images that are compared for a deterministic model (`images_compared`).
    """
    if codes.variance is not None:
        mean, subsets = codes.mean, _by_variance(codes.variance)
    else:
        n = len(codes.mean)
        mean = codes.mean[rng.permutation(n)[: images_compared(*codes.mean.shape)]]
        subsets = _by_crowding(mean)
    return tuple(
        None if subset is None else _difference(x, subset, sigma, renyi_alpha)
        for x, subset in zip(mean.T, subsets, strict=True)
    )


def images_compared(n: int, m: int) -> int:
    """How many images the search for the subsets of a deterministic model uses."""
    return min(n, MOST_CROWD_IMAGES, math.ceil(math.sqrt(MOST_DISTANCES / m)))


def _difference(
    x: Float64[np.ndarray, " n"], subset: Bool[np.ndarray, " n"], sigma: float, renyi_alpha: float
) -> float:
    inside, outside = (
        renyi_entropy(part, alpha=renyi_alpha, sigma=sigma).nats[0]
        for part in (x[subset], x[~subset])
    )
    return abs(float(inside - outside))


def _by_variance(
    variance: Float64[np.ndarray, "n m"],
) -> Iterator[Bool[np.ndarray, " n"] | None]:
    return (_lower_group(v) for v in variance.T)


def _by_crowding(mean: Float64[np.ndarray, "n m"]) -> Iterator[Bool[np.ndarray, " n"] | None]:
    squares = cdist(mean, mean, "sqeuclidean")
    neighbour = int(LEAST_FRACTION * len(mean))
    for x in mean.T:
        others = np.maximum(squares - (x[:, None] - x) ** 2, 0)  # rounding makes some negative
        r = np.sqrt(np.partition(others, neighbour, axis=1)[:, neighbour])
        alike = ALIKE * r.max()
        yield _lower_group(np.log(np.maximum(r, alike))) if alike > 0 else None


def _lower_group(values: Float64[np.ndarray, " n"]) -> Bool[np.ndarray, " n"] | None:
    split = best_split(values)
    if split is None or min(split.low_fraction, 1 - split.low_fraction) < LEAST_FRACTION:
        return None
    return values <= split.low_edge
