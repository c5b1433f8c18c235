"""The best split of numbers into two groups, which is Otsu's, sought among all splits.

Notation:
    w, mean: fraction and mean of either group.
    w_low w_high (mean_high - mean_low)^2: variance between the groups; that of the best split is
        the largest.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64


@dataclass(frozen=True)
class Split:
    """Two groups: values at or below `low_edge`, and values at or above `high_edge`."""

    low_edge: float
    high_edge: float
    low_mean: float
    high_mean: float
    #: Fraction of the values in the low group, above 0 and below 1.
    low_fraction: float
    #: Variance between the groups / variance of all values, above 0, at most 1; evenly spaced
    #: values have 3/4.
    separability: float

    @property
    def middle(self) -> float:
        """Halfway between the groups."""
        return self.low_edge + (self.high_edge - self.low_edge) / 2


def best_split(values: Float64[np.ndarray, " n"]) -> Split | None:
    """The split with the most variance between the groups.

    None when all values are alike, or so nearly that their variance underflows.

    Reference: Otsu (1979), https://doi.org/10.1109/TSMC.1979.4310076
    """
    values = np.sort(values)
    n = len(values)
    (ends,) = np.nonzero(np.diff(values))  # where a low group may end: equal values stay together
    if len(ends) == 0 or values.var() == 0:
        return None
    centred = values - values.mean()  # else the sums below would lose digits
    sums = np.cumsum(centred)[ends]
    size = ends + 1
    low, high = sums / size, (centred.sum() - sums) / (n - size)
    between = size / n * (n - size) / n * (high - low) ** 2
    best = int(between.argmax())
    return Split(
        low_edge=float(values[ends[best]]),
        high_edge=float(values[ends[best] + 1]),
        # Rounding must not move a mean out of its group.
        low_mean=float(np.clip(values.mean() + low[best], values[0], values[ends[best]])),
        high_mean=float(np.clip(values.mean() + high[best], values[ends[best] + 1], values[-1])),
        low_fraction=float(size[best] / n),
        separability=min(float(between[best] / values.var()), 1.0),
    )
