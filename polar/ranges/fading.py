"""Guesses where the edges are from how far the latents have faded.

In the linear beta-VAE the variance of a latent's mean falls linearly with the weight, from that of
the least faded latent to 0, where the latent is switched off. At the left edge this happens to the
weakest latent, at the right edge to the strongest. Trained nets follow this only roughly, so a
guess is only half believed, and only for choosing the next weight.

Reference: Lucas et al. (2019), https://arxiv.org/abs/1911.02469, for the linear model.
"""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64

from polar.ranges.search import History, Search
from polar.records.latents import Regime

#: Chance that a guess is good. This is our choice: a bad guess costs one trial for each edge.
TRUST = 0.5
#: A guess is dropped if a tested weight past the edge, times this factor, lies below it. This is
#: our choice: on the linear model it is nearly as good as never dropping a guess, and trained nets
#: need it (docs/log.md).
FARTHEST = 1.05


def guess_edges(history: History) -> tuple[float | None, float | None]:
    """The guessed weights at which the weakest and the strongest latent are switched off.

    A guess comes from the largest weight at which the latent is still active, because the nearest
    weight says most. It is None if nothing allows a guess or the trials contradict it: the latent
    was active at a weight above an earlier guess, or switched off well below the last guess.
    """
    full = max((seen.strongest_std or 0.0 for seen in history), default=0.0)
    weakest, strongest = [], []
    past_left, past_right = math.inf, math.inf
    for seen in sorted(history, key=lambda seen: seen.weight):
        if seen.regime is Regime.UNTRAINED:
            continue
        if seen.regime is Regime.UNDER_REGULARISED:
            weakest.append((seen.weight, seen.weakest_std))
        else:
            past_left = min(past_left, seen.weight)
        if seen.regime is Regime.COLLAPSED:
            past_right = min(past_right, seen.weight)
        else:
            strongest.append((seen.weight, seen.strongest_std))
    return _guess(weakest, full, past_left), _guess(strongest, full, past_right)


def _guess(fading: Sequence[tuple[float, float | None]], full: float, past: float) -> float | None:
    guess = None
    for weight, std in fading:
        if guess is not None and guess < weight:
            return None
        guess = _switched_off(weight, std, full) or guess
    return None if guess is None or guess > past * FARTHEST else guess


def _switched_off(weight: float, std: float | None, full: float) -> float | None:
    if std is None or not 0 < std < full:
        return None
    return weight / ((1 - std / full) * (1 + std / full))


def odds_of_places(
    places: Float64[np.ndarray, " n"], guess: float | None, search: Search
) -> Float64[np.ndarray, " n"]:
    """The factor by which a guess makes each place more likely: a Cauchy peak as wide as a cell.

    Args:
        places: Natural logarithms of weights; infinite ones get the least factor.
        guess: The guessed weight.
        search: Where the band is searched.
    """
    if guess is None:
        return np.ones(len(places))
    width = math.log(search.factor)
    peak = 1 / (1 + ((places - math.log(guess)) / width) ** 2)
    return 1 - TRUST + TRUST * peak * math.log(search.high / search.low) / (math.pi * width)
