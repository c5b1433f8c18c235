"""The outer edges of the band at one budget, and how closely they are known."""

import math
from collections.abc import Collection, Mapping, Sequence

from polar.ranges.belief import SPREAD, Belief, EdgeBelief
from polar.ranges.search import Search
from polar.ranges.votes import Side, Training, Vote
from polar.records.ranges import Edge, Interval

#: Whether each training has passed an edge, by its weight and seed.
Passed = Mapping[tuple[float, int], bool]

#: Chance that an edge lies in the interval that is stated for it.
CONFIDENCE = 0.9


def envelope_of(votes: Sequence[Vote], belief: Belief, search: Search) -> Interval | None:
    """The outer edges of the band; None if there is none, or more probably none than one.

    A single seed gives the tested weights between which its own verdict changes, several seeds
    give the 90 % intervals of the weights that half of the seeds have passed.
    """
    inside = [vote.weight for vote in votes if vote.side is Side.INSIDE]
    if not inside or belief.of_band() < 0.5:
        return None
    # What is right of the band says nothing of the left edge, even at weights below it.
    of_left = [vote for vote in votes if vote.side is not Side.RIGHT]
    if len({vote.seed for vote in votes}) > 1:
        left = belief.left.over_all_seeds(belief.left.seeds_of(of_left))
        right = belief.right.over_all_seeds(belief.right.seeds_of(votes))
        band = Interval(left=_edge(left, search), right=_edge(right, search))
        return Interval(
            left=_with_width(band.left, left, passed_left(votes, band)),
            right=_with_width(band.right, right, passed_right(votes, band)),
        )
    # What is left of the band, even at weights above it, is no bound of the right edge.
    of_right = [vote for vote in votes if vote.side is not Side.LEFT]
    below = max((vote.weight for vote in of_left if vote.weight < min(inside)), default=None)
    above = min((vote.weight for vote in of_right if vote.weight > max(inside)), default=None)
    return Interval(
        left=Edge(low=below, high=min(inside), confidence=None),
        right=Edge(low=max(inside), high=above, confidence=None),
    )


def _edge(belief: EdgeBelief, search: Search) -> Edge:
    low, at, high = (belief.quantile(q) for q in ((1 - CONFIDENCE) / 2, 0.5, (1 + CONFIDENCE) / 2))
    is_open = not math.isfinite(low) or not math.isfinite(high)
    return Edge(
        low=search.high if low == math.inf else _weight(low),
        high=search.low if high == -math.inf else _weight(high),
        confidence=CONFIDENCE,
        at=None if is_open else math.exp(at),
    )


def _with_width(edge: Edge, belief: EdgeBelief, passed: Passed) -> Edge:
    """An edge with its width, if verdicts next to it show one.

    They do where a training has passed the edge that another, at no smaller weight, has not.
    Without any the belief says only that the edge is not wide.
    """
    near = _near(edge, passed)
    last = max((weight for (weight, _), has_passed in near.items() if not has_passed), default=0.0)
    differ = any(weight <= last for (weight, _), has_passed in near.items() if has_passed)
    return edge.model_copy(update={"width": belief.width}) if differ else edge


def _weight(log: float) -> float | None:
    return math.exp(log) if math.isfinite(log) else None


def is_known(edge: Edge, search: Search) -> bool:
    """Whether an edge is known as finely as the search wants, or as its seeds allow.

    Where seeds differ, they allow an interval for their half that is as wide as the weights
    between which they do: where in these the half lies says little about a single training.
    """
    if edge.low is None or edge.high is None:
        return False
    differ = SPREAD * edge.width if edge.width is not None else 0.0
    return search.is_fine(edge.low, edge.high) or math.log(edge.high / edge.low) <= differ


def is_done(edge: Edge, search: Search) -> bool:
    """Whether no more trainings are needed for an edge: it is known, or beyond the search.

    For a single seed it is beyond the search where the training at the search's end is inside the
    band. Where several are searched, the interval over seeds has to lie there.
    """
    beyond = (edge.low, edge.high) in ((None, search.low), (search.high, None))
    is_over_seeds = edge.confidence is not None
    return is_known(edge, search) or (beyond and (is_over_seeds or len(search.seeds) == 1))


def next_to(edge: Edge, trainings: Sequence[Training]) -> list[Training]:
    """The trainings in the interval of an edge, and at the nearest weights on both sides of it.

    Where an edge is open, all trainings on its open side.
    """
    first, last = _neighbours(edge, [training.weight for training in trainings])
    return [training for training in trainings if first <= training.weight <= last]


def _near(edge: Edge, passed: Passed) -> dict[tuple[float, int], bool]:
    """What trainings next to an edge say of it, as `next_to`."""
    first, last = _neighbours(edge, [weight for weight, _ in passed])
    return {
        (weight, seed): has_passed
        for (weight, seed), has_passed in passed.items()
        if first <= weight <= last
    }


def _neighbours(edge: Edge, weights: Sequence[float]) -> tuple[float, float]:
    """The nearest weights on both sides of an edge's interval; the outermost where it is open."""
    low = edge.low or min(weights, default=0.0)
    high = edge.high or max(weights, default=0.0)
    first = max((weight for weight in weights if weight <= low), default=low)
    return first, min((weight for weight in weights if weight >= high), default=high)


def passed_left(votes: Sequence[Vote], band: Interval) -> dict[tuple[float, int], bool]:
    """Whether each training has passed the left edge; without those right of the band.

    What is outside on either side is right of the band if it lies right of its middle.
    """
    middle = _middle(band)
    return {
        (vote.weight, vote.seed): vote.side is Side.INSIDE
        for vote in votes
        if vote.side in (Side.INSIDE, Side.LEFT)
        or (vote.side is Side.OUTSIDE and vote.weight < middle)
    }


def passed_right(votes: Sequence[Vote], band: Interval) -> dict[tuple[float, int], bool]:
    """Whether each training has passed the right edge, as `passed_left`."""
    middle = _middle(band)
    return {
        (vote.weight, vote.seed): vote.side is Side.RIGHT
        or (vote.side is Side.OUTSIDE and vote.weight >= middle)
        for vote in votes
    }


def _middle(band: Interval) -> float:
    """The weight in the middle of a band; the other edge where an end is open."""
    left, right = band.left.middle, band.right.middle
    return math.sqrt(left * right) if left and right else left or right or math.inf


def rest_on(
    made: Collection[tuple[float, int]], band: Interval, votes: Sequence[Vote]
) -> tuple[bool, bool]:
    """Whether each edge of a band at a budget rests on trainings that have made so many steps.

    Each training next to an edge has passed it or has not. The edge rests on those that have made
    the steps if they show the same as all: both kinds where both exist.

    Args:
        made: The weights and seeds of the trainings that have made the steps.
        band: The edges by all votes.
        votes: All votes, among them those of trainings that settled before.
    """
    left = _near(band.left, passed_left(votes, band))
    right = _near(band.right, passed_right(votes, band))
    left_sides, right_sides = (
        {near[training] for training in near.keys() & made} for near in (left, right)
    )
    return left_sides == set(left.values()), right_sides == set(right.values())
