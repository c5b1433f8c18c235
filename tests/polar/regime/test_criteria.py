import math
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from polar.entropy import renyi_entropy
from polar.errors import InvalidInput
from polar.records.latents import Label
from polar.records.measurement import Criterion, CriterionLabel
from polar.regime.codes import Codes, codes
from polar.regime.criteria import (
    active_unit_labels,
    collapse_labels,
    conditional_prior_labels,
    entropy_labels,
    kl_labels,
    label_by_entropy,
)

unhurried = settings(deadline=None)  # other processes may have the machine


def labels_of(found: Sequence[CriterionLabel]) -> list[Label]:
    return [one.label for one in found]


def diverging(kl_nats: Sequence[float]) -> Codes:
    """One latent that has these KL divergences from N(0, 1)."""
    mean = np.sqrt(2 * np.array(kl_nats, dtype=np.float64))[:, None]
    return codes(mean, np.ones_like(mean))


@pytest.mark.parametrize(
    ("entropy_nats", "tau", "label"),
    [
        (0.26, 0.25, Label.ACTIVE),
        (0.24, 0.25, Label.PASSIVE),
        (math.nextafter(0.25, 1), 0.25, Label.ACTIVE),
        (math.nextafter(0, 1), 0.0, Label.ACTIVE),
        (0.0, 0.0, Label.PASSIVE),
    ],
)
def test_a_latent_above_the_threshold_is_active(
    entropy_nats: float, tau: float, label: Label
) -> None:
    assert label_by_entropy(entropy_nats, tau) is label


def test_a_latent_on_the_threshold_is_passive() -> None:
    assert label_by_entropy(0.25, 0.25) is Label.PASSIVE


@pytest.mark.parametrize("entropy_nats", [math.nan, math.inf, -math.inf])
def test_an_entropy_that_is_not_finite_is_refused(entropy_nats: float) -> None:
    with pytest.raises(InvalidInput, match=f"{entropy_nats}; allowed: finite"):
        label_by_entropy(entropy_nats, 0.25)


@pytest.mark.parametrize("tau", [math.nan, math.inf, -0.1])
def test_a_threshold_out_of_range_is_refused(tau: float) -> None:
    with pytest.raises(InvalidInput, match=f"tau is {tau} nats; allowed: 0 and above"):
        label_by_entropy(1.0, tau)


def test_the_entropy_criterion_gives_the_margin_in_nats_and_says_why() -> None:
    active, passive = entropy_labels([1.5, 0.125], 0.25)

    assert (active.label, active.margin, active.score) == (Label.ACTIVE, 1.25, 1.5)
    assert active.why == "The entropy of the mean is 1.50 nats, above 0.25."
    assert (passive.label, passive.margin, passive.latent) == (Label.PASSIVE, 0.125, 1)
    assert passive.why == "The entropy of the mean is 0.12 nats, at most 0.25."


def test_active_units_have_a_variance_of_the_population_above_the_threshold() -> None:
    mean = np.array([[0.1, 0.3, 0.0], [-0.1, -0.3, 0.0]])  # variances 0.01, 0.09, 0

    found = active_unit_labels(codes(mean), threshold=0.02)

    assert labels_of(found) == [Label.PASSIVE, Label.ACTIVE, Label.PASSIVE]
    assert [one.score for one in found] == pytest.approx([0.01, 0.09, 0.0])
    assert [one.margin for one in found] == pytest.approx([0.01, 0.07, 0.02])


def test_the_kl_criterion_goes_by_the_mean_over_images() -> None:
    (found,) = kl_labels(diverging([0.0, 0.5]), threshold=0.125)

    assert found.label is Label.ACTIVE
    assert found.score == pytest.approx(0.25, rel=1e-15)  # a square root was squared
    assert found.margin == pytest.approx(0.125, rel=1e-15)
    assert found.why == "The mean KL divergence from N(0, 1) is 0.25 nats, above 0.125."


@pytest.mark.parametrize(
    ("above", "label"), [(0, Label.PASSIVE), (1, Label.PASSIVE), (2, Label.ACTIVE)]
)
def test_one_image_of_a_hundred_may_diverge_in_a_collapsed_latent(
    above: int, label: Label
) -> None:
    (found,) = collapse_labels(diverging([5.0] * above + [0.001] * (100 - above)))

    assert found.label is label
    assert found.why == (
        f"The KL divergence is below 0.01 nats for {100 - above} of 100 images "
        "(collapsed from 99)."
    )


@pytest.mark.parametrize("above", range(32))
def test_images_are_counted_as_integers(above: int) -> None:
    of = diverging([5.0] * above + [0.001] * (100 - above))

    (found,) = collapse_labels(of, delta=0.29)  # 0.29 * 100 is 28.999999999999996

    assert found.label is (Label.PASSIVE if above <= 29 else Label.ACTIVE)


def test_a_divergence_of_epsilon_itself_is_not_below_it() -> None:
    (found,) = collapse_labels(diverging([0.5] * 10), epsilon=0.5)

    assert found.label is Label.ACTIVE
    assert found.margin == pytest.approx(0.0, abs=1e-15)  # a square root was squared


def test_the_margin_of_collapse_is_that_of_the_image_that_decides() -> None:
    (found,) = collapse_labels(diverging([0.001, 0.002, 0.003, 8.0]), epsilon=0.01, delta=0.25)

    assert found.label is Label.PASSIVE
    assert found.score == pytest.approx(0.003)
    assert found.margin == pytest.approx(0.007)


def test_an_ivae_unit_that_follows_its_prior_is_passive_although_its_mean_varies() -> None:
    prior_mean = np.array([[0.0], [3.0], [-3.0], [0.0]])
    prior_variance = np.full((4, 1), 0.5)
    of = codes(prior_mean, prior_variance, prior_mean, prior_variance)

    assert labels_of(conditional_prior_labels(of)) == [Label.PASSIVE]
    assert labels_of(collapse_labels(of)) == [Label.PASSIVE]
    assert labels_of(active_unit_labels(of)) == [Label.ACTIVE]
    assert conditional_prior_labels(of)[0].criterion is Criterion.CONDITIONAL_PRIOR


@pytest.mark.parametrize(
    ("beta", "eigenvalues", "n_active"),
    [(1, [13, 20, 100, 0.6, 0.1], 3), (4, [60, 1000, 2, 1, 0.1], 2), (0.1, [5, 4, 3, 2, 1.5], 5)],
)
def test_the_optimum_of_the_linear_vae_has_its_number_of_actives(
    beta: float, eigenvalues: list[float], n_active: int
) -> None:
    ratio = np.maximum(np.array(eigenvalues) / beta, 1.0)  # l / (beta s^2), 1 for a passive latent
    normal = np.random.default_rng(0).normal(size=(2000, len(eigenvalues)))
    mean = normal * np.sqrt(1 - 1 / ratio)
    of = codes(mean, np.broadcast_to(1 / ratio, mean.shape))

    by_entropy = entropy_labels(renyi_entropy(mean).nats.tolist(), 0.25)
    for found in (by_entropy, active_unit_labels(of), kl_labels(of), collapse_labels(of)):
        assert labels_of(found).count(Label.ACTIVE) == n_active


@pytest.mark.parametrize("criterion", [kl_labels, collapse_labels, conditional_prior_labels])
def test_a_deterministic_model_has_no_divergence_to_go_by(criterion: object) -> None:
    with pytest.raises(InvalidInput, match="without a variance"):
        criterion(codes(np.zeros((3, 2))))  # type: ignore[operator]


@pytest.mark.parametrize("threshold", [-1.0, math.nan, math.inf])
def test_thresholds_out_of_range_are_refused(threshold: float) -> None:
    with pytest.raises(InvalidInput, match="the threshold is"):
        active_unit_labels(codes(np.zeros((3, 2))), threshold)


@pytest.mark.parametrize(
    ("epsilon", "delta"), [(0.0, 0.01), (math.nan, 0.01), (0.01, 1.0), (0.01, -0.1)]
)
def test_epsilon_and_delta_out_of_range_are_refused(epsilon: float, delta: float) -> None:
    with pytest.raises(InvalidInput, match=r"epsilon is .* and delta"):
        collapse_labels(diverging([1.0]), epsilon, delta)


VARIANCES = arrays("float64", (6, 3), elements=st.floats(0.01, 5))
MEANS = arrays("float64", (6, 3), elements=st.floats(-3, 3))


@unhurried
@given(mean=MEANS, variance=VARIANCES, order=st.permutations(range(6)))
def test_the_order_of_the_images_does_not_matter(
    mean: np.ndarray, variance: np.ndarray, order: list[int]
) -> None:
    here, there = codes(mean, variance), codes(mean[order], variance[order])

    for criterion in (active_unit_labels, kl_labels, collapse_labels):
        for one, other in zip(criterion(here), criterion(there), strict=True):
            assert one.margin >= 0
            # sums depend on the order in their last digits
            assert one.score == pytest.approx(other.score, abs=1e-12)
            assert one.label is other.label or one.margin < 1e-12
