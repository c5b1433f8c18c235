"""The band at every budget that its trainings have passed, and how its edges move.

Every training is evaluated on its way, so trainings for one budget say where the edges were at all
smaller budgets.
"""

import math
from collections.abc import Sequence

import numpy as np

from polar.ranges.belief import believe
from polar.ranges.edges import envelope_of, is_known
from polar.ranges.search import Search
from polar.ranges.votes import Training, votes_of
from polar.records.ranges import AtBudget, Edge, Interval, Movement

#: Most budgets at which the edges are computed.
MOST_BUDGETS = 40


def by_steps(trainings: Sequence[Training], search: Search) -> tuple[AtBudget, ...]:
    """The band at every budget at which trainings were evaluated, in ascending order."""
    passed = {seen.steps for training in trainings for seen in training.course}
    budgets = sorted(passed | {at for at in search.budgets if at <= max(passed, default=0)})
    if len(budgets) > MOST_BUDGETS:
        places = np.linspace(0, len(budgets) - 1, MOST_BUDGETS).round().astype(int)
        budgets = [budgets[place] for place in places]
    return tuple(_at(budget, trainings, search) for budget in budgets)


def _at(budget: int, trainings: Sequence[Training], search: Search) -> AtBudget:
    return AtBudget(
        steps=budget,
        trainings=sum(training.at(budget) is not None for training in trainings),
        envelope=_envelope(budget, trainings, search),
    )


def _envelope(budget: int, trainings: Sequence[Training], search: Search) -> Interval | None:
    votes = votes_of(trainings, budget, search.of)
    return envelope_of(votes, believe(votes, search), search)


def with_movement(
    envelope: Interval, budget: int, trainings: Sequence[Training], search: Search
) -> Interval:
    """The edges with how they have moved since the last evaluations at half the budget or less."""
    earlier = {seen.steps for training in trainings for seen in training.course}
    before = max((steps for steps in earlier if 2 * steps <= budget), default=None)
    if before is None:
        return envelope
    past = _envelope(before, trainings, search)
    doublings = math.log2(budget / before)
    return Interval(
        left=_moved(envelope.left, past.left if past else None, doublings, search),
        right=_moved(envelope.right, past.right if past else None, doublings, search),
    )


def _moved(now: Edge, past: Edge | None, doublings: float, search: Search) -> Edge:
    movement = movement_of(now, past, doublings, search)
    return now.model_copy(update={"movement": movement})


def movement_of(now: Edge, past: Edge | None, doublings: float, search: Search) -> Movement:
    """How an edge moves per doubling of the steps, from its intervals at two budgets.

    An edge moves if the intervals do not overlap. It is settled if both are as fine as wanted and
    it has moved by no more than that. Otherwise nothing is said.

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
    elif is_known(now, search) and is_known(past, search):
        still = factor is not None and search.is_fine(min(factor, 1.0), max(factor, 1.0))
        is_settled = True if still else None
    return Movement(is_settled=is_settled, factor=factor, low=low, high=high)


def _ratio(now: float | None, past: float | None, doublings: float) -> float | None:
    if now is None or past is None:
        return None
    ratio: float = (now / past) ** (1 / doublings)
    return ratio
