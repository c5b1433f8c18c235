import json
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from polar.entropy import renyi_entropy
from polar.errors import InvalidInput
from polar.measurement.measure import measure
from polar.measurement.tables import measurement_tables, representations_table
from polar.records.latents import Label, Regime
from polar.records.measurement import Criterion, Measurement
from polar.regime.codes import codes
from polar.regime.diagnostics import measure_latents
from polar.regime.threshold import tau_in_nats
from polar.regime.verdict import labelled
from polar.spec.training import DEFAULT_TAU_STD

N = 600
RNG = np.random.default_rng(0)
IS_OFF = RNG.random((N, 1)) < 0.4
ON = RNG.normal(size=(N, 4))
MEAN = np.hstack([ON[:, :2], np.where(IS_OFF, 0.02 * ON[:, 2:], ON[:, 2:]), 0.01 * ON])
VARIANCE = np.hstack(
    [np.full((N, 2), 0.02), np.where(IS_OFF, 0.98, 0.02).repeat(2, axis=1), np.full((N, 4), 0.98)]
)
#: The criteria of a variational model without a conditional prior.
CRITERIA = set(Criterion) - {Criterion.CONDITIONAL_PRIOR, Criterion.ENTROPY_ABSOLUTE}
USAGE = np.array([30.0, 20.0, 9.0, 8.0, 0.01, 0.0, -0.01, 0.02])


@pytest.fixture(scope="module")
def measured() -> Measurement:
    return measure(MEAN, VARIANCE, labels=IS_OFF[:, 0].astype(int), usage=USAGE)


def test_the_report_has_every_part(measured: Measurement) -> None:
    assert (measured.images, len(measured.latents), len(measured.entropy_intervals)) == (N, 8, 8)
    assert measured.names == tuple("01234567")
    assert {one.criterion for one in measured.labels} == CRITERIA
    assert [one.method for one in measured.thresholds] == [
        "fixed",
        "gap",
        "otsu",
        "mixture",
    ]
    assert len(measured.agreement) == math.comb(len(CRITERIA), 2)
    assert [one.latent for one in measured.redundancy] == [4, 5, 6, 7]
    assert len(measured.usage) == len(CRITERIA)
    assert measured.dip is not None


def test_the_fixed_threshold_draws_the_line_and_the_rules_are_evidence(
    measured: Measurement,
) -> None:
    fixed, *evidence = measured.thresholds

    assert measured.verdict.tau_nats == fixed.tau_nats
    assert measured.verdict.tau_std == DEFAULT_TAU_STD
    assert fixed.equivalent_std == pytest.approx(DEFAULT_TAU_STD, rel=0.01)  # of 600 images
    assert all(rule.tau_nats not in (None, fixed.tau_nats) for rule in evidence)
    assert measured.verdict.regime is Regime.POLARISED
    assert [one.label for one in measured.latents] == [Label.ACTIVE] * 4 + [Label.PASSIVE] * 4


def test_the_entropy_criterion_has_the_labels_of_the_latents(measured: Measurement) -> None:
    by_entropy = [row for row in measured.labels if row.criterion is Criterion.ENTROPY]

    assert [row.label for row in by_entropy] == [latent.label for latent in measured.latents]


def test_codes_without_a_decoder_have_no_reconstruction(measured: Measurement) -> None:
    verdict = measured.verdict

    assert verdict.explained is None
    assert verdict.clean_polarisation is None
    assert verdict.explains_nothing is None
    assert "Nothing is known of a decoder" in measured.explanation


def test_mixed_latents_are_found(measured: Measurement) -> None:
    signals = [one for one in measured.labels if one.criterion is Criterion.TWO_SIGNALS]

    assert [one.latent for one in signals if one.label is Label.MIXED] == [2, 3]
    assert "By the two signals latents 2, 3 are mixed" in measured.explanation


def test_every_interval_holds_its_entropy(measured: Measurement) -> None:
    for latent, interval in zip(measured.latents, measured.entropy_intervals, strict=True):
        assert interval.low_nats < latent.judged_entropy_nats < interval.high_nats


def test_labels_give_the_entropy_within_them(measured: Measurement) -> None:
    given = measured.entropy_given_label_nats

    assert given is not None
    for j in (0, 2):
        parts = [renyi_entropy(MEAN[IS_OFF[:, 0] == off, j], alpha=1.01).nats[0] for off in (0, 1)]
        assert min(parts) <= given[j] <= max(parts)
    # a label tells the more of a latent that it switches
    assert measured.latents[2].entropy_nats - given[2] > 0.1
    assert abs(measured.latents[0].entropy_nats - given[0]) < 0.05


def test_usage_scores_every_criterion(measured: Measurement) -> None:
    assert {one.auc for one in measured.usage} == {1.0}
    assert {one.used for one in measured.usage} == {4}


def test_the_explanation_names_regime_threshold_evidence_and_disagreement(
    measured: Measurement,
) -> None:
    explanation = measured.explanation

    assert explanation.startswith("Polarised: 4 of 8 latents are active (entropy above tau = ")
    for words in (
        "Tau is 0.248 nats, the entropy of a Gaussian of std 0.134.",
        "Other rules, which are evidence only, in nats: gap ",
        "Hartigan's dip of the entropies is 0.2",
        "evidence for two groups.",
        "All criteria agree on active and passive; mixed counts as active.",
    ):
        assert words in explanation


def test_the_report_is_json_and_comes_back(measured: Measurement) -> None:
    line = measured.model_dump_json()

    assert Measurement.model_validate_json(line) == measured
    assert "NaN" not in line
    assert json.loads(line)["thresholds"][0]["method"] == "fixed"


def test_the_same_arguments_give_the_same_report() -> None:
    one = measure(MEAN[:200], VARIANCE[:200])
    other = measure(torch.from_numpy(MEAN[:200]), torch.from_numpy(VARIANCE[:200]))

    assert one == other
    assert one.entropy_intervals != measure(MEAN[:200], VARIANCE[:200], seed=1).entropy_intervals


def test_a_deterministic_model_is_measured_by_what_applies() -> None:
    measured = measure(MEAN)

    assert {one.criterion for one in measured.labels} == {
        Criterion.ENTROPY,
        Criterion.ENTROPY_ABSOLUTE,
        Criterion.ACTIVE_UNITS,
    }
    assert measured.latents[0].kl_nats is None
    assert all(one.two_signals is None for one in measured.mixed)
    assert all(one.subset_entropy_nats is not None for one in measured.mixed)
    assert "Without a variance no criterion calls a latent mixed." in measured.explanation


def test_an_ivae_goes_by_its_prior() -> None:
    u = RNG.integers(0, 3, N)
    prior_mean = np.repeat(4.0 * u[:, None], 2, axis=1)
    prior_variance = np.full((N, 2), 0.5)
    mean = prior_mean + np.column_stack([ON[:, 0], 0 * u])
    variance = prior_variance * [0.02, 1.0]

    measured = measure(
        mean, variance, labels=u, prior_mean=prior_mean, prior_variance=prior_variance
    )

    suppressed = measured.latents[1]
    assert (suppressed.judged_entropy_nats, suppressed.kl_nats) == (0.0, 0.0)
    assert suppressed.entropy_nats == pytest.approx(math.log(3), abs=0.02)  # three clusters
    assert measured.entropy_given_label_nats is not None
    assert measured.entropy_given_label_nats[1] == 0.0
    by = {one.criterion: one.label for one in measured.labels if one.latent == 1}
    assert by.pop(Criterion.ACTIVE_UNITS) is Label.ACTIVE
    assert by.pop(Criterion.ENTROPY_ABSOLUTE) is Label.ACTIVE
    assert set(by.values()) == {Label.PASSIVE}


@pytest.mark.parametrize(
    "factor",
    [
        *(1e-300, 0.03, 1e149),
        *(
            pytest.param(x, marks=pytest.mark.slow)
            for x in (1e-170, 1e-100, 1e-9, 7.0, 1e38, 1e100)
        ),
    ],
)
def test_codes_without_a_variance_have_the_same_labels_at_every_scale(factor: float) -> None:
    some = MEAN[:100]
    here, there = measure(some), measure(factor * some)

    def judged(of: Measurement) -> list[float]:
        return [latent.judged_entropy_nats for latent in of.latents]

    assert [one.label for one in there.latents] == [one.label for one in here.latents]
    assert there.verdict.regime is here.verdict.regime is Regime.POLARISED
    assert there.dip is not None
    assert here.dip is not None
    assert there.dip.dip == pytest.approx(here.dip.dip, rel=1e-9)  # rounding of entropies
    assert judged(there) == pytest.approx(judged(here), abs=2e-6)  # the estimator promises 1e-6


@given(exponent=st.floats(-300, 149))
@settings(max_examples=50)
def test_no_factor_changes_a_label(exponent: float) -> None:
    of = codes(10.0**exponent * MEAN[:60])

    latents = labelled(
        measure_latents(of, ruler="scaled", sigma=0.5, renyi_alpha=1.01),
        tau_in_nats(DEFAULT_TAU_STD, n=60, sigma=0.5, renyi_alpha=1.01),
    )

    assert [one.label for one in latents] == [Label.ACTIVE] * 4 + [Label.PASSIVE] * 4


@pytest.mark.parametrize("factor", [1e-100, 0.01, 1.0, 100.0, 1e14])
def test_by_the_absolute_ruler_the_entropies_are_those_of_the_codes_as_they_are(
    factor: float,
) -> None:
    measured = measure(factor * MEAN[:100], ruler="absolute")

    entropies = renyi_entropy(factor * MEAN[:100]).nats.tolist()
    assert [one.entropy_nats for one in measured.latents] == entropies
    assert [one.judged_entropy_nats for one in measured.latents] == entropies
    assert (measured.ruler, measured.verdict.tau_std) == ("absolute", DEFAULT_TAU_STD)


def test_both_rulers_are_reported() -> None:
    measured = measure(100 * MEAN[:100])

    entropies = renyi_entropy(100 * MEAN[:100]).nats.tolist()
    by = {(row.criterion, row.latent): row.label for row in measured.labels}
    assert [one.entropy_nats for one in measured.latents] == entropies
    assert by[Criterion.ENTROPY, 7] is Label.PASSIVE
    assert by[Criterion.ENTROPY_ABSOLUTE, 7] is Label.ACTIVE


def test_the_codes_of_a_mixed_latent_are_labelled_mixed(measured: Measurement) -> None:
    table = representations_table(codes(MEAN, VARIANCE), measured)

    labels = table.drop_duplicates("latent")["label"].tolist()
    assert labels == ["active"] * 2 + ["mixed"] * 2 + ["passive"] * 4


def test_names_may_be_numbers() -> None:
    assert measure(ON, names=[3, 1, 4, 2]).names == ("3", "1", "4", "2")


def test_the_threshold_is_a_std_in_units_of_the_ruler() -> None:
    stds = np.array([1.0, 0.5, 0.1, 0.05])

    for tau_std, count in ((0.01, 4), (0.07, 3), (0.2, 2), (0.7, 1), (2.0, 0)):
        measured = measure(stds * ON, VARIANCE[:, :4], tau_std=tau_std)
        assert measured.verdict.n_active == count


def test_images_add_the_mutual_information() -> None:
    measured = measure(MEAN[:300], images=np.column_stack([MEAN[:300, 0], ON[:300, 1:3]]))

    first, *_, last = measured.latents
    assert first.information_nats is not None
    assert last.information_nats is not None
    assert first.information_baseline_nats is not None
    assert first.information_nats > 2 * first.information_baseline_nats
    assert first.information_nats > 10 * last.information_nats


@pytest.mark.parametrize(
    "mean", [np.zeros((5, 1)), 9.0 * np.arange(5)[:, None], np.zeros((5, 3)), np.eye(5)]
)
@pytest.mark.parametrize("variational", [False, True])
def test_the_smallest_codes_have_a_report(mean: np.ndarray, variational: bool) -> None:
    measured = measure(mean, np.ones_like(mean) if variational else None)

    assert len(measured.latents) == mean.shape[1]
    assert (measured.dip is None) == (mean.shape[1] < 4)


@pytest.mark.parametrize("kind", [str, object])  # objects are what pandas has of text
def test_text_can_be_labels(kind: type, measured: Measurement) -> None:
    words: np.ndarray = np.where(IS_OFF[:, 0], "absent", "present").astype(kind)

    of_words = measure(MEAN, VARIANCE, labels=words)

    assert of_words.entropy_given_label_nats == measured.entropy_given_label_nats


def test_the_tables_are_tidy(measured: Measurement) -> None:
    tables = measurement_tables(measured)

    assert list(tables["labels"].columns) == [
        "criterion",
        "latent",
        "label",
        "margin",
        "score",
        "why",
    ]
    assert {"criterion_a", "criterion_b", "kappa", "agreement"} <= {*tables["agreement"].columns}
    assert {"method", "tau_nats", "low_nats", "high_nats"} <= {*tables["thresholds"].columns}
    assert {"latent", "judged_entropy_nats", "label", "low_nats", "high_nats"} <= {
        *tables["latents"].columns
    }
    assert set(tables) == {
        "latents",
        "labels",
        "thresholds",
        "agreement",
        "mixed",
        "redundancy",
        "usage_scores",
        "sensitivity",
    }
    assert len(tables["labels"]) == len(CRITERIA) * 8


def test_a_part_without_rows_has_no_table() -> None:
    tables = measurement_tables(measure(np.zeros((5, 2))))

    assert "usage_scores" not in tables
    assert "redundancy" not in tables


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"ruler": "paper"}, "ruler is 'paper'; allowed: scaled, absolute"),
        ({"tau_std": -0.5}, "tau_std is -0.5; allowed: 0 to"),
        ({"tau_std": math.nan}, "tau_std is nan; allowed: 0 to"),
        ({"sigma": 0.0}, "sigma is 0.0; allowed: 1e-100 to 1e[+]100"),
        ({"renyi_alpha": math.inf}, "renyi_alpha is inf"),
        ({"renyi_alpha": 1e12}, "allowed: above 0, to 1000"),
        ({"seed": -1}, "seed is -1; allowed: 0 and above"),
        ({"labels": np.array([1, "a", None] * 200, object)}, "labels of type object"),
        ({"names": ["a"]}, "1 names, 1 of them distinct; allowed: one for each of 8"),
        ({"names": ["a"] * 8}, "8 names, 1 of them distinct"),
        ({"names": [1, "1", 2, 3, 4, 5, 6, 7]}, "8 names, 7 of them distinct"),
        ({"labels": np.zeros(3)}, r"labels of shape \(3,\); allowed: \(600,\)"),
        ({"labels": np.full(N, math.nan)}, "labels of type float64; allowed: finite"),
        ({"usage": np.zeros(3)}, r"usage of shape \(3,\)"),
        ({"usage": np.full(8, math.nan)}, r"usage of shape \(8,\), 0 values finite"),
        ({"usage": np.full(8, "much")}, "usage of <U4; allowed: real numbers"),
        ({"images": np.zeros((3, 4))}, r"images of shape \(3, 4\); allowed: one for each of 600"),
        ({"variance": -VARIANCE}, "variance of latent 0 is 0 or negative"),
        ({"variance": VARIANCE[:5]}, r"shapes .*'variance': \(5, 8\)"),
        ({"prior_mean": MEAN}, "half of a conditional prior"),
    ],
)
def test_arguments_out_of_range_are_refused(arguments: dict[str, object], words: str) -> None:
    with pytest.raises(InvalidInput, match=words):
        measure(MEAN, **arguments)  # type: ignore[arg-type]
