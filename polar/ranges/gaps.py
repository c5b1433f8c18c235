"""Gaps in the band: weights between its edges at which spaces are not in it."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np

from polar.ranges.belief import LAPSE, Belief
from polar.ranges.votes import Side, Vote
from polar.records.ranges import Edge, Interval

#: Gaps are closed if they span less than this factor. Chosen by us without comparing other values,
#: because gaps hardly wider than edges are known, to a factor of 1.1, would only cut up an answer.
CLOSED_GAP = 1.25
#: Prior chance that a tested weight between the edges lies in a gap. Chosen by us, so that a
#: single verdict outside the band is as probably a lapse, and two seeds that agree are believed.
GAP = LAPSE / 2
#: A weight is measured again with another seed while the odds of a gap are between this and its
#: inverse. Chosen by us, so that a single verdict outside the band leaves a doubt, with odds of a
#: half, which the verdict of a second seed ends, with odds of 1/2,000 or 500.
DOUBT = 0.01


def gap_odds(votes: Sequence[Vote], belief: Belief, *, seeds: int) -> dict[float, float]:
    """The odds that each tested weight lies in a gap, in ascending order of the weights.

    A gap explains every verdict outside the band, and only a lapse explains a verdict inside. A
    single seed always repeats itself, so its first verdict decides.
    """
    sides = defaultdict(list)
    for vote in sorted(votes, key=lambda vote: vote.weight):
        sides[vote.weight].append(vote.side is Side.INSIDE)
    inside = np.clip(belief.inside(np.array(list(sides))), LAPSE, 1 - LAPSE).tolist()
    prior = GAP / (1 - GAP) if seeds > 1 else 1.0
    odds = {}
    for (weight, are_inside), chance in zip(sides.items(), inside, strict=True):
        within, without = sum(are_inside), len(are_inside) - sum(are_inside)
        odds[weight] = prior * (LAPSE / chance) ** within * ((1 - LAPSE) / (1 - chance)) ** without
    return odds


def doubtful(odds: dict[float, float], votes: Sequence[Vote]) -> list[float]:
    """The weights at which another seed would tell whether they lie in a gap."""
    dissenting = {vote.weight for vote in votes if vote.side is not Side.INSIDE}
    return [at for at, o in odds.items() if at in dissenting and DOUBT < o < 1 / DOUBT]


def intervals_of(envelope: Interval, odds: dict[float, float]) -> tuple[Interval, ...]:
    """The intervals of the band in ascending order, with the gaps between them.

    Args:
        envelope: The outer edges.
        odds: The odds that each tested weight lies in a gap, in ascending order of the weights.
    """
    intervals, left = [], envelope.left
    for leave, enter in _gaps(envelope, odds):
        intervals.append(Interval(left=left, right=leave))
        left = enter
    return (*intervals, Interval(left=left, right=envelope.right))


def _gaps(envelope: Interval, odds: dict[float, float]) -> Iterator[tuple[Edge, Edge]]:
    """Both edges of each gap, which lie between two tested weights."""
    begin, end = envelope.left.middle, envelope.right.middle
    within = [
        weight
        for weight in odds
        if (begin is None or begin <= weight) and (end is None or weight <= end)
    ]
    solid = [weight for weight in within if odds[weight] <= 1]
    for last, first in pairwise(solid):
        between = [weight for weight in within if last < weight < first]
        if between and (first * between[-1]) / (last * between[0]) >= CLOSED_GAP**2:
            yield (
                Edge(low=last, high=between[0], confidence=None),
                Edge(low=between[-1], high=first, confidence=None),
            )
