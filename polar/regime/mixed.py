"""Mixed latents: active for some images, passive for the others.

The entropy of the mean cannot distinguish them from active latents, and the entropy of the
variance is also high where the variance is spread smoothly. Hence a mixed latent must give two
signals: its mean has entropy, and its variance has two modes, near 0 and near 1.

For an iVAE, mean and variance are taken relative to its conditional prior.

Notation:
    n, m: images, latents.
    H(mu), H(v): entropies of the mean and of the variance representation, nats.
    dip: Hartigan's dip; for two modes far apart it is half the fraction of the smaller mode.

Reference: Clapham, Bonheme, Grzes (2026), Eq. 11 and section 4.3,
https://arxiv.org/abs/2605.15965
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from polar.entropy import renyi_entropy
from polar.records.latents import Label
from polar.records.measurement import Criterion, CriterionLabel, MixedScore
from polar.regime.codes import Codes
from polar.regime.criteria import EPSILON, label_by_entropy
from polar.regime.dip import FEWEST, SIGNIFICANT, dip_test
from polar.regime.divergence import divergence
from polar.regime.split import best_split
from polar.regime.subsets import subset_entropies
from polar.spec.training import Ruler

#: Kernel width for the variance, which lies between 0 and 1: a width of 0.5 would blur its modes.
SIGMA_VARIANCE = 0.1
#: Nats of H(v). Chosen by us, because a mode of 2 % of the images has as much.
SPREAD_FROM_NATS = 0.1
#: Below the first a mode is near 0, above the second it is near 1. Chosen by us.
NEAR_ZERO, NEAR_ONE = 0.3, 0.7
#: Least fraction of the images in the smaller mode. Chosen by us.
LEAST_FRACTION = 0.05


@dataclass(frozen=True)
class VarianceSignal:
    """What the variance representation of one latent looks like."""

    entropy_nats: float
    #: Fractions of the images with a variance near 0, and near 1.
    near_zero: float
    near_one: float
    #: Means of the two groups of the best split; equal when all variances are alike.
    low_mean: float
    high_mean: float
    dip: float
    p_value: float

    @property
    def reaches_both_ends(self) -> bool:
        """At least 5 % of the images are near 0, as many near 1, and the entropy is high."""
        is_spread = self.entropy_nats > SPREAD_FROM_NATS
        return is_spread and min(self.near_zero, self.near_one) >= LEAST_FRACTION

    @property
    def has_two_modes(self) -> bool:
        """Both ends are reached, and the dip is that of a mode of 5 %, and not by chance."""
        return (
            self.reaches_both_ends
            and self.low_mean < NEAR_ZERO
            and self.high_mean > NEAR_ONE
            and self.dip >= LEAST_FRACTION / 2
            and self.p_value < SIGNIFICANT
        )


def variance_signals(codes: Codes, *, renyi_alpha: float) -> tuple[VarianceSignal, ...]:
    """The signal of each latent; empty for a deterministic autoencoder.

    Args:
        codes: The codes of any model.
        renyi_alpha: Order of the entropy.
    """
    variance = codes.relative_to_prior().variance
    if variance is None:
        return ()
    entropies = renyi_entropy(variance, alpha=renyi_alpha, sigma=SIGMA_VARIANCE).nats
    return tuple(
        _variance_signal(v, float(nats)) for v, nats in zip(variance.T, entropies, strict=True)
    )


def _variance_signal(v: Float64[np.ndarray, " n"], nats: float) -> VarianceSignal:
    split = best_split(v)
    is_few = split is None or len(v) < FEWEST
    dip, p_value = (0.0, 1.0) if is_few else dip_test(v)
    return VarianceSignal(
        entropy_nats=nats,
        near_zero=float((v < NEAR_ZERO).mean()),
        near_one=float((v > NEAR_ONE).mean()),
        low_mean=split.low_mean if split else float(v.mean()),
        high_mean=split.high_mean if split else float(v.mean()),
        dip=dip,
        p_value=p_value,
    )


def two_signal_labels(
    entropies: Sequence[float], signals: Sequence[VarianceSignal], *, tau: float
) -> tuple[CriterionLabel, ...]:
    """Mixed when H(mu) > tau, and the variance has two modes, near 0 and near 1.

    Passive when H(mu) <= tau. Active when H(mu) > tau, and H(v) <= 0.1 nats or less than 5 % of
    the images are near either end. Undetermined when the variance is spread between the ends
    without two modes. Distances to the boundary are those of the entropies, in nats.

    Args:
        entropies: H(mu) of each latent, as the verdict goes by it, in nats.
        signals: The signal of each latent.
        tau: Threshold, in nats, at least 0.

    Raises:
        InvalidInput: an entropy or tau is not finite, or tau is negative.
    """
    pairs = zip(entropies, signals, strict=True)
    return tuple(_two_signal_label(j, nats, signal, tau) for j, (nats, signal) in enumerate(pairs))


def _two_signal_label(j: int, nats: float, signal: VarianceSignal, tau: float) -> CriterionLabel:
    spread = f"{signal.near_zero:.0%} of the images have a variance near 0, {signal.near_one:.0%}"
    if label_by_entropy(nats, tau) is Label.PASSIVE:
        label, why = Label.PASSIVE, "the mean hardly varies"
    elif not signal.reaches_both_ends:
        label, why = Label.ACTIVE, f"the mean varies, and {spread} near 1"
    elif signal.has_two_modes:
        label, why = Label.MIXED, f"the mean varies, and {spread} near 1, with less in between"
    else:
        label, why = Label.UNDETERMINED, f"the mean varies, and {spread} near 1, without two modes"
    to_tau, to_spread = abs(nats - tau), abs(signal.entropy_nats - SPREAD_FROM_NATS)
    return CriterionLabel(
        criterion=Criterion.TWO_SIGNALS,
        latent=j,
        label=label,
        margin=to_tau if label is Label.PASSIVE else min(to_tau, to_spread),
        score=nats,
        why=f"H(mu) is {nats:.3g} and H(v) {signal.entropy_nats:.3g} nats: {why}.",
    )


def mixed_scores(
    codes: Codes,
    entropies: Sequence[float],
    signals: Sequence[VarianceSignal],
    *,
    ruler: Ruler,
    sigma: float,
    renyi_alpha: float,
    tau: float,
    rng: np.random.Generator,
) -> tuple[MixedScore, ...]:
    """Every signal of every latent; each is larger for a mixed latent, as far as it works.

    Args:
        codes: The codes of any model.
        entropies: H(mu) of each latent, as the verdict goes by it, in nats.
        signals: What `variance_signals` returned.
        ruler: The unit of the mean.
        sigma: Kernel width of the entropy of the mean, in units of the ruler.
        renyi_alpha: Order of the entropies.
        tau: A latent whose H(mu) is at least this many nats is fully active.
        rng: Draws the images in which a deterministic autoencoder's subsets are sought.
    """
    in_its_unit = codes.in_units_of(ruler)
    variances = in_its_unit.mean.var(axis=0)
    subsets = subset_entropies(in_its_unit, sigma=sigma, renyi_alpha=renyi_alpha, rng=rng)
    bimodalities = _kl_bimodalities(codes) if signals else ()
    return tuple(
        MixedScore(
            latent=j,
            mean_entropy_nats=nats,
            var_of_mean=float(variances[j]),
            variance_entropy_nats=signals[j].entropy_nats if signals else None,
            kl_bimodality=bimodalities[j] if signals else None,
            two_signals=_two_signal_score(nats, signals[j], tau) if signals else None,
            subset_entropy_nats=subsets[j],
        )
        for j, nats in enumerate(entropies)
    )


def _two_signal_score(nats: float, signal: VarianceSignal, tau: float) -> float:
    """Activity of the mean * weight of the smaller mode * distance of the modes, each 0 to 1."""
    apart = min(signal.high_mean - signal.low_mean, 1.0)
    activity = nats / tau if nats < tau else 1.0
    return activity * 4 * signal.dip * apart


def _kl_bimodalities(codes: Codes) -> tuple[float, ...]:
    """Large where the KL divergence is small for some images and not for the others."""
    below = (divergence(codes).total < EPSILON).mean(axis=0)
    return tuple((2 * np.minimum(below, 1 - below)).tolist())
