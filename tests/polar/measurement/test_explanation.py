import pytest

from polar.measurement.explanation import explain_evidence, explain_measurement
from polar.records.latents import Label, LatentDiagnostics, LatentMeasures, Verdict
from polar.records.measurement import (
    Agreement,
    ConfidenceInterval,
    Criterion,
    CriterionLabel,
    Dip,
    Threshold,
)
from polar.regime.verdict import judge, labelled


def latents_of(*entropies: float) -> tuple[LatentDiagnostics, ...]:
    own = {"latent", "entropy_nats", "judged_entropy_nats"}
    others = dict.fromkeys(set(LatentMeasures.model_fields) - own, 0.0)
    latents = [
        LatentMeasures(latent=j, entropy_nats=nats, judged_entropy_nats=nats, **others)
        for j, nats in enumerate(entropies)
    ]
    return labelled(latents, 0.25)


def verdict_on(*entropies: float) -> Verdict:
    return judge(latents_of(*entropies), tau_std=0.134, tau_nats=0.25)


def threshold(
    method: str, tau_nats: float | None, interval: ConfidenceInterval | None = None
) -> Threshold:
    return Threshold(
        method=method,
        tau_nats=tau_nats,
        equivalent_std=None,
        reason=f"Reason of {method}.",
        interval=interval,
        found=1.0,
    )


def by_signals(latent: int, label: Label) -> CriterionLabel:
    return CriterionLabel(
        criterion=Criterion.TWO_SIGNALS, latent=latent, label=label, margin=0, score=0, why=""
    )


def pair(agreement: float | None, kappa: float | None = None) -> Agreement:
    return Agreement(
        criterion_a=Criterion.ENTROPY,
        criterion_b=Criterion.KL,
        kappa=kappa,
        agreement=agreement,
        compared=4,
    )


def evidence(
    verdict: Verdict,
    *,
    thresholds: tuple[Threshold, ...] = (threshold("fixed", 0.25),),
    dip: Dip | None = None,
    labels: tuple[CriterionLabel, ...] = (),
    agreement: tuple[Agreement, ...] = (),
) -> str:
    return explain_evidence(
        verdict=verdict, thresholds=thresholds, dip=dip, labels=labels, agreement=agreement
    )


def test_verdict_and_evidence_make_one_paragraph() -> None:
    verdict = verdict_on(1.5, 0.0)

    text = explain_measurement(
        latents=latents_of(1.5, 0.0),
        verdict=verdict,
        thresholds=(threshold("fixed", 0.25),),
        dip=None,
        labels=(),
        agreement=(),
        sensitivity=None,
    )

    assert text.startswith("Polarised: 1 of 2 latents is active")
    assert text.endswith(evidence(verdict))


def test_the_threshold_comes_with_what_the_other_rules_say() -> None:
    thresholds = (
        threshold("fixed", 0.25),
        threshold("gap", 0.7, ConfidenceInterval(low_nats=0.5, high_nats=0.75)),
        threshold("otsu", None),
    )

    assert evidence(verdict_on(1.5, 0.0), thresholds=thresholds).startswith(
        "Reason of fixed. Other rules, which are evidence only, in nats: gap 0.7. "
        "No regime is seen by: otsu."
    )


@pytest.mark.parametrize(
    ("dip", "words"),
    [
        (None, "A test for two groups of latents needs at least 4."),
        (Dip(dip=0.2, p_value=0.01, smallest_group=4), "(p = 0.01), evidence for two groups."),
        (
            Dip(dip=0.1, p_value=0.5, smallest_group=4),
            "no evidence for two groups; it sees none smaller than 4.",
        ),
        (Dip(dip=0.1, p_value=0.5, smallest_group=None), "among 2 latents it cannot see two"),
    ],
)
def test_the_dip_says_what_it_can_see(dip: Dip | None, words: str) -> None:
    assert words in evidence(verdict_on(1.5, 0.0), dip=dip)


def test_mixed_and_undetermined_latents_are_numbered() -> None:
    verdict = verdict_on(1.5, 0.0)
    labels = (
        by_signals(0, Label.MIXED),
        by_signals(1, Label.UNDETERMINED),
        by_signals(2, Label.MIXED),
    )

    text = evidence(verdict, labels=labels)

    assert "By the two signals latents 0, 2 are mixed and latent 1 is undetermined." in text
    assert "Without a variance no criterion calls a latent mixed." in evidence(verdict)


@pytest.mark.parametrize(
    ("others", "words"),
    [
        ((Label.ACTIVE,), "on active and passive."),
        ((Label.MIXED,), "on active and passive; mixed counts as active."),
        (
            (Label.UNDETERMINED, Label.MIXED),
            "on active and passive; mixed counts as active and undetermined latents are not "
            "compared.",
        ),
    ],
)
def test_an_agreement_says_how_it_takes_labels_that_are_neither(
    others: tuple[Label, ...], words: str
) -> None:
    labels = tuple(map(by_signals, range(3), (Label.PASSIVE, *others)))

    text = evidence(verdict_on(1.5, 0.0), labels=labels, agreement=(pair(1.0),))

    assert text.endswith(f"All criteria agree {words}")


def test_the_worst_agreement_says_that_mixed_counts_as_active() -> None:
    # A sentence without it stood beside a table in which most labels differed.
    labels = (by_signals(0, Label.PASSIVE), by_signals(1, Label.MIXED))

    text = evidence(verdict_on(1.5, 0.0), labels=labels, agreement=(pair(0.5),))

    assert text.endswith("entropy and kl: on 50% of 4 latents; mixed counts as active.")


@pytest.mark.parametrize(
    ("agreement", "words"),
    [
        ((), "No two criteria can be compared."),
        ((pair(None),), "No two criteria can be compared."),
        ((pair(1.0), pair(None)), "All criteria agree on active and passive."),
        (
            (pair(1.0), pair(0.75, kappa=0.5)),
            "The criteria that agree least on active and passive are entropy and kl: on 75% of "
            "4 latents, kappa 0.50.",
        ),
        ((pair(0.5),), "on 50% of 4 latents."),
    ],
)
def test_the_worst_agreement_is_named(agreement: tuple[Agreement, ...], words: str) -> None:
    assert evidence(verdict_on(1.5, 0.0), agreement=agreement).endswith(words)
