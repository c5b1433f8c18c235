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

#: Most budgets at which the edges are computed. Chosen by us for speed: with 30 trainings of 12
#: seeds the beliefs at 40 budgets take 0.2 s.
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
        trainings=sum(
            training.steps >= budget and training.at(budget) is not None for training in trainings
        ),
        envelope=_envelope(budget, trainings, search),
    )


def _envelope(budget: int, trainings: Sequence[Training], search: Search) -> Interval | None:
    votes = votes_of(trainings, budget, search.of)
    return envelope_of(votes, believe(votes, search), search)
