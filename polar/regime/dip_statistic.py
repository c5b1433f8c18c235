"""Hartigan's dip: how far the distribution of a sample is from the nearest unimodal one.

A unimodal distribution function is convex up to its mode and concave beyond it. Below the
empirical distribution function F lies its greatest convex minorant G, above it its least concave
majorant L. The search begins with all values as the modal interval. At each step it finds where G
and L are farthest apart, shrinks the modal interval to the corners around that place, and keeps
the largest distance of F from G on its left and from L on its right. It ends when G and L are no
farther apart inside than that: then half the distance is the dip.

Distances are counted in ranks. Of n sorted values, F steps from i to i + 1 at value i, G passes
below the lower corners (x_i, i) and L above the upper ones (x_i, i + 1). Seen from the other axis,
values as a function of ranks, G is concave and L convex, and their slopes are the monotone
regressions of the spacings, also where values are equal.

References: Hartigan and Hartigan (1985), The Dip Test of Unimodality, section 4,
https://doi.org/10.1214/aos/1176346577; Hartigan (1985), Computation of the Dip Statistic to Test
for Unimodality, https://doi.org/10.2307/2347485
"""

import numpy as np
from jaxtyping import Float64, Int64
from scipy.optimize import isotonic_regression


def dip_statistic(values: Float64[np.ndarray, " n"]) -> float:
    """The dip of finite values: between 1/(2n) and 1/4, and 0 where all are alike.

    Args:
        values: Shape (n,) with n >= 1, in any order.
    """
    x = np.sort(values)
    if x[0] == x[-1]:
        return 0.0
    low, high = 0, len(x) - 1
    farthest = 1.0
    while low < high:
        spacings = np.diff(x[low : high + 1])
        minorant = low + isotonic_regression(spacings, increasing=False).blocks
        majorant = low + isotonic_regression(spacings, increasing=True).blocks
        at_minorant = _majorant_at(x, majorant, minorant) + 1 - minorant
        at_majorant = majorant + 1 - _minorant_at(x, minorant, majorant)
        i, j = at_minorant.argmax(), at_majorant.argmax()
        if max(at_minorant[i], at_majorant[j]) <= farthest:
            break
        if at_minorant[i] > at_majorant[j]:
            left = minorant[i]
            right = majorant[np.searchsorted(majorant, left)]
        else:
            right = majorant[j]
            left = minorant[np.searchsorted(minorant, right, side="right") - 1]
        below, above = np.arange(low, left + 1), np.arange(right, high + 1)
        on_the_left = below + 1 - _minorant_at(x, minorant, below)
        on_the_right = _majorant_at(x, majorant, above) + 1 - above
        farthest = max(farthest, on_the_left.max(), on_the_right.max())
        if (left, right) == (low, high):
            break
        low, high = left, right
    return float(farthest) / (2 * len(x))


def _minorant_at(
    x: Float64[np.ndarray, " n"],
    corners: Int64[np.ndarray, " corners"],
    at: Int64[np.ndarray, " places"],
) -> Float64[np.ndarray, " places"]:
    """The height of G, in ranks, at some values; where it ends in a step, that above the step."""
    return np.interp(x[at], x[corners], corners)


def _majorant_at(
    x: Float64[np.ndarray, " n"],
    corners: Int64[np.ndarray, " corners"],
    at: Int64[np.ndarray, " places"],
) -> Float64[np.ndarray, " places"]:
    """The height of L, which is G in a mirror; where it begins in a step, that below the step."""
    mirrored = corners[::-1]
    return -np.interp(-x[at], -x[mirrored], -mirrored)
