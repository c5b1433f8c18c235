"""Proposes which weight to try next: the weight whose verdict says most about the edges.

Until the edges are known, the proposal is the weight with the largest mutual information, in nats,
between its verdict and the pair of edges, conditional on the verdicts of the weights in flight,
which are taken to come without flips. When no verdict says more about the edges, proposals look
for gaps in the band.
"""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64, Int64
from scipy.special import xlogy

from polar.ranges.belief import SAME, Belief, believe, observed_chances, true_chances
from polar.ranges.fading import guess_edges, odds_of_cells
from polar.ranges.report import edges_known
from polar.ranges.search import History, Search, canonical

#: Least information that counts, in nats.
LEAST_GAIN = 0.01
#: A weight is measured again if its chances of being polarised and of not being polarised are both
#: above this. This is our choice.
LEAST_DOUBT = 0.05


def propose(history: History, in_flight: Sequence[float], search: Search) -> float:
    """The weight to try next.

    The proposal does not depend on the order of the history and of the weights in flight. It is
    never a weight in flight and, without flips, never a tested weight. With flips, a tested weight
    is proposed again if that says more than a new weight; it must then be trained with another
    seed.

    Args:
        history: All observations so far.
        in_flight: Weights whose trainings have not ended.
        search: Where the band is searched.

    Returns:
        A weight within the search, ends included.

    Raises:
        InvalidInput: a weight lies outside the search.
    """
    search.check([*(seen.weight for seen in history), *in_flight])
    history = canonical(history)
    belief = believe(history, in_flight, search)
    if not edges_known(belief, search):
        gain = _gains(belief, history, in_flight, search)
        best = int(gain.argmax())
        if gain[best] > LEAST_GAIN:
            return float(belief.axis[best])
    return _in_search_of_gaps(belief, in_flight, search)


def _gains(
    belief: Belief, history: History, in_flight: Sequence[float], search: Search
) -> Float64[np.ndarray, " n"]:
    """Mutual information of each point's next verdict and the edges; 0 for excluded points."""
    left, right = guess_edges(history)
    joint = belief.joint * odds_of_cells(belief.axis, left, search)[:, None]
    joint *= odds_of_cells(belief.axis, right, search)
    flying = np.isin(belief.axis, in_flight)
    gain = verdict_information(joint / joint.sum(), np.flatnonzero(flying), search.flip_rate)
    allowed = ~flying if search.flip_rate else ~(flying | belief.tested)
    return np.where(allowed, gain, 0)


def verdict_information(
    joint: Float64[np.ndarray, "cells cells"], flying: Int64[np.ndarray, " k"], flip_rate: float
) -> Float64[np.ndarray, " n"]:
    """Mutual information between the verdict at each point and the edges, in nats.

    The points in flight cut the axis into divisions. Their verdicts are taken to show in which
    divisions the edges lie, with the present chances of each outcome.

    Args:
        joint: Chances of the cells of both edges.
        flying: Indices of the points in flight, ascending.
        flip_rate: Chance that a training shows another verdict than the true one.
    """
    cells = np.arange(len(joint))
    division = np.eye(len(flying) + 1)[:, np.searchsorted(flying, cells)]  # (k+1, n+1)
    is_right = cells > np.arange(len(joint) - 1)[:, None]  # (n, n+1): cell right of point
    of_division = np.einsum("ia,ab,jb->ij", division, joint, division, optimize=True)[:, None]
    chances = "ia,ua,ab,jb->iuj", "ia,ab,ub,jb->iuj"
    left = np.einsum(chances[0], division, is_right, joint, division, optimize=True)
    right = np.einsum(chances[1], division, joint, ~is_right, division, optimize=True)
    inside = np.maximum(of_division - left - right, 0)
    regions = np.stack([left, inside, right])  # (3, k+1, n, k+1)
    observed = observed_chances(flip_rate) @ true_chances()  # (verdict, region)
    verdicts = np.einsum("vr,riuj->viuj", observed, regions)
    unknown = xlogy(of_division, of_division).sum() - xlogy(verdicts, verdicts).sum((0, 1, 3))
    within_regions = -xlogy(observed, observed).sum(0)
    return unknown - np.einsum("r,riuj->u", within_regions, regions)


def _in_search_of_gaps(belief: Belief, in_flight: Sequence[float], search: Search) -> float:
    """A tested weight whose true verdict is in doubt, or else the middle of the widest stretch.

    Stretches between whose ends the verdict changes come first, as long as they are wider than the
    search wants.
    """
    flying = np.isin(belief.axis, in_flight)
    chance = belief.in_band() * belief.solid
    doubt = np.minimum(chance, 1 - chance) * (belief.tested & ~flying)
    if search.flip_rate and doubt.max() > LEAST_DOUBT:
        return float(belief.axis[doubt.argmax()])
    taken = belief.tested | flying
    taken[[0, -1]] = True
    (ends,) = np.nonzero(taken)
    lengths = np.diff(np.log(belief.axis[ends]))
    changes = np.diff(belief.polarised()[ends]) & (lengths > math.log(search.factor) + SAME)
    widest = int((lengths + changes * lengths.sum()).argmax())
    return math.sqrt(belief.axis[ends[widest]] * belief.axis[ends[widest + 1]])
