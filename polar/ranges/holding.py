"""How far the band is held: the edges for trainings that go on from inside it.

A training from scratch and a training that goes on from the end of another may come to different
ends at the same weight. Where the second starts inside the band and stays there, the band is held.
It may be held beyond the edges from scratch, which is hysteresis.

Notation:
    donor: the training from whose end another goes on. It is from scratch, inside the band at the
        budget, has made the steps, and has the same seed. The other makes as many steps as the
        budget.
"""

from collections.abc import Sequence

from polar.ranges.level import Level
from polar.ranges.search import InFlight
from polar.ranges.votes import Side, Training
from polar.records.ranges import Interval


def holding(level: Level, held: Sequence[Training], in_flight: InFlight) -> Level:
    """The search for the held edges at the budget of a level.

    Trainings from scratch inside the band count as held at their own weights, and are donors if
    they have made the steps: a training that settled before would have to be trained on first.
    Trainings from scratch outside the band say nothing of how far it is held.

    Args:
        level: The search with trainings from scratch.
        held: The trainings that go on from others, of any number of steps.
        in_flight: Those of them that have no outcome.
    """
    votes = ((each, each.vote(level.budget, level.search.of)) for each in level.trainings)
    inside = [each for each, vote in votes if vote is not None and vote.side is Side.INSIDE]
    donors = [each for each in inside if each.steps >= level.budget]
    ended = [
        each for each in held if each.steps <= level.budget and each.at(level.budget) is not None
    ]
    flying = [action for action in in_flight if action.steps == level.budget]
    return Level([*inside, *ended], flying, level.search, level.budget, donors)


def held_edges(level: Level, held: Sequence[Training]) -> Interval | None:
    """The held edges at the budget of a level; None without a band, and if nothing shows them.

    Args:
        level: The search with trainings from scratch.
        held: The trainings that go on from others, of any number of steps.
    """
    if level.envelope is None:
        return None
    on = holding(level, held, ())
    has_any = any(each.warm_start is not None for each in on.trainings)
    return on.envelope if has_any else None
