"""The rule of Bonheme and Grzes: active, passive and mixed by the variance representation.

As published, a latent is active when its variance is near 0, passive when its variance is near 1
and its mean near 0, both for all images, and mixed when some images are active and the others
passive. Their code uses the variance alone, and calls everything mixed that is neither:
`bonheme_labels`. `strict_bonheme_labels` also asks for the means, and has a fourth label for what
falls out of the definition; that an active latent's mean varies is our addition, since a variance
near 0 around a constant mean says nothing of the image.

Conditions become distances: the slack of a condition is how far it holds, negative where it does
not; the slack of several is the smallest. Margins and scores are slacks, so they mix variances
with variances of variances.

For an iVAE, mean and variance are taken relative to its conditional prior.

Notation:
    v, mu: variance and mean representation of one latent, over the images.

Reference: Bonheme and Grzes (2023), https://arxiv.org/abs/2109.12679
"""

import math

import numpy as np
from jaxtyping import Float64

from polar.errors import InvalidInput
from polar.records.latents import Label
from polar.records.measurement import Criterion, CriterionLabel
from polar.regime.codes import Codes

#: Every "near" and "much less than" of the definition, as their code has it.
NEAR = 0.1
#: Least fraction of the images that are active, and that are passive, in a mixed latent of the
#: strict rule. Chosen by us, as is the halfway point between the two kinds of image.
LEAST_FRACTION = 0.05
HALFWAY = 0.5
#: The largest float below it: what is strictly below NEAR is at most this.
_BELOW_NEAR = math.nextafter(NEAR, 0)


def bonheme_labels(codes: Codes) -> tuple[CriterionLabel, ...]:
    """Labels by the variance representation; every latent is active, passive or mixed.

    Active: mean v <= 0.1 and Var v < 0.1. Passive: 0.9 <= mean v <= 1.1 and Var v < 0.1. Mixed:
    the rest. Variances are of the population. The score is the distance from the passive
    conditions.

    Raises:
        InvalidInput: the codes have no variance.
    """
    variances = _variances(codes.relative_to_prior())
    return tuple(_bonheme_label(j, variance) for j, variance in enumerate(variances.T))


def strict_bonheme_labels(codes: Codes) -> tuple[CriterionLabel, ...]:
    """Labels by both representations; what meets no definition is undetermined.

    Active: as above, and Var mu >= 0.1. Passive: as above, and |mean mu| <= 0.1 and Var mu < 0.1.
    Mixed: neither, but the images with v < 0.5 are active, the others passive, and both at least
    5 % of all.

    Raises:
        InvalidInput: the codes have no variance.
    """
    relative = codes.relative_to_prior()
    pairs = zip(relative.mean.T, _variances(relative).T, strict=True)
    return tuple(_strict_label(j, mean, variance) for j, (mean, variance) in enumerate(pairs))


def _variances(codes: Codes) -> Float64[np.ndarray, "n m"]:
    if codes.variance is None:
        raise InvalidInput("Bonheme's rule without a variance; allowed: variational models")
    return codes.variance


def _bonheme_label(j: int, v: Float64[np.ndarray, " n"]) -> CriterionLabel:
    active, passive = _is_active(v), _is_passive(v)
    if active >= 0:
        label, margin = Label.ACTIVE, active
    elif passive >= 0:
        label, margin = Label.PASSIVE, passive
    else:
        label, margin = Label.MIXED, -max(active, passive)
    return CriterionLabel(
        criterion=Criterion.BONHEME,
        latent=j,
        label=label,
        margin=margin,
        score=-passive,
        why=f"{_about_the_variance(v)}: {_CONDITIONS[label]}.",
    )


def _strict_label(
    j: int, mu: Float64[np.ndarray, " n"], v: Float64[np.ndarray, " n"]
) -> CriterionLabel:
    active = min(_is_active(v), _varies(mu))
    passive = min(_is_passive(v), _is_still(mu))
    mixed = _is_mixed(mu, v)
    if active >= 0:
        label, margin = Label.ACTIVE, active
    elif passive >= 0:
        label, margin = Label.PASSIVE, passive
    elif mixed >= 0:
        label, margin = Label.MIXED, min(mixed, -active, -passive)
    else:
        label, margin = Label.UNDETERMINED, -max(active, passive, mixed)
    return CriterionLabel(
        criterion=Criterion.BONHEME_STRICT,
        latent=j,
        label=label,
        margin=margin,
        score=-passive,
        why=f"{_about_the_variance(v)}, the means one of {mu.mean():.3g} and a variance of "
        f"{mu.var():.3g}: {_STRICT_CONDITIONS[label]}.",
    )


_CONDITIONS = {
    Label.ACTIVE: "near 0 for all images",
    Label.PASSIVE: "near 1 for all images",
    Label.MIXED: "neither near 0 nor near 1 for all images",
}
_STRICT_CONDITIONS = {
    Label.ACTIVE: "active for all images",
    Label.PASSIVE: "passive for all images",
    Label.MIXED: "active for some images, passive for the others",
    Label.UNDETERMINED: "neither active, nor passive, nor some of each",
}


def _about_the_variance(v: Float64[np.ndarray, " n"]) -> str:
    return f"The variances have a mean of {v.mean():.3g} and a variance of {v.var():.3g}"


def _is_active(v: Float64[np.ndarray, " n"]) -> float:
    """Slack of: steady, and near 0."""
    return min(_BELOW_NEAR - float(v.var()), NEAR - float(v.mean()))


def _is_passive(v: Float64[np.ndarray, " n"]) -> float:
    """Slack of: steady, and near 1."""
    mean = float(v.mean())
    return min(_BELOW_NEAR - float(v.var()), mean - (1 - NEAR), (1 + NEAR) - mean)


def _varies(mu: Float64[np.ndarray, " n"]) -> float:
    return float(mu.var()) - NEAR


def _is_still(mu: Float64[np.ndarray, " n"]) -> float:
    """Slack of: near 0 for all images."""
    return min(_BELOW_NEAR - float(mu.var()), NEAR - abs(float(mu.mean())))


def _is_mixed(mu: Float64[np.ndarray, " n"], v: Float64[np.ndarray, " n"]) -> float:
    """Slack of: some images are active, and the others passive."""
    on = v < HALFWAY
    enough = min(on.mean(), 1 - on.mean()) - LEAST_FRACTION
    if on.all() or not on.any():
        return float(enough)
    active = min(_is_active(v[on]), _varies(mu[on]))
    passive = min(_is_passive(v[~on]), _is_still(mu[~on]))
    return float(min(enough, active, passive))
