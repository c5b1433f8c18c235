"""Which criteria apply to a model, and how they label its latents."""

from collections.abc import Sequence

from polar.records.latents import LatentMeasures
from polar.records.measurement import Criterion, CriterionLabel
from polar.regime.bonheme import bonheme_labels, strict_bonheme_labels
from polar.regime.codes import Codes
from polar.regime.criteria import (
    active_unit_labels,
    collapse_labels,
    conditional_prior_labels,
    entropy_labels,
    kl_labels,
)
from polar.regime.mixed import VarianceSignal, two_signal_labels

_FOR_VARIATIONAL = (
    Criterion.TWO_SIGNALS,
    Criterion.EPSILON_DELTA,
    Criterion.BONHEME,
    Criterion.BONHEME_STRICT,
)


def applicable(codes: Codes) -> tuple[Criterion, ...]:
    """The criteria that apply to these codes.

    Codes without a variance have only the criteria that look at the mean alone, which call no
    latent mixed. Where there is a conditional prior, the KL divergence is taken from it. Where the
    prior is N(0, 1), both rulers are the same.
    """
    if codes.variance is None:
        return (Criterion.ENTROPY, Criterion.ENTROPY_ABSOLUTE, Criterion.ACTIVE_UNITS)
    if codes.prior_mean is None:
        return (Criterion.ENTROPY, Criterion.ACTIVE_UNITS, Criterion.KL, *_FOR_VARIATIONAL)
    return (
        Criterion.ENTROPY,
        Criterion.ENTROPY_ABSOLUTE,
        Criterion.ACTIVE_UNITS,
        Criterion.CONDITIONAL_PRIOR,
        *_FOR_VARIATIONAL,
    )


def label_latents(
    codes: Codes,
    latents: Sequence[LatentMeasures],
    signals: Sequence[VarianceSignal],
    *,
    tau: float,
) -> tuple[CriterionLabel, ...]:
    """The labels by every criterion that applies, one criterion after the other.

    Args:
        codes: The codes of any model.
        latents: The measures of all latents.
        signals: What `variance_signals` returned.
        tau: A latent is active when its entropy exceeds this many nats.

    Raises:
        InvalidInput: an entropy or tau is not finite, or tau is negative.
    """
    entropies = [latent.judged_entropy_nats for latent in latents]
    absolute = [latent.entropy_nats for latent in latents]
    rules = {
        Criterion.ENTROPY: lambda: entropy_labels(entropies, tau),
        Criterion.ENTROPY_ABSOLUTE: lambda: entropy_labels(
            absolute, tau, Criterion.ENTROPY_ABSOLUTE
        ),
        Criterion.ACTIVE_UNITS: lambda: active_unit_labels(codes),
        Criterion.TWO_SIGNALS: lambda: two_signal_labels(entropies, signals, tau=tau),
        Criterion.KL: lambda: kl_labels(codes),
        Criterion.CONDITIONAL_PRIOR: lambda: conditional_prior_labels(codes),
        Criterion.EPSILON_DELTA: lambda: collapse_labels(codes),
        Criterion.BONHEME: lambda: bonheme_labels(codes),
        Criterion.BONHEME_STRICT: lambda: strict_bonheme_labels(codes),
    }
    return tuple(label for criterion in applicable(codes) for label in rules[criterion]())
