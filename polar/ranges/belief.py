"""The belief about the two edges of the band: a posterior over the place and width of each.

Over seeds, the chance that a training at weight w has passed an edge is a logistic function of
ln w: verdicts flip between seeds close to the edge, and hardly ever far from it. A training is
right of the band if it has passed the right edge. If it has not, it is inside the band where it
has passed the left edge, and left of the band where it has not. So the likelihood is a product of
a factor for each edge, and the edges are independent.

Notation:
    a: place of an edge, the natural logarithm of the weight that half of the seeds have passed.
    s: width of an edge, the scale of the logistic, in natural logarithms of the weight.
    places: the middles of the cells of the axis, and one place beyond either end.
    bounds: the ends of the cells, one fewer than the places.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64
from scipy.special import expit, log_expit, softmax

from polar.ranges.search import Search
from polar.ranges.votes import Side, Vote

Row = Float64[np.ndarray, " k"]

#: Cells of the belief for each cell of the search. Chosen by us, so that the ends of an interval
#: are computed to a quarter of what is wanted, and interpolated between.
PARTS = 4
#: Widths that may be, each with the same chance before any training. Chosen by us: from one seed
#: in eight to seven in eight, they stretch over factors of 1.04 to 12 of the weight.
WIDTHS = 0.01 * 2.0 ** np.arange(7)
#: Prior mass of an edge beyond either end of the search, where the axis has mass 1. Chosen by us.
BEYOND_THE_END = 0.1
#: Chance that the verdicts at a weight have nothing to do with an edge and are then as often on
#: either side of it, as in a gap. Chosen by us, as a guard: without it a single such weight would
#: make an edge wide.
LAPSE = 0.001
#: Distance from an edge in widths from which on all trainings count as past it.
FAR = 50.0
#: Rounds in which edges and the sides of forming spaces are estimated from each other. Chosen by
#: us, because more rounds change chances by less than a hundredth.
ROUNDS = 6


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

    def passed_at(self, weights: Row) -> Float64[np.ndarray, "k places"]:
        """Chance that a training at each weight has passed the edge, for each place."""
        chances = np.einsum("kas,as->ka", passed(weights, self.bounds, self.widths), self.mass)
        return chances / np.maximum(self.places, np.finfo(float).tiny)

    def passed(self, weights: Row) -> Row:
        """Chance that a training at each weight has passed the edge."""
        return np.einsum("kas,as->k", passed(weights, self.bounds, self.widths), self.mass)

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

    A space outside the band counts in part as left and in part as right of it. The parts follow
    from its latents and from the edges, and the edges follow from the parts, so they are estimated
    in turns.
    """
    bounds = np.linspace(math.log(search.low), math.log(search.high), search.cells * PARTS + 1)
    # a single seed repeats its verdicts
    widths = WIDTHS if len(search.seeds) > 1 else WIDTHS[:1]
    weights, at = np.unique([vote.weight for vote in votes], return_inverse=True)
    distances = _distances(weights, bounds, widths)
    logs = log_expit(distances), log_expit(-distances)
    chances = passed(weights, bounds, widths)
    inside = np.array([vote.side is Side.INSIDE for vote in votes], dtype=float)
    is_open = np.array([vote.side is Side.OUTSIDE for vote in votes], dtype=bool)
    by_latents = np.array([_right(vote) for vote in votes], dtype=float)
    right = by_latents
    prior = _prior(bounds)
    for _ in range(ROUNDS):
        parts = (inside, (1 - inside) * (1 - right), right, 1 - right)
        inner, left, past, before = (
            np.bincount(at, part, len(weights)).astype(float) for part in parts
        )
        left_mass = _posterior(prior, logs, inner, left)
        right_mass = _posterior(prior, logs, past, before)
        is_right = by_latents * np.einsum("kas,as->k", chances, right_mass)[at]
        is_left = (1 - by_latents) * np.einsum("kas,as->k", 1 - chances, left_mass)[at]
        right = np.where(is_open, is_right / (is_right + is_left), by_latents)
    return Belief(*(EdgeBelief(bounds, widths, mass) for mass in (left_mass, right_mass)))


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


def _posterior(
    prior: Float64[np.ndarray, "places 1"],
    logs: tuple[Float64[np.ndarray, "k places widths"], Float64[np.ndarray, "k places widths"]],
    have: Row,
    have_not: Row,
) -> Float64[np.ndarray, "places widths"]:
    """The posterior where these numbers of trainings have passed the edge at each weight.

    The logarithms are those of the chances that a training has passed the edge, and that it has
    not.
    """
    passed_it, not_passed = have[:, None, None], have_not[:, None, None]
    by_edge = passed_it * logs[0] + not_passed * logs[1]
    by_lapse = math.log(LAPSE) - (passed_it + not_passed) * math.log(2)
    likelihood = np.logaddexp(math.log1p(-LAPSE) + by_edge, by_lapse).sum(0)
    posterior: Float64[np.ndarray, "places widths"] = softmax(np.log(prior) + likelihood)
    return posterior
