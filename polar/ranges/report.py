"""What is known about the band: its intervals, their envelope, and how certain their edges are."""

from collections import defaultdict
from collections.abc import Sequence

from polar.ranges.budgets import by_steps
from polar.ranges.edges import is_known, next_to
from polar.ranges.gaps import gap_odds, intervals_of
from polar.ranges.holding import held_edges
from polar.ranges.level import Level, reported
from polar.ranges.movement import with_movement
from polar.ranges.search import History, Search, by_start
from polar.ranges.votes import Side, Training, Vote, trainings_of
from polar.ranges.words import headline_of, remarks_on
from polar.records.latents import Regime
from polar.records.ranges import Interval, Outcome, RangeReport


def find_range(history: History, search: Search) -> RangeReport:
    """What the observations so far say about the band.

    Args:
        history: All observations so far, in any order.
        search: Where the band is searched, with which seeds and for how many steps.

    Raises:
        InvalidInput: a weight lies outside the search.
    """
    search.check(seen.weight for seen in history)
    scratch, held = by_start(history)
    trainings = trainings_of(scratch)
    level = reported(trainings, search)
    envelope = level.envelope
    shown = [training.at(level.budget) for training in trainings]
    odds = gap_odds(level.votes, level.belief, seeds=len(search.seeds))
    if envelope:
        envelope = with_movement(envelope, level.belief, level.budget, trainings, search)
    report = RangeReport(
        outcome=_outcome(level),
        of=search.of,
        steps=level.budget,
        seeds=tuple(sorted({vote.seed for vote in level.votes})),
        intervals=intervals_of(envelope, odds) if envelope else (),
        envelope=envelope,
        held=held_edges(level, trainings_of(held)),
        by_steps=by_steps(trainings, search),
        settled=_settled(trainings, envelope) if envelope else None,
        overruled=0 if envelope else sum(vote.side is Side.INSIDE for vote in level.votes),
        disagreeing=_disagreeing(level.votes),
        weights=len({vote.weight for vote in level.votes}),
        trainings=len(trainings),
        untrained=sum(seen.regime is Regime.UNTRAINED for seen in shown if seen),
        unmade=sum(seen is None for seen in shown),
        headline="",
        remarks=(),
    )
    return report.model_copy(
        update={"headline": headline_of(report), "remarks": tuple(remarks_on(report, level))}
    )


def _outcome(level: Level) -> Outcome:
    if level.envelope is None:
        return Outcome.NO_BAND
    left, right = level.envelope.left, level.envelope.right
    is_over_seeds = len(level.search.seeds) == 1 or left.confidence is not None
    if is_over_seeds and all(is_known(edge, level.search) for edge in (left, right)):
        return Outcome.FOUND
    weights = [vote.weight for vote in level.votes]
    inside = {vote.weight for vote in level.votes if vote.side is Side.INSIDE}
    is_open_left = left.low is None and min(weights) in inside
    is_open_right = right.high is None and max(weights) in inside
    return Outcome.OPEN if is_open_left or is_open_right else Outcome.COARSE


def _settled(trainings: Sequence[Training], envelope: Interval) -> bool | None:
    """Whether all trainings had settled that lie in the interval of an edge or next to it."""
    answers = [
        training.settled
        for edge in (envelope.left, envelope.right)
        for training in next_to(edge, trainings)
    ]
    return False if False in answers else None if None in answers else True


def _disagreeing(votes: Sequence[Vote]) -> tuple[float, ...]:
    sides: dict[float, set[bool]] = defaultdict(set)
    for vote in votes:
        sides[vote.weight].add(vote.side is Side.INSIDE)
    return tuple(sorted(weight for weight, inside in sides.items() if len(inside) > 1))
