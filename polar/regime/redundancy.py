"""How far the passive latents repeat what the active ones say.

All latents are taken in units of their own standard deviation, because the question is what a
passive latent varies with, however little it varies.

Notation:
    n, p, a: images, passive latents that are not constant, active latents.
    R^2: 1 - squared error / variance, over images that the regression was not fitted to; none
        where each of the 5 fits would have no more images than actives.
"""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32, Float64, Int64
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import KFold, cross_val_predict

from polar.entropy.information import mutual_information
from polar.records.measurement import Redundancy

FOLDS = 5
#: Std of a latent / largest std; below it a latent is rounding, because float32 has 7 digits.
DEAD = 1e-6
#: Images used to estimate information; the cost grows with their square.
MOST_REDUNDANCY_IMAGES = 1000
#: Kernels, and products of two kernels, that the search for the nearest actives may take: seconds.
MOST_KERNELS, MOST_PRODUCTS = 5e8, 1e11
#: Kernels that are held in memory at once, over all latents.
AT_ONCE = 20_000_000
#: In units of the latents' standard deviations.
SIGMA = 0.5


def redundancy(
    mean: Float64[np.ndarray, "n m"],
    *,
    actives: Sequence[int],
    passives: Sequence[int],
    rng: np.random.Generator,
) -> tuple[Redundancy, ...]:
    """The redundancy of every passive latent; empty without active latents.

    Args:
        mean: Mean representation, shape (n, m).
        actives: Numbers of the active latents.
        passives: Numbers of the passive latents.
        rng: Draws the folds and the images.
    """
    std = mean.std(axis=0)
    alive = [latent for latent in passives if std[latent] > DEAD * std.max()]
    if not actives or not alive:
        return ()
    y = _standardised(mean[:, alive])
    x = _standardised(mean[:, actives])
    determination = _determination(x, y, rng)
    images = rng.permutation(len(x))[:MOST_REDUNDANCY_IMAGES]
    searched = images[: images_compared(len(x), len(actives), len(alive))]
    nearest = _nearest(x[searched], y[searched])
    nats, baseline = np.empty(len(alive)), np.empty(len(alive))
    for active in np.unique(nearest):
        those = nearest == active
        shared = mutual_information(
            x[images, active, None], y[np.ix_(images, those)], sigma_x=SIGMA, sigma=SIGMA
        )
        nats[those], baseline[those] = shared.nats, shared.baseline_nats
    return tuple(
        Redundancy(
            latent=latent,
            r_squared=determination[i],
            nearest_active=actives[nearest[i]],
            information_nats=float(nats[i]),
            information_baseline_nats=float(baseline[i]),
        )
        for i, latent in enumerate(alive)
    )


def can_regress(n: int, actives: int) -> bool:
    """Whether each fit has more images than coefficients; with fewer it would fit anything."""
    return n >= FOLDS and n - math.ceil(n / FOLDS) > actives


def images_compared(n: int, actives: int, passives: int) -> int:
    """How many images the search for the nearest actives uses; this bounds its time."""
    pairs = min(MOST_KERNELS / (actives + passives), MOST_PRODUCTS / (actives * passives))
    return min(n, MOST_REDUNDANCY_IMAGES, math.ceil(math.sqrt(2 * pairs)))


def _nearest(
    x: Float64[np.ndarray, "n a"], y: Float64[np.ndarray, "n p"]
) -> Int64[np.ndarray, " p"]:
    """For each passive latent, the place of the active latent with the most information on it.

    I = S_a + S_p - S_ap of order 2, where S = -ln(mean over pairs of the squared kernels). For one
    passive latent, the information grows with joint / own, where `joint` sums the products of both
    kernels over pairs, and `own` the kernel of the active latent.
    """
    n = len(x)
    one, other = np.triu_indices(n, 1)
    joint, own = np.zeros((x.shape[1], y.shape[1])), np.zeros(x.shape[1])
    step = max(1, AT_ONCE // (x.shape[1] + y.shape[1]))
    for begin in range(0, len(one), step):
        i, j = one[begin : begin + step], other[begin : begin + step]
        of_x, of_y = _squared_kernels(x, i, j), _squared_kernels(y, i, j)
        joint += of_x.T @ of_y
        own += of_x.sum(axis=0, dtype=np.float64)
    # Every pair counts twice, and every image once with itself.
    return ((n + 2 * joint) / (n + 2 * own)[:, None]).argmax(axis=0)


def _squared_kernels(
    values: Float64[np.ndarray, "n k"], i: Int64[np.ndarray, " p"], j: Int64[np.ndarray, " p"]
) -> Float32[np.ndarray, "p k"]:
    distance = ((values[i] - values[j]) / SIGMA).astype(np.float32)
    return np.exp(-(distance**2))


def _standardised(values: Float64[np.ndarray, "n k"]) -> Float64[np.ndarray, "n k"]:
    return (values - values.mean(axis=0)) / values.std(axis=0)


def _determination(
    x: Float64[np.ndarray, "n a"], y: Float64[np.ndarray, "n p"], rng: np.random.Generator
) -> Sequence[float | None]:
    """R^2 of each passive latent on all actives."""
    if not can_regress(*x.shape):
        return [None] * y.shape[1]
    folds = KFold(FOLDS, shuffle=True, random_state=int(rng.integers(2**31)))
    predicted = cross_val_predict(LinearRegression(), x, y, cv=folds)
    return (1 - ((y - predicted.reshape(y.shape)) ** 2).mean(axis=0)).tolist()
