"""How far the edges are, guessed from how far the latents have faded.

In the linear beta-VAE the variance of a latent's mean falls linearly with the weight, from that of
the least faded latent to 0, where the latent is switched off. The left edge is where that happens
to the weakest latent, the right edge where it happens to the strongest. Trained nets keep to this
only roughly: a guess is believed by half, and only when the next weight is chosen.

Reference: Lucas et al. (2019), https://arxiv.org/abs/1911.02469, for the linear model.
"""

import math

import numpy as np
from jaxtyping import Float64

from polar.events import Regime
from polar.ranges.observations import History, Search

#: Chance that a guess is good. Chosen by us: when it is bad, that costs one trial for each edge.
TRUST = 0.5
#: A guess is dropped when a tested weight past the edge, times this factor, lies below it. By us:
#: on digits such guesses cost six trials; on the linear model 1.05 costs hardly any, 1 too many.
FARTHEST = 1.05


def guess_edges(history: History) -> tuple[float | None, float | None]:
    """Weights at which the weakest and the strongest latent are switched off, if one can tell.

    From the largest weight where that latent is still active, as the nearest says most. None where
    a weight that is past the edge lies well below the guess.
    """
    full = max((seen.strongest_std or 0.0 for seen in history), default=0.0)
    weakest, strongest = None, None
    past_left, past_right = math.inf, math.inf
    for seen in sorted(history, key=lambda seen: seen.weight):
        if seen.regime is Regime.UNDER_REGULARISED:
            weakest = _switched_off(seen.weight, seen.weakest_std, full) or weakest
        else:
            past_left = min(past_left, seen.weight)
        if seen.regime is Regime.COLLAPSED:
            past_right = min(past_right, seen.weight)
        else:
            strongest = _switched_off(seen.weight, seen.strongest_std, full) or strongest
    return _if_possible(weakest, past_left), _if_possible(strongest, past_right)


def _if_possible(guess: float | None, past: float) -> float | None:
    """A guess, unless a trained net has shown that it is none of those that fade linearly."""
    return None if guess is None or guess > past * FARTHEST else guess


def _switched_off(weight: float, std: float | None, full: float) -> float | None:
    if std is None or not 0 < std < full:
        return None
    return weight / ((1 - std / full) * (1 + std / full))


def odds_of_cells(
    axis: Float64[np.ndarray, " n"], guess: float | None, search: Search
) -> Float64[np.ndarray, " n+1"]:
    """By how much a guess makes each cell more likely: a Cauchy peak of one cell's width."""
    if guess is None:
        return np.ones(len(axis) + 1)
    logs = np.log(axis)
    middles = np.concatenate([[logs[0]], (logs[1:] + logs[:-1]) / 2, [logs[-1]]])
    width = math.log(search.factor)
    peak = 1 / (1 + ((middles - math.log(guess)) / width) ** 2)
    return 1 - TRUST + TRUST * peak * (logs[-1] - logs[0]) / (math.pi * width)
