"""A measurement in words: why the verdict is what it is, and how much of it to believe."""

from collections.abc import Sequence

from polar.records.latents import Label, LatentDiagnostics, Verdict
from polar.records.measurement import Agreement, Criterion, CriterionLabel, Dip, Threshold
from polar.regime.dip import FEWEST, SIGNIFICANT
from polar.regime.polarisation import explain_regime
from polar.regime.words import count_latents


def explain_measurement(
    *,
    latents: Sequence[LatentDiagnostics],
    verdict: Verdict,
    thresholds: Sequence[Threshold],
    dip: Dip | None,
    labels: Sequence[CriterionLabel],
    agreement: Sequence[Agreement],
) -> str:
    """One paragraph for a researcher.

    Args:
        latents: The measures of all latents.
        verdict: On them.
        thresholds: By every rule, the chosen one first.
        dip: Of the entropies.
        labels: By every criterion that applies.
        agreement: Of every two criteria.
    """
    evidence = explain_evidence(
        verdict=verdict, thresholds=thresholds, dip=dip, labels=labels, agreement=agreement
    )
    return f"{explain_regime(latents, verdict)} {evidence}"


def explain_evidence(
    *,
    verdict: Verdict,
    thresholds: Sequence[Threshold],
    dip: Dip | None,
    labels: Sequence[CriterionLabel],
    agreement: Sequence[Agreement],
) -> str:
    """What speaks for the verdict and against it, without the verdict itself.

    Args:
        verdict: On the latents.
        thresholds: By every rule, the chosen one first.
        dip: Of the entropies.
        labels: By every criterion that applies.
        agreement: Of every two criteria.
    """
    sentences = (
        _about_the_threshold(verdict, thresholds),
        _about_the_dip(dip, verdict.n_active + verdict.n_passive),
        _about_the_mixed(labels),
        _about_the_agreement(agreement),
    )
    return " ".join(sentences)


def _about_the_threshold(verdict: Verdict, thresholds: Sequence[Threshold]) -> str:
    chosen, *others = thresholds
    sentences = [chosen.reason]
    if chosen.tau_nats is None:
        sentences.append(f"Tau was set to {verdict.tau_nats:g} nats instead.")
    elif chosen.interval is not None and chosen.interval.low_nats < chosen.interval.high_nats:
        low, high = chosen.interval.low_nats, chosen.interval.high_nats
        sentences.append(f"With other images it would lie from {low:.3g} to {high:.3g} nats.")
    found = [f"{t.method} {t.tau_nats:.2g}" for t in others if t.tau_nats is not None]
    missed = [t.method for t in others if t.tau_nats is None]
    if found:
        sentences.append(f"Other rules, in nats: {', '.join(found)}.")
    if missed:
        sentences.append(f"No regime is seen by: {', '.join(missed)}.")
    return " ".join(sentences)


def _about_the_dip(dip: Dip | None, m: int) -> str:
    if dip is None:
        return f"A test for two groups of latents needs at least {FEWEST}."
    test = f"Hartigan's dip of the entropies is {dip.dip:.3f} (p = {dip.p_value:.2g})"
    if dip.p_value < SIGNIFICANT:
        return f"{test}, evidence for two groups."
    if dip.smallest_group is None:
        return f"{test}; of {count_latents(m)} it could not see two groups."
    return f"{test}, no evidence for two groups; it sees none smaller than {dip.smallest_group}."


def _about_the_mixed(labels: Sequence[CriterionLabel]) -> str:
    of_signals = [label for label in labels if label.criterion is Criterion.TWO_SIGNALS]
    if not of_signals:
        return "Without a variance no criterion calls a latent mixed."
    return (
        f"By the two signals {_numbers(of_signals, Label.MIXED)} mixed and "
        f"{_numbers(of_signals, Label.UNDETERMINED)} undetermined."
    )


def _numbers(labels: Sequence[CriterionLabel], label: Label) -> str:
    latents = [str(one.latent) for one in labels if one.label is label]
    if not latents:
        return "no latent is"
    return f"latent {latents[0]} is" if len(latents) == 1 else f"latents {', '.join(latents)} are"


def _about_the_agreement(agreement: Sequence[Agreement]) -> str:
    compared = [pair for pair in agreement if pair.agreement is not None]
    worst = min(compared, key=lambda pair: pair.agreement or 0.0, default=None)
    if worst is None:
        return "No two criteria can be compared."
    if worst.agreement == 1:
        return "All criteria agree on active and passive."
    kappa = "" if worst.kappa is None else f", kappa {worst.kappa:.2f}"
    return (
        f"The criteria that agree least are {worst.criterion_a} and {worst.criterion_b}: "
        f"on {worst.agreement:.0%} of {count_latents(worst.compared)}{kappa}."
    )
