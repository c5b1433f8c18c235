"""What regime a latent space is in.

Notation:
    H: judged entropies of the latents, in nats; active above tau, passive at or below.
    P: polarisation = (mean H of the actives - mean H of the passives) / max H, 0 to 1.
    R: part of the explainable reconstruction loss that the model explains, at most 1.
"""

from collections.abc import Iterator, Sequence
from statistics import fmean

import numpy as np

from polar.errors import InvalidInput
from polar.records.latents import (
    Flaw,
    Label,
    LatentDiagnostics,
    LatentMeasures,
    Regime,
    Verdict,
)
from polar.regime.criteria import label_by_entropy
from polar.regime.decoding import Decoding

#: Least P of a space that is polarised by P. Chosen by us, because it makes the polarised
#: weights of the linear beta-VAE, which is solved in closed form, one interval for nearly every
#: spectrum.
POLARISED_FROM = 0.5
#: An active latent with less of the summed usage than this is idle. Chosen by us on 39 trainings,
#: where used and idle latents lie a factor 10 apart.
IDLE_BELOW = 0.002
#: The active latents of a clean space alone bring at least this part of what all latents add to R.
#: Chosen by us on 39 trainings, with the other limits of a clean space: noise of 10 % on the stds
#: and 20 % on the usages changed 0.1 % of their verdicts, and 4.6 % of those of a stricter rule,
#: which asked an active latent for 1 % of the usage and judged leaks latent by latent.
SUFFICIENT_FROM = 0.95
#: Least factor between the equivalent stds of the weakest active and the strongest passive latent.
#: Chosen by us, because noise of 10 % on every std then hardly ever closes the gap.
LEAST_GAP = 2.0


def labelled(
    latents: Sequence[LatentMeasures], tau_nats: float, usage_nats: Sequence[float] | None = None
) -> tuple[LatentDiagnostics, ...]:
    """The latents with their labels, and with their usage if the decoder is known.

    Args:
        latents: The measures of all latents of one evaluation.
        tau_nats: A latent is active when its judged entropy exceeds this many nats.
        usage_nats: Rise of the reconstruction loss when a latent is replaced by its mean, for each
            latent, nats per image.

    Raises:
        InvalidInput: there are no latents, or an entropy or tau is not finite.
    """
    if not latents:
        raise InvalidInput("a latent space of 0 latents; allowed: at least 1")
    labels = [label_by_entropy(latent.judged_entropy_nats, tau_nats) for latent in latents]
    rises = [None] * len(latents) if usage_nats is None else usage_nats
    idle_below = IDLE_BELOW * np.maximum([rise or 0.0 for rise in rises], 0).sum()
    return tuple(
        LatentDiagnostics(
            **vars(latent),
            label=label,
            usage_nats=rise,
            is_idle=None if rise is None else label is Label.ACTIVE and rise < idle_below,
        )
        for latent, label, rise in zip(latents, labels, rises, strict=True)
    )


def judge(
    latents: Sequence[LatentDiagnostics],
    *,
    tau_std: float,
    tau_nats: float,
    decoding: Decoding | None = None,
    settled: bool | None = None,
) -> Verdict:
    """The verdict on a latent space.

    A model that explains nothing is untrained, or collapsed once its training has settled. Other
    spaces are under-regularised without a passive latent, clean without a flaw, else forming.
    Entropies alone never call a model collapsed. Only labels and gap are known of bare codes.

    Args:
        latents: All latents of one evaluation, as `labelled` labelled them.
        tau_std: The threshold, in units of the ruler.
        tau_nats: The same in nats, by which the latents were labelled.
        decoding: What the decoder makes of the latents; none for bare codes.
        settled: Whether the training had settled; none for bare codes.
    """
    actives, passives = entropies_by_label(latents)
    polarisation = _polarisation(actives, passives)
    gap = _gap_factor(latents)
    regime, flaws = _regime(latents, gap, decoding, is_settled=bool(settled))
    part = None if decoding is None else decoding.explained.part
    return Verdict(
        regime=regime,
        flaws=flaws,
        paper_regime=_paper_regime(actives, passives, polarisation),
        tau_std=tau_std,
        tau_nats=tau_nats,
        n_active=len(actives),
        n_passive=len(passives),
        polarisation=polarisation,
        margin_nats=min(actives) - max(passives) if actives and passives else None,
        gap_factor=gap,
        explained=part,
        explained_se=None if decoding is None else decoding.explained.se,
        explained_by_prior=None if decoding is None else decoding.explained_by_prior,
        explains_nothing=None if decoding is None else decoding.explains_nothing,
        sufficiency=None if decoding is None else decoding.sufficiency,
        n_idle=None if decoding is None else _count_idle(latents),
        clean_polarisation=None if part is None else polarisation * max(part, 0.0),
        settled=settled,
    )


def entropies_by_label(
    latents: Sequence[LatentDiagnostics],
) -> tuple[list[float], list[float]]:
    """The judged entropies of the active latents, and those of the passive ones."""
    actives, passives = (
        [latent.judged_entropy_nats for latent in latents if latent.label is label]
        for label in (Label.ACTIVE, Label.PASSIVE)
    )
    return actives, passives


def _polarisation(actives: Sequence[float], passives: Sequence[float]) -> float:
    if not actives or not passives:
        return 0.0
    apart = (fmean(actives) - fmean(passives)) / max(actives)
    return min(apart, 1.0)  # the mean of equal numbers can exceed them in the last digit


def _paper_regime(
    actives: Sequence[float], passives: Sequence[float], polarisation: float
) -> Regime:
    if not actives:
        return Regime.COLLAPSED
    if not passives:
        return Regime.UNDER_REGULARISED
    return Regime.POLARISED if polarisation >= POLARISED_FROM else Regime.FORMING


def _gap_factor(latents: Sequence[LatentDiagnostics]) -> float | None:
    stds = {
        label: [latent.equivalent_std for latent in latents if latent.label is label]
        for label in (Label.ACTIVE, Label.PASSIVE)
    }
    strongest_passive = max(stds[Label.PASSIVE], default=0.0)
    if not stds[Label.ACTIVE] or strongest_passive == 0:
        return None
    return min(stds[Label.ACTIVE]) / strongest_passive


def _count_idle(latents: Sequence[LatentDiagnostics]) -> int:
    return sum(bool(latent.is_idle) for latent in latents)


def _regime(
    latents: Sequence[LatentDiagnostics],
    gap: float | None,
    decoding: Decoding | None,
    *,
    is_settled: bool,
) -> tuple[Regime, tuple[Flaw, ...]]:
    labels = {latent.label for latent in latents}
    if decoding is None:
        if Label.ACTIVE not in labels:
            return Regime.COLLAPSED, ()
    elif decoding.explains_nothing:
        return (Regime.COLLAPSED if is_settled else Regime.UNTRAINED), ()
    if Label.PASSIVE not in labels:
        return Regime.UNDER_REGULARISED, ()
    flaws = tuple(_flaws(latents, gap, decoding))
    if flaws:
        return Regime.FORMING, flaws
    return (Regime.POLARISED if decoding is None else Regime.CLEAN), ()


def _flaws(
    latents: Sequence[LatentDiagnostics], gap: float | None, decoding: Decoding | None
) -> Iterator[Flaw]:
    if _count_idle(latents):
        yield Flaw.IDLE
    if decoding is not None and (decoding.sufficiency or 0.0) < SUFFICIENT_FROM:
        yield Flaw.LEAK
    if gap is not None and gap < LEAST_GAP:
        yield Flaw.BLURRED
