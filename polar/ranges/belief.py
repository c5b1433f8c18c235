"""The belief about the two edges of the band: a posterior over the place and width of each.

Over seeds, the chance that a training at weight w has passed an edge is a logistic function of
ln w: verdicts flip between seeds close to the edge, and hardly ever far from it. A training is
right of the band if it has passed the right edge. If it has not, it is inside the band where it
has passed the left edge, and left of the band where it has not. So the likelihood is a product of
a factor for each edge, and the edges are independent, but for spaces that may be on either side of
the band.

Notation:
    a: place of an edge, the natural logarithm of the weight that half of the seeds have passed.
    s: width of an edge, the scale of the logistic, in natural logarithms of the weight.
    places: the middles of the cells of the axis, and one place beyond either end.
    bounds: the ends of the cells, one fewer than the places.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Bool, Float64, Int64
from scipy.special import expit, softmax

from polar.ranges.search import Search
from polar.ranges.votes import Side, Vote

Row = Float64[np.ndarray, " k"]

#: Cells of the belief for each cell of the search. Chosen by us, so that the ends of an interval
#: are computed to a quarter of what is wanted, and interpolated between.
PARTS = 4
#: Spread of an edge in widths: the distance between the weights that one seed in twenty and
#: nineteen in twenty have passed. Nine seeds in ten change their verdicts in between.
SPREAD = 2 * math.log(19)
#: Width that the widest edges may have at least. Chosen by us: verdicts then differ over a factor
#: of 20 of the weight, beyond which there is no edge to speak of.
WIDEST = 0.5
#: Share of the variance between trainings that goes with their seeds, which have edges of their
#: own to that extent. Chosen by us, because a few seeds cannot tell how large it is; without it
#: intervals would narrow as if each training had a seed of its own.
SHARE_OF_SEEDS = 0.5
#: Prior mass of an edge beyond either end of the search, where the axis has mass 1. Chosen by us
#: without comparing other values, because who chooses a search expects the edges within it.
BEYOND_THE_END = 0.1
#: Chance that the verdicts at a weight have nothing to do with an edge and are then as often on
#: either side of it, as in a gap. Chosen by us, as a guard: without it a single such weight would
#: make an edge wide.
LAPSE = 0.001
#: Distance from an edge in widths from which on it no longer matters. Chosen by us, because the
#: chance to be on the other side is 1e-13 there, which is far above rounding.
FAR = 30.0
#: Rounds in which edges and the sides of forming spaces are estimated from each other. Chosen by
#: us, because more rounds change chances by less than a millionth.
ROUNDS = 3


@dataclass(frozen=True)
class EdgeBelief:
    """Posterior of an edge."""

    #: Bounds of the cells, as natural logarithms of weights, ascending.
    bounds: Float64[np.ndarray, " bounds"]
    #: The widths that may be, ascending.
    widths: Float64[np.ndarray, " widths"]
    #: Chance of each place and width; sums to 1. The first row is for places below the search, the
    #: last for places above it.
    mass: Float64[np.ndarray, "places widths"]

    @property
    def places(self) -> Float64[np.ndarray, " places"]:
        """Chance of each place."""
        return self.mass.sum(1)

    @property
    def width(self) -> float:
        """The median of the width."""
        return float(self.widths[np.searchsorted(np.cumsum(self.mass.sum(0)), 0.5)])

    def passed(self, weights: Row) -> Row:
        """Chance that a training at each weight has passed the edge."""
        return np.einsum("kas,as->k", passed(weights, self.bounds, self.widths), self.mass)

    def seeds_of(self, votes: Sequence[Vote]) -> Float64[np.ndarray, " widths"]:
        """The number of seeds that these votes amount to at this edge, if it has each width.

        A vote counts by what it says of the edge's place, p (1 - p), where p is the chance to have
        passed it: a seed that was tried far from the edge says nothing there. The place is a mean
        of the seeds' own edges with these counts as its weights c, whose variance is that of
        (sum c)^2 / sum c^2 seeds that all count the same.
        """
        weights = np.array([vote.weight for vote in votes])
        chances = expit(_distances(weights, self.bounds, self.widths))
        of_votes = np.einsum("kas,as->ks", chances * (1 - chances), self.mass)
        numbers = np.unique([vote.seed for vote in votes], return_inverse=True)[1]
        of_seeds = np.zeros((numbers.max(initial=0) + 1, len(self.widths)))
        np.add.at(of_seeds, numbers, of_votes)
        squares = (of_seeds**2).sum(0)
        return np.divide(of_seeds.sum(0) ** 2, squares, np.ones(len(squares)), where=squares > 0)

    def over_all_seeds(self, tried: Float64[np.ndarray, " widths"]) -> "EdgeBelief":
        """What is believed of the edge over all seeds, if only a number of them were tried.

        The edges of these seeds may lie to one side of most, by a normal error whose variance is
        that of a seed's edge divided by their number.

        Args:
            tried: The number of these seeds for each width of the edge, as of `seeds_of`.
        """
        cells = len(self.bounds) - 1
        moves = np.arange(-cells, cells + 1) * (self.bounds[1] - self.bounds[0])
        # The variance of a logistic of scale s is (pi s)^2 / 3.
        variances = SHARE_OF_SEEDS * (math.pi * self.widths) ** 2 / 3 / tried
        mass = np.zeros_like(self.mass)
        for column, variance in enumerate(variances):
            errors = np.exp(-(moves**2) / variance / 2)
            moved = np.convolve(self.mass[1:-1, column], errors / errors.sum())
            below, within, above = np.split(moved, [cells, 2 * cells])
            mass[:, column] = np.concatenate([[below.sum()], within, [above.sum()]])
        mass[[0, -1]] += self.mass[[0, -1]]
        return replace(self, mass=mass)

    def quantile(self, chance: float) -> float:
        """The place below which the edge lies with a chance; infinite beyond the search."""
        below = np.cumsum(self.places)[:-1]  # at the bounds
        if chance <= below[0]:
            return -math.inf
        if chance > below[-1]:
            return math.inf
        return float(np.interp(chance, below, self.bounds))


@dataclass(frozen=True)
class Belief:
    """What is believed of both edges."""

    left: EdgeBelief
    right: EdgeBelief

    def inside(self, weights: Row) -> Row:
        """Chance that a training at each weight is inside the band."""
        return self.left.passed(weights) * (1 - self.right.passed(weights))

    def of_band(self) -> float:
        """Chance that the left edge lies below the right edge."""
        below = np.cumsum(self.left.places) - self.left.places / 2
        return float(below @ self.right.places)


def believe(votes: Sequence[Vote], search: Search) -> Belief:
    """The posterior after the votes of trainings, which may come in any order.

    A space outside the band may be on either side of it. How probable each side is follows from
    its latents, and from what all other trainings say of the other edge; so the edges are computed
    in turns.
    """
    bounds = np.linspace(math.log(search.low), math.log(search.high), search.cells * PARTS + 1)
    widths = widths_of(search)
    votes = sorted(votes, key=lambda vote: vote.weight)
    weights = np.array([vote.weight for vote in votes], dtype=float)
    distances = _distances(weights, bounds, widths)
    verdicts = _Verdicts(expit(distances), expit(-distances), np.unique(weights, True)[1])
    inside = np.array([vote.side is Side.INSIDE for vote in votes], dtype=bool)
    is_open = np.array([vote.side is Side.OUTSIDE for vote in votes], dtype=bool)
    right = np.array([_right(vote) for vote in votes], dtype=float)
    passed_left, passed_right = np.full((2, len(votes)), 0.5)
    prior = _prior(bounds)
    for _ in range(ROUNDS if is_open.any() else 1):
        # What is right of the band says nothing of the left edge: both chances are the same.
        is_right, is_left = right * passed_right, (1 - right) * (1 - passed_right)
        of_left = np.where(inside, 1, is_right / (2 * is_right + is_left))
        of_right = np.where(inside, 0, right / (right + (1 - right) * (1 - passed_left)))
        left_mass = verdicts.posterior(of_left, prior)
        right_mass = verdicts.posterior(of_right, prior)
        passed_left[is_open] = verdicts.by_others(of_left, left_mass, is_open)
        passed_right[is_open] = verdicts.by_others(of_right, right_mass, is_open)
    return Belief(*(EdgeBelief(bounds, widths, mass) for mass in (left_mass, right_mass)))


@dataclass(frozen=True)
class _Verdicts:
    """The verdicts of trainings on an edge, in ascending order of their weights."""

    #: Chance that each training has passed the edge, and that it has not, for each place and width
    #: of the edge.
    passed: Float64[np.ndarray, "votes places widths"]
    not_passed: Float64[np.ndarray, "votes places widths"]
    #: The place of the first training at each weight.
    first: Int64[np.ndarray, " weights"]

    def chances(self, share: Row) -> Float64[np.ndarray, "votes places widths"]:
        """Chance of each verdict, up to a factor.

        Args:
            share: Chance of the verdict if the training has passed the edge, divided by the sum of
                this and its chance if it has not: 0 or 1 where the verdict says so, and 0.5 where
                it says nothing of this edge.
        """
        part = share[:, None, None]
        return part * self.passed + (1 - part) * self.not_passed

    def posterior(
        self, share: Row, prior: Float64[np.ndarray, "places 1"]
    ) -> Float64[np.ndarray, "places widths"]:
        """The posterior of the edge."""
        likelihood = np.zeros_like(prior)
        for of_weight in np.split(self.chances(share), self.first[1:]):
            by_lapse = 0.5 ** len(of_weight)
            likelihood = likelihood + np.log((1 - LAPSE) * of_weight.prod(0) + LAPSE * by_lapse)
        posterior: Float64[np.ndarray, "places widths"] = softmax(np.log(prior) + likelihood)
        return posterior

    def by_others(
        self, share: Row, mass: Float64[np.ndarray, "places widths"], which: Bool[np.ndarray, " k"]
    ) -> Float64[np.ndarray, " which"]:
        """Chance that some trainings have passed the edge, by what all others say."""
        without = mass / ((1 - LAPSE) * self.chances(share)[which] + LAPSE / 2)
        chance = (without * self.passed[which]).sum((1, 2)) / without.sum((1, 2))
        return np.clip(chance, LAPSE, 1 - LAPSE)


def widths_of(search: Search) -> Row:
    """The widths that an edge may have, ascending; before any training all have the same chance.

    The spread of the narrowest is as fine as edges are wanted. A single seed repeats its verdicts,
    so that its edge is narrower still.
    """
    least = math.log(search.factor) / SPREAD
    if len(search.seeds) == 1:
        return np.array([least / 2])
    doublings = math.ceil(math.log2(max(WIDEST / least, 1)))
    return np.array([least * 2**doubling for doubling in range(doublings + 1)])


def passed(
    weights: Row, bounds: Float64[np.ndarray, " bounds"], widths: Float64[np.ndarray, " widths"]
) -> Float64[np.ndarray, "k places widths"]:
    """Chance that a training has passed an edge, for each weight, place and width of the edge."""
    return LAPSE / 2 + (1 - LAPSE) * expit(_distances(weights, bounds, widths))


def _distances(
    weights: Row, bounds: Float64[np.ndarray, " bounds"], widths: Float64[np.ndarray, " widths"]
) -> Float64[np.ndarray, "k places widths"]:
    """How far each weight is past each place, in widths; beyond FAR it does not matter."""
    distances = (np.log(weights)[:, None] - middles(bounds))[:, :, None] / widths
    return np.clip(distances, -FAR, FAR)


def middles(bounds: Float64[np.ndarray, " bounds"]) -> Float64[np.ndarray, " places"]:
    """The places of an edge: the middles of the cells, and infinity beyond either end."""
    return np.concatenate([[-np.inf], (bounds[1:] + bounds[:-1]) / 2, [np.inf]])


def _right(vote: Vote) -> float:
    """How far a vote counts as right of the band before the edges are known."""
    match vote.side:
        case Side.RIGHT:
            return 1.0
        case Side.OUTSIDE:
            return vote.right
    return 0.0


def _prior(bounds: Float64[np.ndarray, " bounds"]) -> Float64[np.ndarray, "places 1"]:
    """The prior of places: uniform on the log axis; all widths have the same chance."""
    axis = np.full(len(bounds) - 1, 1 / (len(bounds) - 1))
    return np.concatenate([[BEYOND_THE_END], axis, [BEYOND_THE_END]])[:, None]
