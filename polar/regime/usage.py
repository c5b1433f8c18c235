"""How well each criterion predicts what the decoder uses.

The usage of a latent is the rise of the reconstruction loss when the latent is replaced by its
mean, for an iVAE with a learned prior mean by its mean given u.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float64
from scipy.stats import spearmanr
from sklearn.metrics import roc_auc_score
from torch import Tensor

from polar.entropy.samples import Array
from polar.errors import InvalidInput
from polar.records.measurement import Criterion, CriterionLabel, UsageScore
from polar.regime.arrays import as_float64

#: A latent is used when its share of all usage is above this. Chosen by us after the 1 % of the
#: explained reconstruction that Chen and Fuge (2024), https://arxiv.org/abs/2404.17773, ask for.
USED_FROM = 0.01


def usage_scores(
    labels: Sequence[CriterionLabel], usage: Tensor | Array
) -> tuple[UsageScore, ...]:
    """Scores every criterion, in the order in which they first appear.

    A latent is used when its usage is above 1 % of the sum of all positive usages. The model thus
    sets its own scale, because losses have many units. In a wholly collapsed model the usage is
    noise, and so are the scores.

    Args:
        labels: The labels by all criteria; each criterion labels the latents 0 to m - 1 once.
        usage: The usage of each latent, shape (m,), in the unit of the reconstruction loss.

    Raises:
        InvalidInput: the usage has another shape or is not finite.
    """
    m = 1 + max(label.latent for label in labels)
    usage = checked_usage(usage, m)
    used = usage > USED_FROM * np.maximum(usage, 0).sum()
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


def checked_usage(usage: Tensor | Array, m: int) -> Float64[np.ndarray, " m"]:
    """The usage of m latents, checked.

    Raises:
        InvalidInput: there is not a finite number for each latent.
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
    """Probability that the score of a true case exceeds that of a false case; ties count half.

    None when all cases are true, or none is.
    """
    return None if truth.all() or not truth.any() else float(roc_auc_score(truth, score))


def rank_correlation(a: Float64[np.ndarray, " m"], b: Float64[np.ndarray, " m"]) -> float | None:
    """Spearman's rank correlation; none when either quantity is constant."""
    return None if np.ptp(a) == 0 or np.ptp(b) == 0 else float(spearmanr(a, b).statistic)
