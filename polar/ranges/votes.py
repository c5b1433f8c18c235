"""What each training says about the band at a budget, whatever budget it was trained for.

A training is known by its weight and its seed, and by the weight of the training that it goes on
from, if it does. Its verdict at a budget is that of its last evaluation up to there. A training
that ended before has a verdict only if it had settled.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from polar.ranges.search import History, canonical
from polar.records.latents import Flaw, Regime
from polar.records.ranges import Observation, Of, Snapshot

#: An evaluation stands for a larger budget up to this factor, because evaluations seldom fall on
#: a budget exactly. Chosen by us, because neighbouring evaluations are closer than this where
#: there are at least two while the number of steps doubles.
STANDS_FOR = 1.5
#: Odds with which an idle latent says that a forming space is left of the band. Chosen by us,
#: because nets that still learn to do without a latent leave it idle before it is passive.
IDLE_IS_LEFT = 4.0


class Side(StrEnum):
    """Where a training is by its verdict."""

    LEFT = "left"
    INSIDE = "inside"
    RIGHT = "right"
    #: On either side of the band.
    OUTSIDE = "outside"


@dataclass(frozen=True)
class Vote:
    """What a training says about the edges."""

    weight: float
    seed: int
    side: Side
    #: Chance that the training is right of the band if it is outside, by its latents alone.
    right: float


@dataclass(frozen=True)
class Training:
    """A training with all that it has shown."""

    weight: float
    seed: int
    #: Its evaluations in ascending order of their steps.
    course: tuple[Snapshot, ...]
    #: Whether it has settled by its end; None if that is not known.
    settled: bool | None
    #: Weight of the training from whose end it goes on; None from scratch.
    warm_start: float | None = None

    @property
    def steps(self) -> int:
        """The number of steps that it has behind it."""
        return self.course[-1].steps

    def at(self, budget: int) -> Snapshot | None:
        """What it shows at a budget; None if that is not known."""
        seen = next((seen for seen in reversed(self.course) if seen.steps <= budget), None)
        if seen is None:
            return None
        stands = self.settled if self.steps < budget else budget <= seen.steps * STANDS_FOR
        return seen if stands or seen.steps == budget else None

    def vote(self, budget: int, of: Of) -> Vote | None:
        """What it says about the edges at a budget; None if it says nothing."""
        seen = self.at(budget)
        went_on = self.warm_start is not None
        side = None if seen is None else _side(seen, of, went_on=went_on)
        if seen is None or side is None:
            return None
        return Vote(self.weight, self.seed, side, _right(seen))


def trainings_of(history: History) -> list[Training]:
    """The trainings in ascending order of weight and seed, each with all its observations."""
    ends: dict[tuple[float, int, float | None], list[Observation]] = defaultdict(list)
    for seen in canonical(history):
        ends[seen.weight, seen.seed, seen.warm_start].append(seen)
    return [
        Training(weight, seed, _course(seen), seen[-1].settled, warm_start)
        for (weight, seed, warm_start), seen in ends.items()
    ]


def votes_of(trainings: Sequence[Training], budget: int, of: Of) -> list[Vote]:
    """The votes of all trainings that say something at a budget."""
    votes = (training.vote(budget, of) for training in trainings)
    return [vote for vote in votes if vote is not None]


def own_votes_of(trainings: Sequence[Training], budget: int, of: Of) -> list[Vote]:
    """The votes at a budget of the trainings that have made so many steps.

    The others settled before, and their verdicts are only taken to hold.
    """
    return votes_of([each for each in trainings if each.steps >= budget], budget, of)


def _course(ends: Sequence[Observation]) -> tuple[Snapshot, ...]:
    seen = [passed for end in ends for passed in (*end.trajectory, end)]
    by_steps = {passed.steps: passed for passed in seen}
    return tuple(by_steps[steps] for steps in sorted(by_steps))


def _side(seen: Snapshot, of: Of, *, went_on: bool) -> Side | None:
    match seen.regime:
        case Regime.UNTRAINED:
            # What went on explained something at its start, and explains nothing any more.
            return Side.RIGHT if went_on else None
        case Regime.COLLAPSED:
            return Side.RIGHT
        case Regime.UNDER_REGULARISED:
            return Side.LEFT
    return Side.INSIDE if seen.is_inside(of) else Side.OUTSIDE


def _right(seen: Snapshot) -> float:
    """Few active latents suggest right of the band, and many left of it."""
    if seen.n_active is None or seen.n_passive is None:
        return 0.5
    odds = (seen.n_passive + 1) / (seen.n_active + 1)
    if Flaw.IDLE in seen.flaws:
        odds /= IDLE_IS_LEFT
    return odds / (1 + odds)
