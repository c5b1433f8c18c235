"""Losses as lines in the weight: which model has the smaller loss, and how far it leads.

All losses are those of training images, because they are what training minimises, and are compared
relative to that of the mean image, so that models measured on different numbers of images compare.

One model is better than another where the difference exceeds two standard errors, and a hundredth
of what there is to explain. Models are measured on the same images, and most errors are shared and
cancel in the difference; they count as independent all the same. On the digits the error of the
difference between two models that explain something was 0.3 to 1.0 times what this makes of it
(docs/log.md), which leaves room for the choice of the best among many models, which is partly the
luckiest. A model never beats itself, nor a model with equal losses.

A model keeps its lead over several others on a single stretch of weights: losses are linear in the
weight and standard errors convex, so that the lead is concave.
"""

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple, TypeAlias

from polar.records.certificates import KnownModel, LossTerms

#: A difference must exceed so many standard errors.
ERRORS = 2.0
#: It must also exceed this part of the explainable loss. Chosen by us, because a training counts
#: as settled while R still rises by less, so that trainings with the same solution differ by as
#: much. Collapsed trainings on the digits lose 0.002 to 0.004 of it to total collapse, which is
#: ten standard errors.
LEAST_PART = 0.01
#: The largest weight that a spec may have.
MOST_WEIGHT = 1e6
#: Steps of the bisection for the end of a stretch of weights. Chosen by us, because they find an
#: end between 0 and the largest weight to 1e-12.
BISECTIONS = 60

#: The line of total collapse, which is 0, because all lines are relative to it.
TOTAL_COLLAPSE = LossTerms(
    images=2,
    reconstruction_nats=0.0,
    penalty=0.0,
    floor_nats=0.0,
    mean_image_nats=0.0,
    collapsed_penalty=0.0,
    nats_per_penalty=1.0,
    gain_variance=0.0,
    penalty_variance=0.0,
    covariance=0.0,
)


class Lead(NamedTuple):
    """A stretch of weights on which a model leads; the model is None for total collapse."""

    by: KnownModel | None
    begin: float
    end: float


#: A model, or None for total collapse, its losses, and the weights at which a lead is looked for.
Candidate: TypeAlias = tuple[KnownModel | None, LossTerms, Sequence[float]]


def difference_nats(better: LossTerms, other: LossTerms, weight: float) -> float:
    """By how much the loss of the first is smaller, in nats per image."""
    return other.above_collapse_nats(weight) - better.above_collapse_nats(weight)


def se_nats(one: LossTerms, other: LossTerms, weight: float) -> float:
    """Standard error of the difference of both losses, as if they were independent."""
    return math.hypot(one.se_nats(weight), other.se_nats(weight))


def beats(better: LossTerms, other: LossTerms, weight: float) -> bool:
    """Whether the loss of the first is smaller by more than counts."""
    difference = difference_nats(better, other, weight)
    explainable = max(better.explainable_nats, other.explainable_nats)
    if difference <= LEAST_PART * explainable:
        return False
    return difference > ERRORS * se_nats(better, other, weight)


def leads(better: LossTerms, others: Iterable[LossTerms], weight: float) -> bool:
    """Whether the loss of the first is smaller than those of all others, by more than counts."""
    return all(beats(better, other, weight) for other in others)


def corners(lines: Sequence[LossTerms], begin: float, end: float) -> list[float]:
    """The weights from `begin` to `end`, both among them, at which the least loss bends.

    The lead of another line over all of these is concave, and straight from each such weight to
    the next, so that it is largest at one of them. Errors are left out of account here.
    """
    out = 1 if begin <= end else -1
    least = min(lines, key=lambda line: (line.above_collapse_nats(begin), out * line.rise_nats))
    bends = [begin]
    while flatter := [line for line in lines if out * line.rise_nats < out * least.rise_nats]:
        crossings = [
            ((line.gain_nats - least.gain_nats) / (line.rise_nats - least.rise_nats), line)
            for line in flatter
        ]
        bend, least = min(crossings, key=lambda at: (out * at[0], out * at[1].rise_nats))
        if out * bend >= out * end:
            break
        bends.append(bend)
    return [*bends, end]


def farthest_lead(
    candidates: Iterable[Candidate], others: Sequence[LossTerms], end: float
) -> Lead | None:
    """The lead that ends farthest towards `end`, by the first of several; None if nobody leads.

    Args:
        candidates: Who may lead, with weights at which the lead is looked for.
        others: The losses over which it has to lead.
        end: The weight up or down to which leads are followed.
    """
    farthest: Lead | None = None
    for by, terms, begins in candidates:
        for begin in begins:
            start = begin
            if farthest is not None:  # a lead that ends earlier is of no account
                start = min(begin, farthest.end, key=lambda at: abs(end - at))
            if leads(terms, others, start) and leads(terms, others, begin):
                reached = end_of_lead(terms, others, start, end)
                if farthest is None or not math.isclose(reached, farthest.end):
                    farthest = Lead(by, begin, reached)
                break
    return farthest


def end_of_lead(better: LossTerms, others: Sequence[LossTerms], begin: float, end: float) -> float:
    """The weight between `begin`, where a model leads, and `end` at which its lead ends."""
    if leads(better, others, end):
        return end
    leading, behind = begin, end
    for _ in range(BISECTIONS):
        middle = (leading + behind) / 2
        if leads(better, others, middle):
            leading = middle
        else:
            behind = middle
    return leading
