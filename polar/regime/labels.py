"""Which criteria apply to a model, and what each says of its latents."""

from collections.abc import Sequence

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

_OF_ALL = (Criterion.ENTROPY, Criterion.ACTIVE_UNITS)
_OF_VARIATIONAL = (
    Criterion.TWO_SIGNALS,
    Criterion.EPSILON_DELTA,
    Criterion.BONHEME,
    Criterion.BONHEME_STRICT,
)


def applicable(codes: Codes) -> tuple[Criterion, ...]:
    """The criteria that apply.

    Without a variance only those that look at the mean alone, and no latent is called mixed. With
    a conditional prior, the KL divergence is from that one.
    """
    if codes.variance is None:
        return _OF_ALL
    kl = Criterion.KL if codes.prior_mean is None else Criterion.CONDITIONAL_PRIOR
    return (*_OF_ALL, kl, *_OF_VARIATIONAL)


def label_latents(
    codes: Codes, entropies: Sequence[float], signals: Sequence[VarianceSignal], *, tau: float
) -> tuple[CriterionLabel, ...]:
    """The labels by every criterion that applies, one criterion after the other.

    Args:
        codes: Of any model.
        entropies: Of each latent, as the verdict goes by them, in nats.
        signals: Of `variance_signals`.
        tau: A latent is active when its entropy exceeds this many nats.

    Raises:
        InvalidInput: an entropy or tau is not finite, or tau is negative.
    """
    rules = {
        Criterion.ENTROPY: lambda: entropy_labels(entropies, tau),
        Criterion.ACTIVE_UNITS: lambda: active_unit_labels(codes),
        Criterion.TWO_SIGNALS: lambda: two_signal_labels(entropies, signals, tau=tau),
        Criterion.KL: lambda: kl_labels(codes),
        Criterion.CONDITIONAL_PRIOR: lambda: conditional_prior_labels(codes),
        Criterion.EPSILON_DELTA: lambda: collapse_labels(codes),
        Criterion.BONHEME: lambda: bonheme_labels(codes),
        Criterion.BONHEME_STRICT: lambda: strict_bonheme_labels(codes),
    }
    return tuple(label for criterion in applicable(codes) for label in rules[criterion]())
