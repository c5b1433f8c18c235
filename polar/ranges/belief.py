"""The belief about the edges of the band: a posterior over pairs of cells.

Every weight has one true verdict, which depends on its region. Each seed's training shows this
verdict or, with the flip rate as its probability, one of the three others. The log-likelihood of a
pair of edges is a sum over the weights left of the band, in it and right of it, so two cumulative
sums give it for all pairs.

Notation:
    n: number of points of the axis; cell c lies between points c - 1 and c, 0 <= c <= n.
    region: 0 left of the band, 1 in it, 2 right of it.
    epsilon: flip rate.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

from polar.ranges.search import History, Search
from polar.records.latents import Regime

#: The order of the verdicts in all tables.
REGIMES = tuple(Regime)
POLARISED = REGIMES.index(Regime.POLARISED)
FORMING = REGIMES.index(Regime.FORMING)
LEFT, INSIDE, RIGHT = range(3)

# All prior chances are our choices.

#: Chance that a space outside the band is forming, as is observed for trained nets.
FORMING_OUTSIDE = 0.2
#: Chance that a space in the band is forming: 3 % of random spectra of the linear beta-VAE have a
#: narrow gap.
GAP = 0.002
#: Chance that a space in the band is under-regularised, and that it is collapsed: neither was ever
#: observed, and neither is ruled out.
HOLE = 1e-4
#: Prior masses of the cell beyond either end and of a band without width; the axis has mass 1.
BEYOND_THE_END = 0.1
NO_BAND = 0.1
#: Least epsilon, so that trainings that contradict each other do not have the likelihood 0.
LEAST_FLIP_RATE = 1e-6
#: Weights count as the same if their ratio differs from 1 by at most this, as after rounding in
#: storage.
SAME = 1e-9


@dataclass(frozen=True)
class Belief:
    """Posterior over the cells of both edges."""

    #: The points that bound the cells, ascending.
    axis: Float64[np.ndarray, " n"]
    #: Whether each point is tested.
    tested: Bool[np.ndarray, " n"]
    #: Chance that the left edge lies in the row's cell and the right edge in the column's; sums to
    #: 1, and is 0 below the diagonal. On the diagonal, the band is too narrow to see or absent.
    joint: Float64[np.ndarray, "n+1 n+1"]
    #: Chance, by a point's own verdicts, that its true verdict is polarised if it is in the band.
    solid: Float64[np.ndarray, " n"]

    def in_band(self) -> Float64[np.ndarray, " n"]:
        """Chance that each point lies between the edges."""
        left_of_it = np.cumsum(self.joint.sum(1))[:-1]
        return np.clip(left_of_it - np.cumsum(self.joint.sum(0))[:-1], 0, 1)

    def polarised(self) -> Bool[np.ndarray, " n"]:
        """The points whose true verdict is probably polarised."""
        return self.in_band() * self.solid > 0.5


def believe(history: History, in_flight: Sequence[float], search: Search) -> Belief:
    """The posterior after a history; weights in flight only become points of the axis.

    Args:
        history: The observations so far, in canonical order.
        in_flight: Weights whose verdicts are still to come.
        search: Where the band is searched.
    """
    weights = np.array([seen.weight for seen in history])
    axis = _axis(np.concatenate([weights, in_flight]), search)
    counts = np.zeros((len(axis), len(REGIMES)))
    at = np.searchsorted(axis, weights)
    verdicts = np.array([REGIMES.index(seen.regime) for seen in history], dtype=int)
    np.add.at(counts, (at, verdicts), 1)
    # a logarithm until the next line, of shape (n, true verdict)
    likelihood = counts @ np.log(observed_chances(search.flip_rate))
    likelihood = np.exp(likelihood - likelihood.max(1, keepdims=True))
    evidence = np.log(likelihood @ true_chances()) + _sides(history, at, len(axis))
    inside = likelihood * true_chances()[:, INSIDE]
    return Belief(
        axis=axis,
        tested=counts.sum(1) > 0,
        joint=_posterior(axis, evidence),
        solid=inside[:, POLARISED] / inside.sum(1),
    )


def true_chances() -> Float64[np.ndarray, "4 3"]:
    """Chance of the row's verdict as the true verdict in the column's region."""
    chances = np.full((len(REGIMES), 3), 0.0)
    chances[REGIMES.index(Regime.UNDER_REGULARISED), LEFT] = 1 - FORMING_OUTSIDE
    chances[REGIMES.index(Regime.COLLAPSED), RIGHT] = 1 - FORMING_OUTSIDE
    chances[FORMING, [LEFT, RIGHT]] = FORMING_OUTSIDE
    chances[:, INSIDE] = HOLE
    chances[FORMING, INSIDE] = GAP
    chances[POLARISED, INSIDE] = 1 - GAP - 2 * HOLE
    return chances


def observed_chances(flip_rate: float) -> Float64[np.ndarray, "4 4"]:
    """Chance of observing the row's verdict where the column's is true; symmetric."""
    epsilon = max(flip_rate, LEAST_FLIP_RATE)
    return np.full((4, 4), epsilon / 3) + (1 - epsilon * 4 / 3) * np.eye(4)


def _axis(known: Float64[np.ndarray, " k"], search: Search) -> Float64[np.ndarray, " n"]:
    grid = np.geomspace(search.low, search.high, search.cells + 1)
    apart = np.abs(grid[:, None] / known - 1).min(1, initial=np.inf)
    return np.union1d(grid[apart > SAME], known)


def _sides(history: History, at: Int64[np.ndarray, " k"], n: int) -> Float64[np.ndarray, "n 3"]:
    """Evidence from forming spaces: few active latents suggest right of the band, many left."""
    evidence = np.zeros((n, 3))
    for point, seen in zip(at, history, strict=True):
        counts = (seen.n_active, seen.n_passive)
        if seen.regime is Regime.FORMING and counts[0] is not None and counts[1] is not None:
            active = (counts[0] + 1) / (counts[0] + counts[1] + 2)
            evidence[point] += np.log([2 * active, 1, 2 * (1 - active)])
    return evidence


def _posterior(
    axis: Float64[np.ndarray, " n"], evidence: Float64[np.ndarray, "n 3"]
) -> Float64[np.ndarray, "n+1 n+1"]:
    relative = evidence - evidence[:, [INSIDE]]
    left = np.concatenate([[0], np.cumsum(relative[:, LEFT])])
    right = np.concatenate([np.cumsum(relative[::-1, RIGHT])[::-1], [0]])
    prior = _prior(axis)
    logs = np.where(prior > 0, left[:, None] + right, -np.inf)
    joint = np.exp(logs - logs.max()) * prior
    return joint / joint.sum()


def _prior(axis: Float64[np.ndarray, " n"]) -> Float64[np.ndarray, "n+1 n+1"]:
    """The prior of both edges: uniform on the log axis, with the left edge first.

    A cell on the diagonal has half the mass of its square, so that the prior does not depend on
    how many points divide the axis.
    """
    lengths = np.diff(np.log(axis))
    mass = np.concatenate([[BEYOND_THE_END], lengths / lengths.sum(), [BEYOND_THE_END]])
    return np.triu(np.outer(mass, mass), 1) + np.diag(mass**2 / 2 + NO_BAND * mass)
