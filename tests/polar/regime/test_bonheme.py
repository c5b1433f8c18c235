import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from polar.errors import InvalidInput
from polar.records.latents import Label
from polar.records.measurement import CriterionLabel
from polar.regime.bonheme import bonheme_labels, strict_bonheme_labels
from polar.regime.codes import Codes, codes

N = 200
WIDE = np.linspace(-1.7, 1.7, N)  # of variance 0.97
STILL = np.zeros(N)
HALF = np.arange(N) % 2 == 0
unhurried = settings(deadline=None)  # other processes may have the machine


def latent(variance: np.ndarray | float, mean: np.ndarray) -> Codes:
    return codes(mean[:, None], np.broadcast_to(variance, mean.shape)[:, None])


def bonheme(variance: np.ndarray | float) -> CriterionLabel:
    return bonheme_labels(latent(variance, STILL))[0]


def strict(variance: np.ndarray | float, mean: np.ndarray) -> CriterionLabel:
    return strict_bonheme_labels(latent(variance, mean))[0]


@pytest.mark.parametrize(
    ("variance", "label"),
    [
        (0.02, Label.ACTIVE),
        (0.09, Label.ACTIVE),
        (0.11, Label.MIXED),
        (0.5, Label.MIXED),
        (0.89, Label.MIXED),
        (0.91, Label.PASSIVE),
        (1.0, Label.PASSIVE),
        (1.09, Label.PASSIVE),
        (1.11, Label.MIXED),
        (np.where(HALF, 0.02, 1.0), Label.MIXED),
    ],
)
def test_the_rule_of_the_published_code(variance: np.ndarray | float, label: Label) -> None:
    assert bonheme(variance).label is label


def test_the_variance_of_the_variance_is_that_of_the_population() -> None:
    found = bonheme(np.where(HALF, 0.02, 1.0))

    # mean 0.51 and variance 0.49^2 = 0.2401: 0.39 from the passive conditions, 0.41 from active
    assert found.why == (
        "The variances have a mean of 0.51 and a variance of 0.24: "
        "neither near 0 nor near 1 for all images."
    )
    assert found.margin == pytest.approx(0.39)
    assert found.score == pytest.approx(0.39)


def test_a_variance_of_the_limit_is_not_below_it() -> None:
    spread = np.sqrt(0.1)
    at_limit = np.where(HALF, 1 - spread, 1 + spread)
    below = np.where(HALF, 1 - 0.999 * spread, 1 + 0.999 * spread)

    assert at_limit.var() >= 0.1
    assert bonheme(at_limit).label is Label.MIXED
    assert bonheme(below).label is Label.PASSIVE


@pytest.mark.parametrize(
    ("ratio", "label"), [(0.6, Label.PASSIVE), (13, Label.ACTIVE), (2, Label.MIXED)]
)
def test_the_optimum_of_the_linear_vae_is_active_passive_or_in_between(
    ratio: float, label: Label
) -> None:
    assert bonheme(1 / max(ratio, 1.0)).label is label  # ratio of l and beta s^2


def test_the_rule_does_not_look_at_the_mean() -> None:
    assert bonheme_labels(latent(1.0, WIDE))[0].label is Label.PASSIVE
    assert bonheme_labels(latent(0.02, STILL))[0].label is Label.ACTIVE


@pytest.mark.parametrize(
    ("variance", "mean", "label"),
    [
        (0.02, WIDE, Label.ACTIVE),
        (0.02, STILL, Label.UNDETERMINED),
        (1.0, STILL, Label.PASSIVE),
        (1.0, WIDE, Label.UNDETERMINED),
        (1.0, STILL + 0.2, Label.UNDETERMINED),
        (0.5, WIDE, Label.UNDETERMINED),
        (np.where(HALF, 0.02, 1.0), np.where(HALF, WIDE, 0.0), Label.MIXED),
        (np.where(HALF, 0.02, 1.0), WIDE, Label.UNDETERMINED),
        (
            np.where(np.arange(N) < 20, 0.02, 1.0),
            4 * np.cos(np.arange(N)) * (np.arange(N) < 20),
            Label.MIXED,
        ),
        (np.where(np.arange(N) < 2, 0.02, 1.0), STILL, Label.PASSIVE),
        (np.linspace(0.01, 1, N), WIDE, Label.UNDETERMINED),
    ],
)
def test_the_strict_rule_asks_for_the_mean_too(
    variance: np.ndarray | float, mean: np.ndarray, label: Label
) -> None:
    found = strict(variance, mean)

    assert found.label is label
    assert found.margin > 0


def test_an_ivae_is_judged_relative_to_its_prior() -> None:
    prior = np.full((N, 1), 0.05)
    of = codes(prior, prior, prior, prior)

    assert bonheme_labels(of)[0].label is Label.PASSIVE
    assert strict_bonheme_labels(of)[0].label is Label.PASSIVE


VARIANCES = arrays("float64", (5, 4), elements=st.floats(1e-3, 2))
MEANS = arrays("float64", (5, 4), elements=st.floats(-2, 2))


@unhurried
@given(variance=VARIANCES)
def test_active_passive_and_mixed_partition_the_latents(variance: np.ndarray) -> None:
    mean, spread = variance.mean(0), variance.var(0)
    active = (spread < 0.1) & (mean <= 0.1)
    passive = (spread < 0.1) & (mean >= 0.9) & (mean <= 1.1)

    found = bonheme_labels(codes(np.zeros_like(variance), variance))

    for j, one in enumerate(found):
        expected = Label.ACTIVE if active[j] else Label.PASSIVE if passive[j] else Label.MIXED
        # the mean of a column and of a row of the same numbers may differ in the last digit
        assert one.label is expected or one.margin < 1e-12
        assert one.margin >= 0


@unhurried
@given(mean=MEANS, variance=VARIANCES)
def test_the_strict_labels_imply_the_published_ones(
    mean: np.ndarray, variance: np.ndarray
) -> None:
    of = codes(mean, variance)

    for loose, one in zip(bonheme_labels(of), strict_bonheme_labels(of), strict=True):
        assert one.margin >= 0
        if one.label in (Label.ACTIVE, Label.PASSIVE):
            assert loose.label is one.label


@pytest.mark.parametrize("n", [1, 2])
def test_one_or_two_images_are_enough(n: int) -> None:
    assert bonheme_labels(codes(np.zeros((n, 1)), np.ones((n, 1))))[0].label is Label.PASSIVE
    assert strict_bonheme_labels(codes(np.zeros((n, 1)), np.ones((n, 1))))[0].margin > 0


@pytest.mark.parametrize("rule", [bonheme_labels, strict_bonheme_labels])
def test_a_deterministic_model_has_no_variance_to_go_by(rule: object) -> None:
    with pytest.raises(InvalidInput, match="without a variance"):
        rule(codes(np.zeros((3, 2))))  # type: ignore[operator]
