"""A measurement in words: why the verdict is what it is, and how much of it to believe."""

from collections.abc import Sequence

from polar.records.latents import Label, LatentDiagnostics, Verdict
from polar.records.measurement import Agreement, Criterion, CriterionLabel, Dip, Threshold
from polar.records.sensitivity import Sensitivity
from polar.regime.dip import FEWEST, SIGNIFICANT
from polar.regime.explanation import explain_regime
from polar.regime.sensitivity import explain_sensitivity
from polar.regime.words import count_latents

#: How the agreement of criteria takes the labels that are neither active nor passive.
_COMPARED = {
    Label.MIXED: "mixed counts as active",
    Label.UNDETERMINED: "undetermined latents are not compared",
}


def explain_measurement(
    *,
    latents: Sequence[LatentDiagnostics],
    verdict: Verdict,
    thresholds: Sequence[Threshold],
    dip: Dip | None,
    labels: Sequence[CriterionLabel],
    agreement: Sequence[Agreement],
    sensitivity: Sequence[Sensitivity] | None,
) -> str:
    """One paragraph for a researcher.

    Args:
        latents: All latents, with their labels.
        verdict: The verdict on them.
        thresholds: The thresholds by every rule, the fixed threshold first.
        dip: Hartigan's dip of the entropies.
        labels: The labels by every criterion that applies.
        agreement: The agreement of every two criteria.
        sensitivity: The verdict under other choices; none where it was left out.
    """
    evidence = explain_evidence(
        verdict=verdict,
        thresholds=thresholds,
        dip=dip,
        labels=labels,
        agreement=agreement,
    )
    about_choices = [] if sensitivity is None else [explain_sensitivity(sensitivity)]
    return " ".join((explain_regime(latents, verdict), *about_choices, evidence))


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
        verdict: The verdict on the latents.
        thresholds: The thresholds by every rule, the fixed threshold first.
        dip: Hartigan's dip of the entropies.
        labels: The labels by every criterion that applies.
        agreement: The agreement of every two criteria.
    """
    sentences = (
        _about_the_threshold(thresholds),
        _about_the_dip(dip, verdict.n_active + verdict.n_passive),
        _about_the_mixed(labels),
        _about_the_agreement(agreement, labels),
    )
    return " ".join(sentences)


def _about_the_threshold(thresholds: Sequence[Threshold]) -> str:
    fixed, *others = thresholds
    sentences = [fixed.reason]
    taus = [f"{t.method} {t.tau_nats:.2g}" for t in others if t.tau_nats is not None]
    blind = [t.method for t in others if t.tau_nats is None]
    if taus:
        sentences.append(f"Other rules, which are evidence only, in nats: {', '.join(taus)}.")
    if blind:
        sentences.append(f"No regime is seen by: {', '.join(blind)}.")
    return " ".join(sentences)


def _about_the_dip(dip: Dip | None, m: int) -> str:
    if dip is None:
        return f"A test for two groups of latents needs at least {FEWEST}."
    test = f"Hartigan's dip of the entropies is {dip.dip:.3f} (p = {dip.p_value:.2g})"
    if dip.p_value < SIGNIFICANT:
        return f"{test}, evidence for two groups."
    if dip.smallest_group is None:
        return f"{test}; among {count_latents(m)} it cannot see two groups."
    return f"{test}, no evidence for two groups; it sees none smaller than {dip.smallest_group}."


def _about_the_mixed(labels: Sequence[CriterionLabel]) -> str:
    by_signals = [label for label in labels if label.criterion is Criterion.TWO_SIGNALS]
    if not by_signals:
        return "Without a variance no criterion calls a latent mixed."
    return (
        f"By the two signals {_numbers(by_signals, Label.MIXED)} mixed and "
        f"{_numbers(by_signals, Label.UNDETERMINED)} undetermined."
    )


def _numbers(labels: Sequence[CriterionLabel], label: Label) -> str:
    latents = [str(row.latent) for row in labels if row.label is label]
    if not latents:
        return "no latent is"
    return f"latent {latents[0]} is" if len(latents) == 1 else f"latents {', '.join(latents)} are"


def _about_the_agreement(agreement: Sequence[Agreement], labels: Sequence[CriterionLabel]) -> str:
    compared = [pair for pair in agreement if pair.agreement is not None]
    worst = min(compared, key=lambda pair: pair.agreement or 0.0, default=None)
    if worst is None:
        return "No two criteria can be compared."
    present = {row.label for row in labels}
    ways = [words for label, words in _COMPARED.items() if label in present]
    how = f"; {' and '.join(ways)}" if ways else ""
    if worst.agreement == 1:
        return f"All criteria agree on active and passive{how}."
    kappa = "" if worst.kappa is None else f", kappa {worst.kappa:.2f}"
    return (
        f"The criteria that agree least on active and passive are {worst.criterion_a} and "
        f"{worst.criterion_b}: on {worst.agreement:.0%} of {count_latents(worst.compared)}"
        f"{kappa}{how}."
    )
