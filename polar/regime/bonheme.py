"""The rule of Bonheme and Grzes: active, passive and mixed by the variance representation.

As published, a latent is active when its variance is near 0, passive when its variance is near 1
and its mean near 0, both for all images, and mixed when it is active for some images and passive
for the others. Their code looks at the variance alone, and calls everything mixed that is neither
active nor passive: `bonheme_labels`. `strict_bonheme_labels` looks at the means too, and has a
fourth label for what the definition leaves out. It also asks that an active latent's mean varies,
which is our addition, because a variance near 0 around a constant mean says nothing of the image.

Conditions become numbers: the slack of a condition is how far it is from failing, negative where
it fails; the slack of several conditions is the smallest of theirs. Distances to the boundary and
scores are slacks, so they mix variances with variances of variances.

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

#: What "near" and "much less than" mean in the definition, taken from their code.
NEAR = 0.1
#: A latent that the strict rule calls mixed is active for at least this fraction of the images,
#: and passive for at least as many. Chosen by us, like the variance below which it is active.
LEAST_FRACTION = 0.05
HALFWAY = 0.5
#: The largest float below NEAR: whatever is strictly below NEAR is at most this.
_BELOW_NEAR = math.nextafter(NEAR, 0)


def bonheme_labels(codes: Codes) -> tuple[CriterionLabel, ...]:
    """Labels by the variance representation; every latent is active, passive or mixed.

    Active: mean v <= 0.1 and Var v < 0.1. Passive: 0.9 <= mean v <= 1.1 and Var v < 0.1. Mixed:
    the rest. Variances are those of the population. The score says how far the latent is from
    meeting the passive conditions.

    Raises:
        InvalidInput: the codes have no variance.
    """
    variances = _variances(codes.relative_to_prior())
    return tuple(_bonheme_label(j, variance) for j, variance in enumerate(variances.T))


def strict_bonheme_labels(codes: Codes) -> tuple[CriterionLabel, ...]:
    """Labels by both representations; a latent that meets no definition is undetermined.

    Active: as in `bonheme_labels`, and Var mu >= 0.1. Passive: as in `bonheme_labels`, and
    |mean mu| <= 0.1 and Var mu < 0.1. Mixed: neither, but active for the images with v < 0.5 and
    passive for the others, and either group is at least 5 % of the images.

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
    active, passive = _active_slack(v), _passive_slack(v)
    if active >= 0:
        label, distance = Label.ACTIVE, active
    elif passive >= 0:
        label, distance = Label.PASSIVE, passive
    else:
        label, distance = Label.MIXED, -max(active, passive)
    return CriterionLabel(
        criterion=Criterion.BONHEME,
        latent=j,
        label=label,
        margin=distance,
        score=-passive,
        why=f"{_about_the_variance(v)}: {_CONDITIONS[label]}.",
    )


def _strict_label(
    j: int, mu: Float64[np.ndarray, " n"], v: Float64[np.ndarray, " n"]
) -> CriterionLabel:
    active = min(_active_slack(v), _variation_slack(mu))
    passive = min(_passive_slack(v), _stillness_slack(mu))
    mixed = _mixed_slack(mu, v)
    if active >= 0:
        label, distance = Label.ACTIVE, active
    elif passive >= 0:
        label, distance = Label.PASSIVE, passive
    elif mixed >= 0:
        label, distance = Label.MIXED, min(mixed, -active, -passive)
    else:
        label, distance = Label.UNDETERMINED, -max(active, passive, mixed)
    return CriterionLabel(
        criterion=Criterion.BONHEME_STRICT,
        latent=j,
        label=label,
        margin=distance,
        score=-passive,
        why=f"{_about_the_variance(v)}, and the means a mean of {mu.mean():.3g} and a variance of "
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


def _active_slack(v: Float64[np.ndarray, " n"]) -> float:
    """The slack of the conditions that the variances are steady and near 0."""
    return min(_BELOW_NEAR - float(v.var()), NEAR - float(v.mean()))


def _passive_slack(v: Float64[np.ndarray, " n"]) -> float:
    """The slack of the conditions that the variances are steady and near 1."""
    mean = float(v.mean())
    return min(_BELOW_NEAR - float(v.var()), mean - (1 - NEAR), (1 + NEAR) - mean)


def _variation_slack(mu: Float64[np.ndarray, " n"]) -> float:
    """The slack of the condition that the means vary."""
    return float(mu.var()) - NEAR


def _stillness_slack(mu: Float64[np.ndarray, " n"]) -> float:
    """The slack of the conditions that the means are steady and near 0."""
    return min(_BELOW_NEAR - float(mu.var()), NEAR - abs(float(mu.mean())))


def _mixed_slack(mu: Float64[np.ndarray, " n"], v: Float64[np.ndarray, " n"]) -> float:
    """The slack of the conditions that the latent is active for some images, else passive."""
    on = v < HALFWAY
    enough = min(on.mean(), 1 - on.mean()) - LEAST_FRACTION
    if on.all() or not on.any():
        return float(enough)
    active = min(_active_slack(v[on]), _variation_slack(mu[on]))
    passive = min(_passive_slack(v[~on]), _stillness_slack(mu[~on]))
    return float(min(enough, active, passive))
