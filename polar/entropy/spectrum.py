r"""Renyi entropy of a spectrum, and how far an error of the spectrum can move it.

Notation:
    p, q      spectra: eigenvalues of positive matrices of trace 1, so not negative and of sum 1
    n         largest number of non-zero eigenvalues that p or q can have
    alpha     order, positive; 1 is the von Neumann limit, infinity the min-entropy
    S(p)      ln(sum p^alpha) / (1 - alpha), nats
    distance  bound on sum |p - q|, with both spectra sorted; by Mirsky's theorem the nuclear norm
              of the difference of the two matrices is such a bound
    T         sum p^alpha

The smaller of two bounds is used.

Triangle inequality, for alpha > 1: S(p) = -ln |p|_alpha / (1 - 1/alpha), and |p|_alpha moves by at
most |p - q|_alpha <= distance.

Continuity of the Tsallis entropy G(p) = sum g(p), g(x) = (x^alpha - x) / (1 - alpha), for any
alpha: g is concave with g(0) = g(1) = 0 and g'(1) = -1. From p to q, the rises and the falls of
eigenvalues each sum to e = distance / 2. A fall by a adds at most a because g' >= -1; a rise by a
adds at most g(a), and n rises add at most n g(e / n) by Jensen's inequality. Hence
|G(p) - G(q)| <= e + n g(e / n) = e (1 + ln_alpha(n / e)) with
ln_alpha(y) = (y^(1 - alpha) - 1) / (1 - alpha), and T = 1 + (1 - alpha) G. At alpha = 1 this is
Fannes' inequality.

References: Mirsky (1960), https://doi.org/10.1093/qmath/11.1.50; Fannes (1973),
https://doi.org/10.1007/BF01646490; Sanchez Giraldo et al. (2015), https://arxiv.org/abs/1211.2459
"""

import math
from typing import Final

import numpy as np
from jaxtyping import Float

_BUDGETS: Final = tuple(10.0**-k for k in range(4, 15))  # float64 rounding exceeds smaller ones


def spectral_entropy(p: Float[np.ndarray, " m"], alpha: float) -> float:
    """Renyi entropy of a spectrum of sum 1, in nats.

    Written as the min-entropy plus an excess, the entropy does not cancel near alpha = 1, where
    the usual form divides the rounding of ln(sum p^alpha) by 1 - alpha.
    """
    p = p[p > np.finfo(float).tiny]
    least = -math.log(p.max())
    gain = np.log(p) + least  # <= 0
    if alpha == math.inf:
        return least
    if alpha == 1:
        return least - float(p @ gain)
    with np.errstate(over="ignore"):  # overflow gives -infinity, the right limit
        return least - math.log1p(p @ np.expm1((alpha - 1) * gain)) / (alpha - 1)


def tsallis_sum(p: Float[np.ndarray, " m"], alpha: float) -> float:
    """Tsallis entropy G of part of a spectrum, in nats; alpha at least 1."""
    p = p[p > np.finfo(float).tiny]
    order = alpha - 1
    return -float(p @ (np.expm1(order * np.log(p)) / order if order else np.log(p)))


def renyi_from_tsallis(tsallis: float, alpha: float) -> float:
    """S of the spectrum whose Tsallis entropy is G, in nats."""
    order = alpha - 1
    return -math.log1p(-order * tsallis) / order if order else tsallis


def entropy_error(distance: float, nats: float, *, alpha: float, n: int) -> float:
    """Largest |S(p) - S(q)| for S(q) = nats and sum |p - q| <= distance; infinity if unbounded."""
    if alpha <= 1:
        return _by_continuity(distance, nats, alpha, n)
    by_triangle = _by_triangle_inequality(distance, nats, alpha)
    if alpha >= 2:  # continuity would win a factor of 2 at most, and exp() may overflow there
        return by_triangle
    return min(by_triangle, _by_continuity(distance, nats, alpha, n))


def nuclear_budget(tol: float, *, alpha: float, n: int) -> float:
    """Error of the matrix, in nuclear norm, that keeps the entropy of any n samples within tol.

    The budget is a power of ten, so a change of n alone hardly ever changes the grid. Half of tol
    is reserved for rounding, and the distance may double when the spectrum is scaled to sum 1.
    """
    most_sensitive = math.log(n) if alpha > 1 else 0.0
    for budget in _BUDGETS:
        if entropy_error(2 * budget, most_sensitive, alpha=alpha, n=n) <= tol / 2:
            return budget
    return _BUDGETS[-1]


def _by_triangle_inequality(distance: float, nats: float, alpha: float) -> float:
    exponent = 1 - 1 / alpha
    return _fall_of_log(distance * math.exp(exponent * nats)) / exponent


def _by_continuity(distance: float, nats: float, alpha: float, n: int) -> float:
    e = distance / 2
    log_ratio = math.log(n / e)
    order = 1 - alpha
    if order == 0:
        return e * (1 + log_ratio)
    tsallis = e * (1 + math.expm1(order * log_ratio) / order)
    return _fall_of_log(abs(order) * tsallis * math.exp(-order * nats)) / abs(order)


def _fall_of_log(x: float) -> float:
    """How far ln T can move when T can move by the fraction x: -ln(1 - x)."""
    return -math.log1p(-x) if x < 1 else math.inf
