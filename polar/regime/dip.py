"""Hartigan's dip of the entropies: evidence that there are two groups of latents at all.

The dip of two groups cannot exceed half the fraction of the smaller, so the test is blind to
small groups: of 16 latents the smaller group needs 4, of 32 latents 6, however far apart the
groups are. No evidence for two groups is therefore no evidence against them.

The p-value is that of uniform samples of the same size. Their quantiles were simulated by
`python -m benchmarks.dip_table`; between its sizes and its probabilities it is interpolated.
"""

import math
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from polar.errors import InvalidInput
from polar.records.measurement import Dip
from polar.regime.dip_statistic import dip_statistic

#: Largest p-value that is evidence for two groups.
SIGNIFICANT = 0.05
#: The dip of fewer values says nothing.
FEWEST = 4
#: Where there are more values than these, evenly spaced quantiles are tested.
MOST = 72_000
#: For each size n, quantiles of the dip times the root of n; the header has their probabilities.
TABLE = Path(__file__).with_name("dip_quantiles.csv")


def dip_of(entropies: Sequence[float]) -> Dip | None:
    """The dip of the entropies, with its p-value; none for fewer than 4.

    Raises:
        InvalidInput: an entropy is not finite.

    Reference: Hartigan and Hartigan (1985), https://doi.org/10.1214/aos/1176346577
    """
    m = len(entropies)
    if not np.isfinite(entropies).all():
        raise InvalidInput(f"entropies are {list(entropies)}; allowed: finite numbers")
    if m < FEWEST:
        return None
    dip, p_value = dip_test(np.array(entropies))
    # the dip of two values is half the fraction of the rarer one
    visible = (k for k in range(1, m // 2 + 1) if dip_p_value(k / (2 * m), m) < SIGNIFICANT)
    return Dip(dip=dip, p_value=p_value, smallest_group=next(visible, None))


def dip_test(values: Float64[np.ndarray, " n"]) -> tuple[float, float]:
    """Dip and p-value of at least 4 values; 0 and 1 where all are alike."""
    if len(values) > MOST:
        values = np.sort(values)[np.linspace(0, len(values) - 1, MOST).astype(int)]
    dip = dip_statistic(values)
    return dip, dip_p_value(dip, len(values))


def dip_p_value(dip: float, n: int) -> float:
    """The fraction of uniform samples of n values, at least 4, whose dip is at least this.

    It is 0 beyond the largest dip that was simulated, in 100,000 samples or more.
    """
    if 2 * n * dip <= 1 + 1e-9:  # no sample has less, and many small ones have as little
        return 1.0
    probabilities, roots, quantiles = _table()
    # the quantiles approach their limits as the inverse root of the size does
    row = [np.interp(-1 / math.sqrt(n), roots, column) for column in quantiles.T]
    return float(1 - np.interp(math.sqrt(n) * dip, row, probabilities))


@cache
def _table() -> tuple[
    Float64[np.ndarray, " probabilities"],
    Float64[np.ndarray, " sizes"],
    Float64[np.ndarray, "sizes probabilities"],
]:
    probabilities = np.genfromtxt(TABLE, delimiter=",", max_rows=1)[1:]
    table = np.loadtxt(TABLE, delimiter=",", skiprows=1)
    return probabilities, -1 / np.sqrt(table[:, 0]), table[:, 1:]
