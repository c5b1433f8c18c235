"""The search at one of its budgets: what is known there, and which trainings may be started."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

from polar.ranges.belief import Belief, believe
from polar.ranges.edges import envelope_of, is_done, next_to, rest_on
from polar.ranges.movement import with_movement
from polar.ranges.search import InFlight, Search
from polar.ranges.votes import Side, Training, Vote, votes_of
from polar.records.latents import Regime
from polar.records.ranges import Action, Edge, Interval


@dataclass(frozen=True)
class Level:
    """The search at one of its budgets."""

    trainings: Sequence[Training]
    in_flight: InFlight
    search: Search
    #: Number of steps for which the edges are searched.
    budget: int
    #: The trainings from whose ends new trainings go on; None where they begin from scratch.
    donors: Sequence[Training] | None = None

    @cached_property
    def votes(self) -> list[Vote]:
        """What the trainings say about the edges at this budget."""
        return votes_of(self.trainings, self.budget, self.search.of)

    @cached_property
    def belief(self) -> Belief:
        """What is believed of the edges at this budget."""
        return believe(self.votes, self.search)

    @cached_property
    def envelope(self) -> Interval | None:
        """The outer edges at this budget; None without a band."""
        return envelope_of(self.votes, self.belief, self.search)

    @property
    def is_done(self) -> bool:
        """Whether no more trainings are needed for either edge."""
        return bool(self.edges) and all(is_done(edge, self.search) for edge in self.edges)

    @property
    def edges(self) -> tuple[Edge, ...]:
        """Both outer edges; none without a band."""
        return (self.envelope.left, self.envelope.right) if self.envelope else ()

    @property
    def is_made(self) -> bool:
        """Whether an edge rests on trainings that have made so many steps.

        The other may rest on trainings that settled before.
        """
        made = {(each.weight, each.seed) for each in self.trainings if each.steps >= self.budget}
        return self.envelope is not None and any(rest_on(made, self.envelope, self.votes))

    @property
    def is_made_by_all(self) -> bool:
        """Whether all trainings next to an edge have made so many steps."""
        near = [each for edge in self.edges for each in next_to(edge, self.trainings)]
        return bool(near) and all(training.steps >= self.budget for training in near)

    def may_change(self) -> bool:
        """Whether more steps may change the answer.

        They may if training has not begun somewhere, if an edge is not known to stand still next
        to which a training has not settled, or without a band if a training has not settled.
        """
        shown = [training.at(self.budget) for training in self.trainings]
        if any(seen is not None and seen.regime is Regime.UNTRAINED for seen in shown):
            return True
        if self.envelope is None:
            return not all(training.settled for training in self.trainings)
        moved = with_movement(self.envelope, self.belief, self.budget, self.trainings, self.search)
        restless = [
            edge
            for edge in (moved.left, moved.right)
            if not (edge.movement and edge.movement.is_settled)
        ]
        near = [each for edge in restless for each in next_to(edge, self.trainings)]
        return not all(training.settled for training in near)

    def training_at(self, weight: float) -> Action | None:
        """The cheapest training at a weight that gives a verdict for this budget.

        It continues the longest training that can go on, or else begins one with the seed whose
        nearest training is farthest from it. None if no seed is left.
        """
        own = [training for training in self.trainings if training.weight == weight]
        flying = {action.seed for action in self.in_flight if action.weight == weight}
        unfinished = [
            training
            for training in own
            if training.seed not in flying
            and training.steps < self.budget
            and training.at(self.budget) is None
        ]
        if unfinished:
            longest = max(unfinished, key=lambda training: training.steps)
            return Action(weight=weight, seed=longest.seed, steps=self.budget, done=longest.steps)
        taken = flying | {training.seed for training in own}
        starts = self._starts(weight)
        free = [seed for seed in self.search.seeds if seed in starts and seed not in taken]
        if not free:
            return None
        seed = self.farthest(free, weight)
        return Action(weight=weight, seed=seed, warm_start=starts[seed], steps=self.budget)

    def _starts(self, weight: float) -> dict[int, float | None]:
        """The weight from whose end a training at a weight goes on, for each seed that may begin.

        It is that of the seed's nearest donor on the side where the middle of all donors lies.
        """
        if self.donors is None:
            return dict.fromkeys(self.search.seeds)
        weights = [donor.weight for donor in self.donors]
        is_above = bool(weights) and weight > math.sqrt(min(weights) * max(weights))
        inward = [
            donor
            for donor in self.donors
            if (donor.weight < weight if is_above else donor.weight > weight)
        ]
        inward.sort(key=lambda donor: donor.weight, reverse=not is_above)  # the nearest comes last
        return {donor.seed: donor.weight for donor in inward}

    def farthest(self, seeds: Sequence[int], weight: float) -> int:
        """The seed whose nearest training is farthest from a weight, the first of several.

        With it each edge is tried with as many seeds as there are.
        """
        nearest = dict.fromkeys(seeds, math.inf)
        tried = [(training.seed, training.weight) for training in self.trainings]
        tried += [(action.seed, action.weight) for action in self.in_flight]
        for seed, at in tried:
            if seed in nearest:
                nearest[seed] = min(nearest[seed], abs(math.log(at / weight)))
        return max(seeds, key=lambda seed: nearest[seed])


def answering(trainings: Sequence[Training], search: Search) -> Level:
    """The level for whose budget an answer is given.

    It is that of the largest budget at which both edges are done and that trainings next to an
    edge have made. If none has, because they settled earlier, it is the first at which both are
    done. If none is done, it is the largest budget that all trainings next to an edge have made,
    or else the first with a band, because edges are searched there; without a band the first.
    """
    return _answering(trainings, search, search.budgets)


def reported(trainings: Sequence[Training], search: Search) -> Level:
    """The level of which people are told.

    A search that is given more steps has made hardly any of them at first. As long as a training
    inside an earlier band has no verdict at the new budget, the earlier budget may answer, too.
    """
    earlier = sorted({each.steps for each in trainings if each.steps < search.steps})
    silent = {(each.weight, each.seed) for each in trainings if not each.at(search.steps)}
    unjudged = []
    for budget in earlier:
        votes = votes_of(trainings, budget, search.of)
        if silent & {(vote.weight, vote.seed) for vote in votes if vote.side is Side.INSIDE}:
            unjudged.append(budget)
    return _answering(trainings, search, [*unjudged, *search.budgets])


def _answering(trainings: Sequence[Training], search: Search, budgets: Iterable[int]) -> Level:
    levels = [Level(trainings, (), search, budget) for budget in budgets]
    passed = max((training.steps for training in trainings), default=0)
    made = [level for level in reversed(levels) if level.budget <= passed]
    answers = chain(
        (level for level in made if level.is_done and level.is_made),
        (level for level in levels if level.is_done),
        (level for level in made if level.is_made_by_all),
        (level for level in levels if level.envelope is not None),
    )
    return next(answers, Level(trainings, (), search, search.steps))
