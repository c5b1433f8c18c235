"""How far the passive latents repeat what the active ones say.

All latents are taken in units of their own standard deviation: the question is what a passive
latent varies with, however little it varies.

Notation:
    n, p, a: images, passive latents that are not constant, active latents.
    R^2: 1 - squared error / variance, of images that the regression was not fitted to.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import KFold, cross_val_predict

from polar.entropy.information import mutual_information
from polar.report import Redundancy

FOLDS = 5
#: Std / largest std of a latent below which it is rounding: float32 has 7 digits.
DEAD = 1e-6
#: Images of which the information is estimated: kernels of all pairs.
MOST_IMAGES = 1000
#: In units of the latents' standard deviations.
SIGMA = 0.5


def redundancy(
    mean: Float64[np.ndarray, "n m"],
    *,
    actives: Sequence[int],
    passives: Sequence[int],
    rng: np.random.Generator,
) -> tuple[Redundancy, ...]:
    """The redundancy of every passive latent; none at all without active ones.

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
    images = rng.permutation(len(x))[:MOST_IMAGES]
    information = [
        mutual_information(active[:, None], y[images], sigma_x=SIGMA, sigma=SIGMA)
        for active in x[images].T
    ]
    nats = np.stack([of_active.nats for of_active in information])  # (a, p)
    baseline = np.stack([of_active.baseline_nats for of_active in information])
    nearest = nats.argmax(axis=0)
    return tuple(
        Redundancy(
            latent=latent,
            r_squared=determination[i],
            nearest_active=actives[nearest[i]],
            information_nats=float(nats[nearest[i], i]),
            information_baseline_nats=float(baseline[nearest[i], i]),
        )
        for i, latent in enumerate(alive)
    )


def _standardised(values: Float64[np.ndarray, "n k"]) -> Float64[np.ndarray, "n k"]:
    return (values - values.mean(axis=0)) / values.std(axis=0)


def _determination(
    x: Float64[np.ndarray, "n a"], y: Float64[np.ndarray, "n p"], rng: np.random.Generator
) -> Sequence[float | None]:
    """R^2 of each passive latent on all actives."""
    if len(x) < FOLDS:
        return [None] * y.shape[1]
    folds = KFold(FOLDS, shuffle=True, random_state=int(rng.integers(2**31)))
    predicted = cross_val_predict(LinearRegression(), x, y, cv=folds)
    return (1 - ((y - predicted.reshape(y.shape)) ** 2).mean(axis=0)).tolist()
