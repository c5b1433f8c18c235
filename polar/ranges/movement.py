"""How the edges of the band move with the budget.

Trainings for a budget were evaluated on their way, so that the same trainings show an edge at two
budgets. Where seeds differ, the intervals at both are wide and say little about a movement. But a
training that differs from most at one budget mostly does so at the other too, so that a movement
shows in the trainings whose verdict has changed in between.

Notation:
    m: movement, the natural logarithm of the edge's weight at a budget divided by that at an
        earlier budget.
"""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64
from scipy.special import expit, softmax

from polar.ranges.belief import FAR, LAPSE, Belief, EdgeBelief, believe, middles
from polar.ranges.edges import (
    CONFIDENCE,
    Passed,
    envelope_of,
    passed_left,
    passed_right,
    rest_on,
)
from polar.ranges.search import Search
from polar.ranges.votes import Training, own_votes_of, votes_of
from polar.records.ranges import Edge, Interval, Movement

#: Chance that what makes a training differ from others is drawn anew between two budgets. Chosen
#: by us, as a guard: without it no two verdicts could change in opposite directions.
DRAWN_ANEW = 0.1
#: Places and widths of an edge are left out if their chance is less than this part of the largest,
#: for speed. Chosen by us.
LEAST_CHANCE_PART = 0.01


def with_movement(
    envelope: Interval,
    belief: Belief,
    budget: int,
    trainings: Sequence[Training],
    search: Search,
) -> Interval:
    """The edges with how they have moved since the last evaluations at half the budget or less.

    Only trainings that have made the steps count at either budget: what settled before would be
    compared with itself. An edge that does not rest on them gets no movement.

    Args:
        envelope: The edges at the budget.
        belief: What is believed of them, by the same trainings.
        budget: The number of steps for which they are the edges.
        trainings: All trainings, whichever of them have a verdict at the budget.
        search: How finely the edges are wanted.
    """
    earlier = {seen.steps for training in trainings for seen in training.course}
    before = max((steps for steps in earlier if 2 * steps <= budget), default=None)
    if before is None:
        return envelope
    doublings = math.log2(budget / before)
    all_votes = votes_of(trainings, budget, search.of)
    votes, past_votes = (own_votes_of(trainings, at, search.of) for at in (budget, before))
    now: Interval | None = envelope
    if len(votes) < len(all_votes):
        belief = believe(votes, search)
        now = envelope_of(votes, belief, search)
    past = envelope_of(past_votes, believe(past_votes, search), search)
    if now is None:
        return envelope
    made = {(vote.weight, vote.seed) for vote in votes}
    of_left, of_right = rest_on(made, envelope, all_votes)
    left = right = None
    if of_left:
        if past and now.left.at and past.left.at:
            passed = passed_left(votes, now), passed_left(past_votes, past)
            left = movement_over_seeds(belief.left, *passed, doublings, search)
        else:
            left = movement_of(now.left, past.left if past else None, doublings, search)
    if of_right:
        if past and now.right.at and past.right.at:
            passed = passed_right(votes, now), passed_right(past_votes, past)
            right = movement_over_seeds(belief.right, *passed, doublings, search)
        else:
            right = movement_of(now.right, past.right if past else None, doublings, search)
    return Interval(
        left=envelope.left.model_copy(update={"movement": left}),
        right=envelope.right.model_copy(update={"movement": right}),
    )


def movement_of(now: Edge, past: Edge | None, doublings: float, search: Search) -> Movement:
    """How an edge moves per doubling of the steps, by its intervals at two budgets.

    An edge moves if the intervals do not overlap. It is settled if they do and no two weights of
    them differ by more than the factor that is wanted. Otherwise nothing is said.

    Args:
        now: The edge at a budget.
        past: The edge at an earlier budget; None if there was no band.
        doublings: How often the earlier budget is doubled to give the budget; above 0.
        search: How finely the edges are wanted.
    """
    if past is None:
        return Movement(is_settled=None, factor=None, low=None, high=None)
    factor = _ratio(now.middle, past.middle, doublings)
    low, high = _ratio(now.low, past.high, doublings), _ratio(now.high, past.low, doublings)
    is_settled = None
    if (low is not None and low > 1) or (high is not None and high < 1):
        is_settled = False
    elif _is_within(now.high, past.low, search) and _is_within(past.high, now.low, search):
        is_settled = True
    return Movement(is_settled=is_settled, factor=factor, low=low, high=high)


def movement_over_seeds(
    edge: EdgeBelief, now: Passed, then: Passed, doublings: float, search: Search
) -> Movement:
    """How an edge moves per doubling of the steps, by the verdicts of trainings at two budgets.

    The edge is settled if the 90 % interval of m lies within the factor that is wanted, over all
    the doublings together. Otherwise it moves if the interval does not contain 0.

    Args:
        edge: What is believed of the edge at a budget.
        now: Whether each training has passed it at that budget.
        then: The same for an earlier budget.
        doublings: How often the earlier budget is doubled to give the budget; above 0.
        search: How finely the edges are wanted.
    """
    ends = ((1 - CONFIDENCE) / 2, 0.5, (1 + CONFIDENCE) / 2)
    low, middle, high = _quantiles(edge, now, then, ends)
    is_settled = None
    if search.is_fine(1.0, math.exp(max(-low, high))):
        is_settled = True
    elif low > 0 or high < 0:
        is_settled = False
    return Movement(
        is_settled=is_settled,
        factor=math.exp(middle / doublings),
        low=math.exp(low / doublings),
        high=math.exp(high / doublings),
    )


def _quantiles(
    edge: EdgeBelief, now: Passed, then: Passed, chances: Sequence[float]
) -> Float64[np.ndarray, " chances"]:
    """Quantiles of m, whose prior is uniform.

    What makes a training differ from others stays, so that its verdict changes where the edge has
    moved past it and nowhere else; or it is drawn anew.
    """
    mass = edge.mass[1:-1]
    place, width = np.nonzero(mass >= LEAST_CHANCE_PART * mass.max())
    places, widths = middles(edge.bounds)[1:-1][place, None], edge.widths[width, None]
    cells, cell = len(edge.bounds) - 1, edge.bounds[1] - edge.bounds[0]
    moves = cell * np.arange(-cells, cells + 1)
    likelihood = np.log(mass[place, width])[:, None] + np.zeros(len(moves))
    for training, had_passed in sorted(then.items()):
        distance = (math.log(training[0]) - places) / widths
        at_the_time, at_present = _chance(distance + moves / widths), _chance(distance)
        if not had_passed:
            at_the_time, at_present = 1 - at_the_time, 1 - at_present
        chance = at_the_time
        if training in now:
            if now[training] is had_passed:
                kept = np.minimum(at_the_time / at_present, 1)
            else:
                kept = 1 - np.minimum((1 - at_the_time) / (1 - at_present), 1)
            chance = (1 - DRAWN_ANEW) * kept + DRAWN_ANEW * at_the_time
        likelihood += np.log((1 - LAPSE) * chance + LAPSE / 2)
    return np.interp(chances, np.cumsum(softmax(likelihood).sum(0)), moves + cell / 2)


def _chance(distance: Float64[np.ndarray, "edges moves"]) -> Float64[np.ndarray, "edges moves"]:
    """Chance that a training has passed an edge, by its distance in widths."""
    return expit(np.clip(distance, -FAR, FAR))


def _is_within(high: float | None, low: float | None, search: Search) -> bool:
    return low is not None and high is not None and search.is_fine(low, high)


def _ratio(now: float | None, past: float | None, doublings: float) -> float | None:
    if now is None or past is None:
        return None
    ratio: float = (now / past) ** (1 / doublings)
    return ratio
