"""The confidence interval of a mean."""

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import stdtrit


def half_width(
    values: Sequence[float], *, confidence: float, test_over_train: float = 0.0
) -> float:
    """Half the width of Student's interval for the mean of these values.

    Values from several splits of the same images into train and test images share most of the
    images, so that their mean varies more than that of independent values: its variance is taken
    as s^2 (1 / n + test images / train images) rather than s^2 / n.

    Args:
        values: At least 2 values.
        confidence: Probability that the interval covers, both sides together, below 1.
        test_over_train: Test images / train images; 0 for independent values.

    Reference: Nadeau and Bengio (2003), https://doi.org/10.1023/A:1024068626366
    """
    n = len(values)
    variance = float(np.var(values, ddof=1)) * (1 / n + test_over_train)
    return float(stdtrit(n - 1, (1 + confidence) / 2)) * math.sqrt(variance)
