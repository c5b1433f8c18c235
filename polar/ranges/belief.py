"""What is believed about the edges of the band: a posterior over pairs of cells.

Every weight has one true verdict, which depends on where it lies; each seed tells it, or, with the
flip rate, one of the three others. The likelihood of a pair of edges is a sum of what the weights
left of it, in it and right of it say, so that two cumulative sums give it for all pairs.

Notation:
    n: points of the axis, ascending; cell c lies between points c - 1 and c, 0 <= c <= n.
    region: 0 left of the band, 1 in it, 2 right of it.
    epsilon: flip rate.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float64, Int64

from polar.ranges.search import History, Search
from polar.records.latents import Regime

#: The rows of all tables of verdicts.
REGIMES = tuple(Regime)
POLARISED = REGIMES.index(Regime.POLARISED)
FORMING = REGIMES.index(Regime.FORMING)
LEFT, INSIDE, RIGHT = range(3)

#: Prior chances, all chosen by us. A space beside the band is forming: seen of trained nets.
FORMING_OUTSIDE = 0.2
#: A space in the band is forming: 3 % of random spectra of the linear beta-VAE have a narrow gap.
GAP = 0.002
#: A space in the band is under-regularised, or collapsed: never seen, and not ruled out.
HOLE = 1e-4
#: Mass of the cell beyond either end, and of a band of no width, beside 1 for the whole axis.
BEYOND_THE_END = 0.1
NO_BAND = 0.1
#: Least epsilon, so that trainings that contradict each other have a likelihood at all.
LEAST_FLIP_RATE = 1e-6
#: Weights are the same when they differ by less than this factor - 1: what storage may round.
SAME = 1e-9


@dataclass(frozen=True)
class Belief:
    """Posterior over the cells of both edges."""

    #: Points that bound the cells, ascending.
    axis: Float64[np.ndarray, " n"]
    #: Which of them are tested.
    tested: Bool[np.ndarray, " n"]
    #: Chance that the left edge lies in the row's cell and the right one in the column's; sums
    #: to 1, and is 0 below the diagonal. In the same cell: a band too narrow to see, or none.
    joint: Float64[np.ndarray, "n+1 n+1"]
    #: Chance that the weight, if it lies in the band, is truly polarised, by its own verdicts.
    solid: Float64[np.ndarray, " n"]

    def in_band(self) -> Float64[np.ndarray, " n"]:
        """Chance that each point lies between the edges."""
        left_of_it = np.cumsum(self.joint.sum(1))[:-1]
        return np.clip(left_of_it - np.cumsum(self.joint.sum(0))[:-1], 0, 1)

    def polarised(self) -> Bool[np.ndarray, " n"]:
        """The points whose true verdict is probably polarised."""
        return self.in_band() * self.solid > 0.5


def believe(history: History, in_flight: Sequence[float], search: Search) -> Belief:
    """The posterior after a history; points in flight only become points of the axis.

    Args:
        history: In canonical order.
        in_flight: Weights whose verdicts are still to come.
        search: Where the band is searched.
    """
    weights = np.array([seen.weight for seen in history])
    axis = _axis(np.concatenate([weights, in_flight]), search)
    counts = np.zeros((len(axis), len(REGIMES)))
    at = np.searchsorted(axis, weights)
    told = np.array([REGIMES.index(seen.regime) for seen in history], dtype=int)
    np.add.at(counts, (at, told), 1)
    likelihood = counts @ np.log(told_chances(search.flip_rate))  # (n, true verdict), a log yet
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
    """Chance of each true verdict in each region."""
    chances = np.full((len(REGIMES), 3), 0.0)
    chances[REGIMES.index(Regime.UNDER_REGULARISED), LEFT] = 1 - FORMING_OUTSIDE
    chances[REGIMES.index(Regime.COLLAPSED), RIGHT] = 1 - FORMING_OUTSIDE
    chances[FORMING, [LEFT, RIGHT]] = FORMING_OUTSIDE
    chances[:, INSIDE] = HOLE
    chances[FORMING, INSIDE] = GAP
    chances[POLARISED, INSIDE] = 1 - GAP - 2 * HOLE
    return chances


def told_chances(flip_rate: float) -> Float64[np.ndarray, "4 4"]:
    """Chance that the row's verdict is told where the column's is true; symmetric."""
    epsilon = max(flip_rate, LEAST_FLIP_RATE)
    return np.full((4, 4), epsilon / 3) + (1 - epsilon * 4 / 3) * np.eye(4)


def _axis(known: Float64[np.ndarray, " k"], search: Search) -> Float64[np.ndarray, " n"]:
    grid = np.geomspace(search.low, search.high, search.cells + 1)
    apart = np.abs(grid[:, None] / known - 1).min(1, initial=np.inf)
    return np.union1d(grid[apart > SAME], known)


def _sides(history: History, at: Int64[np.ndarray, " k"], n: int) -> Float64[np.ndarray, "n 3"]:
    """What the numbers of active latents say of forming spaces: the fewer, the further right."""
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
    """Both edges anywhere on the log axis, the left one first.

    Half a square on the diagonal: then it does not matter how many points divide the axis.
    """
    lengths = np.diff(np.log(axis))
    mass = np.concatenate([[BEYOND_THE_END], lengths / lengths.sum(), [BEYOND_THE_END]])
    return np.triu(np.outer(mass, mass), 1) + np.diag(mass**2 / 2 + NO_BAND * mass)
