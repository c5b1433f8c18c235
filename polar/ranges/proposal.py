"""Which weight to try next: the one whose verdict says most about the edges.

Until the edges are known, it is the weight of the largest mutual information between its verdict
and the pair of edges, in nats, given what points in flight will say (taken as told without a
flip). What says nothing more of the edges then looks for gaps in the band.
"""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64, Int64
from scipy.special import xlogy

from polar.ranges.belief import SAME, Belief, believe, told_chances, true_chances
from polar.ranges.fading import guess_edges, odds_of_cells
from polar.ranges.report import edges_known
from polar.ranges.search import History, Search, canonical

#: Nats; what says less than this says nothing.
LEAST_GAIN = 0.01
#: A weight whose chance to be polarised, or not to be, is above is measured again. By us.
LEAST_DOUBT = 0.05


def propose(history: History, in_flight: Sequence[float], search: Search) -> float:
    """The weight to try next.

    The same history and points in flight, in any order, give the same weight. It is none of those
    in flight, and, without flips, none that was tested; with flips a tested weight is proposed
    again when that says more than a new one, and is to be trained with another seed.

    Args:
        history: All observations so far.
        in_flight: Weights whose trainings have not ended.
        search: Where the band is searched.

    Returns:
        A weight of the search, ends included.

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
    """Mutual information of each point's next verdict and the edges; 0 for what is not allowed."""
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

    Points in flight divide the axis; it is known in which divisions the edges lie, with the
    chances of now.

    Args:
        joint: Chances of the cells of both edges.
        flying: Indices of the points in flight, ascending.
        flip_rate: Chance of another verdict than the true one.
    """
    cells = np.arange(len(joint))
    division = np.eye(len(flying) + 1)[:, np.searchsorted(flying, cells)]  # (k+1, n+1)
    is_right = cells > np.arange(len(joint) - 1)[:, None]  # (n, n+1): the cell, of the point
    of_division = np.einsum("ia,ab,jb->ij", division, joint, division, optimize=True)[:, None]
    chances = "ia,ua,ab,jb->iuj", "ia,ab,ub,jb->iuj"
    left = np.einsum(chances[0], division, is_right, joint, division, optimize=True)
    right = np.einsum(chances[1], division, joint, ~is_right, division, optimize=True)
    inside = np.maximum(of_division - left - right, 0)
    regions = np.stack([left, inside, right])  # (3, k+1, n, k+1)
    told = told_chances(flip_rate) @ true_chances()  # (verdict, region)
    verdicts = np.einsum("vr,riuj->viuj", told, regions)
    unknown = xlogy(of_division, of_division).sum() - xlogy(verdicts, verdicts).sum((0, 1, 3))
    within_regions = -xlogy(told, told).sum(0)
    return unknown - np.einsum("r,riuj->u", within_regions, regions)


def _in_search_of_gaps(belief: Belief, in_flight: Sequence[float], search: Search) -> float:
    """A tested weight that may or may not be polarised, else the middle of the widest stretch.

    Stretches at whose ends the verdict changes come first, as long as they are too wide.
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
