"""The criteria that draw one line: active on one side, passive on the other.

For an iVAE, mean and variance are taken relative to its conditional prior, so that every criterion
uses the model's own prior; except for `active_unit_labels`, which knows no prior.
"""

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
from jaxtyping import Float64

from polar.errors import InvalidInput
from polar.records.latents import Label
from polar.records.measurement import Criterion, CriterionLabel
from polar.regime.codes import Codes
from polar.regime.divergence import divergence
from polar.regime.words import beside

#: Variance of the mean representation; the usual value for the criterion of Burda et al.
ACTIVE_FROM_VARIANCE = 0.01
#: Nats. Chosen by us, because it equals EPSILON; in the linear VAE, whose optimum is known in
#: closed form, it is the divergence of a latent whose mean has a variance of 0.02.
ACTIVE_FROM_KL = 0.01
#: Nats. Chosen by us from the range over which Lucas et al. sweep it.
EPSILON = 0.01
#: Fraction of the images; the value of Lucas et al.
DELTA = 0.01


def label_by_entropy(entropy_nats: float, tau: float) -> Label:
    """A latent is active when its entropy exceeds the threshold, else passive.

    The entropy of the mean alone cannot distinguish mixed latents from active ones; they count as
    active here.

    Args:
        entropy_nats: Entropy of the latent's mean representation, in nats.
        tau: Threshold, in nats, at least 0.

    Raises:
        InvalidInput: the entropy or tau is not finite, or tau is negative.

    Reference: Clapham, Bonheme, Grzes (2026), Eq. 8, https://arxiv.org/abs/2605.15965
    """
    if not math.isfinite(entropy_nats):
        raise InvalidInput(f"the entropy of a latent is {entropy_nats}; allowed: finite numbers")
    if not 0 <= tau < math.inf:
        raise InvalidInput(f"tau is {tau} nats; allowed: 0 and above, finite")
    return Label.ACTIVE if entropy_nats > tau else Label.PASSIVE


def entropy_labels(
    entropies: Sequence[float], tau: float, criterion: Criterion = Criterion.ENTROPY
) -> tuple[CriterionLabel, ...]:
    """Labels by `label_by_entropy`; distances to the boundary are in nats.

    Args:
        entropies: The entropy of each latent, in nats.
        tau: Threshold, in nats, at least 0.
        criterion: The name under which the entropies are those of the ruler, or absolute.

    Raises:
        InvalidInput: an entropy or tau is not finite, or tau is negative.
    """
    labels = [label_by_entropy(entropy, tau) for entropy in entropies]
    return _criterion_labels(criterion, "The entropy of the mean", entropies, tau, "nats", labels)


def active_unit_labels(
    codes: Codes, threshold: float = ACTIVE_FROM_VARIANCE
) -> tuple[CriterionLabel, ...]:
    """Active when the variance of the mean representation exceeds the threshold.

    This criterion knows no prior: where the mean of an iVAE's conditional prior varies with u,
    the latent's mean varies too, even if it says nothing besides u.

    Reference: Burda, Grosse, Salakhutdinov (2015), https://arxiv.org/abs/1509.00519
    """
    variances = codes.mean.var(axis=0)
    return _above(Criterion.ACTIVE_UNITS, "The variance of the mean", variances, threshold, "")


def kl_labels(codes: Codes, threshold: float = ACTIVE_FROM_KL) -> tuple[CriterionLabel, ...]:
    """Active when the mean KL divergence from N(0, 1) over images exceeds the threshold, in nats.

    Raises:
        InvalidInput: the codes have no variance.

    Reference: Clapham, Bonheme, Grzes (2026), Eq. 9, https://arxiv.org/abs/2605.15965
    """
    return _by_mean_divergence(Criterion.KL, "N(0, 1)", codes, threshold)


def conditional_prior_labels(
    codes: Codes, threshold: float = ACTIVE_FROM_KL
) -> tuple[CriterionLabel, ...]:
    """Passive when the posteriors of an iVAE equal its conditional prior: a divergence of about 0.

    Raises:
        InvalidInput: the codes have no variance.

    Reference: Khemakhem et al. (2020), https://arxiv.org/abs/1907.04809, who define the prior
    """
    prior = "the conditional prior"
    return _by_mean_divergence(Criterion.CONDITIONAL_PRIOR, prior, codes, threshold)


def collapse_labels(
    codes: Codes, epsilon: float = EPSILON, delta: float = DELTA
) -> tuple[CriterionLabel, ...]:
    """Passive when (epsilon, delta)-collapsed: P(KL < epsilon) >= 1 - delta over the images.

    The score is the KL divergence, in nats, that all images but a fraction delta stay at or
    below: a latent is collapsed exactly when its score is below epsilon.

    Args:
        codes: Codes with a variance.
        epsilon: A divergence in nats, positive.
        delta: A fraction of the images, from 0 to below 1, taken as the decimal it is written as:
            0.29 of 100 images are 29, although the nearest float is less.

    Raises:
        InvalidInput: the codes have no variance, or epsilon or delta is out of range.

    Reference: Lucas et al. (2019), section 6.2, https://arxiv.org/abs/1911.02469
    """
    if not (0 < epsilon < math.inf and 0 <= delta < 1):
        raise InvalidInput(
            f"epsilon is {epsilon} and delta {delta}; allowed: above 0, and from 0 to below 1"
        )
    totals = divergence(codes).total
    n = len(totals)
    spared = math.floor(Fraction(str(delta)) * n)  # images that may be at epsilon or above
    scores = np.sort(totals, axis=0)[n - spared - 1]
    labels = [Label.PASSIVE if score < epsilon else Label.ACTIVE for score in scores]
    below = (totals < epsilon).sum(axis=0)
    return tuple(
        CriterionLabel(
            criterion=Criterion.EPSILON_DELTA,
            latent=j,
            label=label,
            margin=abs(float(scores[j]) - epsilon),
            score=float(scores[j]),
            why=f"The KL divergence is below {epsilon} nats for {below[j]} of {n} images "
            f"(collapsed from {n - spared}).",
        )
        for j, label in enumerate(labels)
    )


def _by_mean_divergence(
    criterion: Criterion, prior: str, codes: Codes, threshold: float
) -> tuple[CriterionLabel, ...]:
    means = divergence(codes).total.mean(axis=0)
    return _above(criterion, f"The mean KL divergence from {prior}", means, threshold, "nats")


def _above(
    criterion: Criterion,
    quantity: str,
    scores: Float64[np.ndarray, " m"],
    threshold: float,
    unit: str,
) -> tuple[CriterionLabel, ...]:
    if not 0 <= threshold < math.inf:
        raise InvalidInput(f"the threshold is {threshold}; allowed: 0 and above, finite")
    labels = [Label.ACTIVE if score > threshold else Label.PASSIVE for score in scores]
    return _criterion_labels(criterion, quantity, scores.tolist(), threshold, unit, labels)


def _criterion_labels(
    criterion: Criterion,
    quantity: str,
    scores: Sequence[float],
    threshold: float,
    unit: str,
    labels: Sequence[Label],
) -> tuple[CriterionLabel, ...]:
    space = f" {unit}" if unit else ""
    return tuple(
        CriterionLabel(
            criterion=criterion,
            latent=j,
            label=label,
            margin=abs(score - threshold),
            score=score,
            why=f"{quantity} is {beside(threshold, score)}{space}, "
            f"{'above' if label is Label.ACTIVE else 'at most'} {threshold:g}.",
        )
        for j, (score, label) in enumerate(zip(scores, labels, strict=True))
    )
