"""Which criteria apply to a model, and how they label its latents."""

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

_FOR_ALL = (Criterion.ENTROPY, Criterion.ACTIVE_UNITS)
_FOR_VARIATIONAL = (
    Criterion.TWO_SIGNALS,
    Criterion.EPSILON_DELTA,
    Criterion.BONHEME,
    Criterion.BONHEME_STRICT,
)


def applicable(codes: Codes) -> tuple[Criterion, ...]:
    """The criteria that apply to these codes.

    Codes without a variance have only the criteria that look at the mean alone, which call no
    latent mixed. Where there is a conditional prior, the KL divergence is taken from it.
    """
    if codes.variance is None:
        return _FOR_ALL
    kl = Criterion.KL if codes.prior_mean is None else Criterion.CONDITIONAL_PRIOR
    return (*_FOR_ALL, kl, *_FOR_VARIATIONAL)


def label_latents(
    codes: Codes, entropies: Sequence[float], signals: Sequence[VarianceSignal], *, tau: float
) -> tuple[CriterionLabel, ...]:
    """The labels by every criterion that applies, one criterion after the other.

    Args:
        codes: The codes of any model.
        entropies: The judged entropy of each latent, in nats.
        signals: What `variance_signals` returned.
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
