"""Hartigan's dip of the entropies: evidence that there are two groups of latents at all.

The dip of two groups cannot exceed half the fraction of the smaller, so the test is blind to
small groups: of 16 latents the smaller group needs 4, of 32 latents 6, however far apart the
groups are. No evidence for two groups is therefore no evidence against them.
"""

from collections.abc import Sequence

import diptest
import numpy as np
from jaxtyping import Float64

from polar.errors import InvalidInput
from polar.records.measurement import Dip

#: Largest p-value that is evidence for two groups.
SIGNIFICANT = 0.05
#: The dip of fewer values says nothing.
FEWEST = 4
#: Number of values at which the table of p-values ends.
MOST = 72_000


def dip_of(entropies: Sequence[float]) -> Dip | None:
    """The dip of the entropies, with its p-value from Hartigan's table; none for fewer than 4.

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
    visible = (k for k in range(1, m // 2 + 1) if dip_test(_two_groups(m, k))[1] < SIGNIFICANT)
    return Dip(dip=dip, p_value=p_value, smallest_group=next(visible, None))


def dip_test(values: Float64[np.ndarray, " n"]) -> tuple[float, float]:
    """Dip and p-value of at least 4 values; 0 and 1 where all are alike.

    Where there are more values than the table covers, evenly spaced quantiles are tested instead.
    """
    if len(values) > MOST:
        values = np.sort(values)[np.linspace(0, len(values) - 1, MOST).astype(int)]
    dip, p_value = diptest.diptest(values)
    return float(dip), float(p_value)


def _two_groups(m: int, smaller: int) -> Float64[np.ndarray, " m"]:
    return np.repeat([0.0, 1.0], [m - smaller, smaller])
