"""The outer edges of the band at one budget, and how closely they are known."""

import math
from collections.abc import Sequence
from typing import TypeVar

from polar.ranges.belief import SPREAD, Belief, EdgeBelief
from polar.ranges.search import Search
from polar.ranges.votes import Side, Training, Vote
from polar.records.ranges import Edge, Interval

T = TypeVar("T", Vote, Training)

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
    if len({vote.seed for vote in votes}) > 1:
        # What is right of the band says nothing of the left edge.
        of_left = belief.left.seeds_of([vote for vote in votes if vote.side is not Side.RIGHT])
        left = belief.left.over_all_seeds(of_left)
        right = belief.right.over_all_seeds(belief.right.seeds_of(votes))
        return Interval(left=_edge(left, search), right=_edge(right, search))
    # What is right of the band says nothing of the left edge, wherever it lies; and vice versa.
    not_right = [vote.weight for vote in votes if vote.side is not Side.RIGHT]
    not_left = [vote.weight for vote in votes if vote.side is not Side.LEFT]
    below = max((weight for weight in not_right if weight < min(inside)), default=None)
    above = min((weight for weight in not_left if weight > max(inside)), default=None)
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
        width=belief.width,
    )


def _weight(log: float) -> float | None:
    return math.exp(log) if math.isfinite(log) else None


def is_known(edge: Edge, search: Search) -> bool:
    """Whether an edge is known as finely as the search wants, or as its seeds allow.

    Seeds allow an interval for their half that is as wide as the weights between which they
    differ: where in these the half lies says little about a single training.
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


def next_to(edge: Edge, tried: Sequence[T]) -> list[T]:
    """What was tried in the interval of an edge, and at the nearest weights on both sides of it.

    Where an edge is open, everything that was tried on its open side.
    """
    weights = [each.weight for each in tried]
    low = edge.low or min(weights, default=0.0)
    high = edge.high or max(weights, default=0.0)
    first = max((weight for weight in weights if weight <= low), default=low)
    last = min((weight for weight in weights if weight >= high), default=high)
    return [each for each in tried if first <= each.weight <= last]


def rests_on(own: Sequence[Vote], edge: Edge, votes: Sequence[Vote]) -> bool:
    """Whether an edge at a budget rests on trainings that have made so many steps.

    It does where they lie on both sides of it, as all that lie next to it do.

    Args:
        own: The votes of the trainings that have made the steps.
        edge: The edge by all votes.
        votes: All votes, of which some are those of trainings that settled before.
    """
    near, made = next_to(edge, votes), set(own)
    of_own = {vote.side is Side.INSIDE for vote in near if vote in made}
    return of_own == {vote.side is Side.INSIDE for vote in near}
