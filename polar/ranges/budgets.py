"""The band at every budget that its trainings have passed.

Every training is evaluated on its way, so trainings for one budget say where the edges were at all
smaller budgets.
"""

from collections.abc import Sequence

import numpy as np

from polar.ranges.belief import believe
from polar.ranges.edges import envelope_of
from polar.ranges.search import Search
from polar.ranges.votes import Training, votes_of
from polar.records.ranges import AtBudget, Interval

#: Most budgets at which the edges are computed, those of the search excluded. Chosen by us: it is
#: more than what the default schedule of evaluations has up to 100,000 steps.
MOST_BUDGETS = 40


def by_steps(trainings: Sequence[Training], search: Search) -> tuple[AtBudget, ...]:
    """The band at the budgets of the search and those of the evaluations, in ascending order.

    Where trainings were evaluated at more steps than `MOST_BUDGETS`, so many of these are taken,
    evenly spread in their order, with the first and the last.
    """
    passed = sorted({seen.steps for training in trainings for seen in training.course})
    searched = {budget for budget in search.budgets if budget <= max(passed, default=0)}
    places = np.linspace(0, len(passed) - 1, min(len(passed), MOST_BUDGETS)).round().astype(int)
    budgets = sorted(searched.union(passed[place] for place in places))
    return tuple(_at(budget, trainings, search) for budget in budgets)


def _at(budget: int, trainings: Sequence[Training], search: Search) -> AtBudget:
    return AtBudget(
        steps=budget,
        trainings=sum(
            training.steps >= budget and training.at(budget) is not None for training in trainings
        ),
        envelope=_envelope(budget, trainings, search),
    )


def _envelope(budget: int, trainings: Sequence[Training], search: Search) -> Interval | None:
    votes = votes_of(trainings, budget, search.of)
    return envelope_of(votes, believe(votes, search), search)
