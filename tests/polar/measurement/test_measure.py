import json
import math

import numpy as np
import pytest
import torch

from polar.entropy import renyi_entropy
from polar.errors import InvalidInput
from polar.measurement.measure import measure
from polar.measurement.tables import measurement_tables, representations_table
from polar.records.latents import Label, Regime
from polar.records.measurement import Criterion, Measurement
from polar.regime.codes import codes

N = 600
RNG = np.random.default_rng(0)
IS_OFF = RNG.random((N, 1)) < 0.4
ON = RNG.normal(size=(N, 4))
MEAN = np.hstack([ON[:, :2], np.where(IS_OFF, 0.02 * ON[:, 2:], ON[:, 2:]), 0.01 * ON])
VARIANCE = np.hstack(
    [np.full((N, 2), 0.02), np.where(IS_OFF, 0.98, 0.02).repeat(2, axis=1), np.full((N, 4), 0.98)]
)
#: The criteria of a variational model without a conditional prior.
CRITERIA = set(Criterion) - {Criterion.CONDITIONAL_PRIOR}
USAGE = np.array([30.0, 20.0, 9.0, 8.0, 0.01, 0.0, -0.01, 0.02])


@pytest.fixture(scope="module")
def measured() -> Measurement:
    return measure(MEAN, VARIANCE, labels=IS_OFF[:, 0].astype(int), usage=USAGE, tau="otsu")


def test_the_report_has_every_part(measured: Measurement) -> None:
    assert (measured.images, len(measured.latents), len(measured.entropy_intervals)) == (N, 8, 8)
    assert measured.names == tuple("01234567")
    assert {one.criterion for one in measured.labels} == CRITERIA
    assert [one.method for one in measured.thresholds] == [
        "otsu",
        "fixed",
        "gap",
        "mixture",
        "noise_floor",
    ]
    assert len(measured.agreement) == math.comb(len(CRITERIA), 2)
    assert [one.latent for one in measured.redundancy] == [4, 5, 6, 7]
    assert len(measured.usage) == len(CRITERIA)
    assert measured.dip is not None


def test_the_chosen_rule_draws_the_line(measured: Measurement) -> None:
    tau = measured.thresholds[0].tau_nats

    assert measured.verdict.tau_nats == tau
    assert measured.verdict.regime is Regime.POLARISED
    assert [one.label for one in measured.latents] == [Label.ACTIVE] * 4 + [Label.PASSIVE] * 4


def test_the_entropy_criterion_has_the_labels_of_the_latents(measured: Measurement) -> None:
    by_entropy = [row for row in measured.labels if row.criterion is Criterion.ENTROPY]

    assert [row.label for row in by_entropy] == [latent.label for latent in measured.latents]


def test_codes_without_a_decoder_have_no_reconstruction(measured: Measurement) -> None:
    verdict = measured.verdict

    assert verdict.explained is None
    assert verdict.clean_polarisation is None
    assert verdict.no_reconstruction_gain is None


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
        "Tau is the middle of the best split, with ",
        "With other images it would lie from ",
        "Other rules, in nats: fixed 0.25, gap ",
        "Hartigan's dip of the entropies is 0.2",
        "evidence for two groups.",
        "All criteria agree on active and passive.",
    ):
        assert words in explanation


def test_the_report_is_json_and_comes_back(measured: Measurement) -> None:
    line = measured.model_dump_json()

    assert Measurement.model_validate_json(line) == measured
    assert "NaN" not in line
    assert json.loads(line)["thresholds"][0]["method"] == "otsu"


def test_the_same_arguments_give_the_same_report() -> None:
    one = measure(MEAN[:200], VARIANCE[:200], tau="mixture")
    other = measure(torch.from_numpy(MEAN[:200]), torch.from_numpy(VARIANCE[:200]), tau="mixture")

    assert one == other
    assert one.entropy_intervals != measure(MEAN[:200], VARIANCE[:200], seed=1).entropy_intervals


def test_a_deterministic_model_is_measured_by_what_applies() -> None:
    measured = measure(MEAN)

    assert {one.criterion for one in measured.labels} == {
        Criterion.ENTROPY,
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
    assert set(by.values()) == {Label.PASSIVE}


def test_a_rule_that_sees_no_regime_leaves_the_default() -> None:
    measured = measure(ON, tau="gap")

    assert measured.thresholds[0].tau_nats is None
    assert measured.verdict.tau_nats == 0.25
    assert "No regime: all entropies lie within" in measured.explanation
    assert "Tau was set to 0.25 nats instead." in measured.explanation


def test_the_codes_of_a_mixed_latent_are_labelled_mixed(measured: Measurement) -> None:
    table = representations_table(codes(MEAN, VARIANCE), measured)

    labels = table.drop_duplicates("latent")["label"].tolist()
    assert labels == ["active"] * 2 + ["mixed"] * 2 + ["passive"] * 4


def test_names_may_be_numbers() -> None:
    assert measure(ON, names=[3, 1, 4, 2]).names == ("3", "1", "4", "2")


def test_the_tau_that_is_left_can_be_said() -> None:
    measured = measure(ON, tau="gap", tau_otherwise=0.5)

    assert measured.verdict.tau_nats == 0.5
    assert "Tau was set to 0.5 nats instead." in measured.explanation


def test_the_fixed_rule_takes_the_tau_that_is_said() -> None:
    assert measure(ON, tau="fixed", tau_otherwise=0.5) == measure(ON, tau=0.5)


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

    of_words = measure(MEAN, labels=words)

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
    }
    assert len(tables["labels"]) == len(CRITERIA) * 8


def test_a_part_without_rows_has_no_table() -> None:
    tables = measurement_tables(measure(np.zeros((5, 2))))

    assert "usage_scores" not in tables
    assert "redundancy" not in tables


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"tau": "best"}, "tau is 'best'; allowed: a number, fixed, gap, otsu"),
        ({"tau": -0.5}, "tau is -0.5 nats"),
        ({"tau": math.nan}, "tau is nan nats"),
        ({"sigma": 0.0}, "sigma is 0.0; allowed: 1e-100 to 1e[+]100"),
        ({"renyi_alpha": math.inf}, "renyi_alpha is inf"),
        ({"renyi_alpha": 1e12}, "allowed: above 0, to 1000"),
        ({"tau": True}, "tau is True; allowed: a number of nats"),
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
