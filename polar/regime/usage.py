"""How well each criterion tells what the decoder uses.

Usage of a latent is the rise of the reconstruction loss when it is set to its mean.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float64
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score

from polar.errors import InvalidInput
from polar.records.measurement import Criterion, CriterionLabel, UsageScore
from polar.regime.arrays import Array, as_float64

#: Share of all usage from which on a latent is used. Chosen by us after the 1 % of explained
#: reconstruction that Chen and Fuge (2024), https://arxiv.org/abs/2404.17773, ask of a dimension.
USED_FROM = 0.01


def usage_scores(
    labels: Sequence[CriterionLabel],
    usage: Array,
    used_from: float = USED_FROM,
) -> tuple[UsageScore, ...]:
    """Scores every criterion, in the order in which they first appear.

    A latent is used when its usage is above `used_from` times the sum of all positive usages: a
    scale of the model's own, since losses have many units. In a wholly collapsed model usage is
    noise, and so is this.

    Args:
        labels: Of all criteria; each labels the latents 0 to m - 1 once.
        usage: Of each latent, shape (m,), in the unit of the reconstruction loss.
        used_from: Fraction, from 0 to below 1.

    Raises:
        InvalidInput: the usage has another shape or is not finite, or used_from is out of range.
    """
    if not 0 <= used_from < 1:
        raise InvalidInput(f"used_from is {used_from}; allowed: from 0 to below 1")
    m = 1 + max(label.latent for label in labels)
    usage = checked_usage(usage, m)
    used = usage > used_from * np.maximum(usage, 0).sum()
    scores: dict[Criterion, Float64[np.ndarray, " m"]] = {}
    for label in labels:
        scores.setdefault(label.criterion, np.zeros(m))[label.latent] = label.score
    return tuple(
        UsageScore(
            criterion=criterion,
            auc=area_under_curve(score, used),
            spearman=rank_correlation(score, usage),
            used=int(used.sum()),
        )
        for criterion, score in scores.items()
    )


def checked_usage(usage: Array, m: int) -> Float64[np.ndarray, " m"]:
    """The usage of m latents, checked.

    Raises:
        InvalidInput: there is not one finite number for each.
    """
    values = as_float64("usage", usage)
    if values.shape != (m,) or not np.isfinite(values).all():
        raise InvalidInput(
            f"usage of shape {values.shape}, {np.isfinite(values).sum()} values finite; "
            f"allowed: one finite number for each of {m} latents"
        )
    return values


def area_under_curve(
    score: Float64[np.ndarray, " m"], truth: Bool[np.ndarray, " m"]
) -> float | None:
    """Probability that the score of a true one exceeds that of a false one; ties count half.

    None when all are true, or none.
    """
    return None if truth.all() or not truth.any() else float(roc_auc_score(truth, score))


def rank_correlation(a: Float64[np.ndarray, " m"], b: Float64[np.ndarray, " m"]) -> float | None:
    """Spearman's; none when either is constant."""
    return None if np.ptp(a) == 0 or np.ptp(b) == 0 else float(spearmanr(a, b).statistic)
