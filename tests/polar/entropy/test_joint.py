import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from polar.entropy import gaussian_entropy, image_sigma, joint_entropy, renyi_entropy
from polar.errors import InvalidInput

Floats = NDArray[np.floating[Any]]

RNG = np.random.default_rng(11)
N = 120
IMAGES = RNG.integers(0, 256, (N, 5, 5), dtype=np.uint8)
MU = np.stack(
    [
        RNG.standard_normal(N),
        IMAGES[:, 0, 0] / 50.0,
        np.full(N, 0.7),
        1e-3 * RNG.standard_normal(N),
        300 * RNG.standard_normal(N),
    ],
    axis=1,
)
SIGMA_X = 1.1
ORDERS = (1.0, 1.01, 2.0, 3.5)
SMALL = 1e-6  # float32 products at order 2; the marginals' tolerance at the others

unhurried = settings(deadline=None, max_examples=40)
samples = arrays(
    np.float64, st.tuples(st.integers(1, 25), st.just(3)), elements=st.floats(-4, 4) | st.just(0.0)
)


@pytest.mark.parametrize("alpha", ORDERS)
def test_the_joint_entropy_is_that_of_the_product_of_the_gram_matrices(
    alpha: float,
    gram_matrix: Callable[[Floats, float], Floats],
    entropy_of_matrix: Callable[[Floats, float], float],
) -> None:
    found = joint_entropy(IMAGES, MU, sigma_x=SIGMA_X, alpha=alpha)

    x = gram_matrix(IMAGES / 255, SIGMA_X)
    expected = [entropy_of_matrix(x * gram_matrix(y, 0.5), alpha) for y in MU.T]
    assert found.x_nats == pytest.approx(entropy_of_matrix(x, alpha), abs=1e-9)
    assert found.nats == pytest.approx(expected, abs=SMALL)
    assert found.standard_error_nats.tolist() == [0] * 5


@pytest.mark.parametrize("alpha", ORDERS)
def test_the_latents_entropies_are_their_marginals(alpha: float) -> None:
    found = joint_entropy(IMAGES, MU, sigma_x=SIGMA_X, alpha=alpha, sigma=0.3)

    marginal = renyi_entropy(MU, alpha=alpha, sigma=0.3)
    assert found.latent_nats.tolist() == marginal.nats.tolist()


@pytest.mark.parametrize("alpha", ORDERS)
def test_conditionals_and_information_add_up_as_in_the_venn_diagram(alpha: float) -> None:
    found = joint_entropy(IMAGES, MU, sigma_x=SIGMA_X, alpha=alpha)

    parts = found.x_given_latent_nats + found.information_nats + found.latent_given_x_nats
    assert parts == pytest.approx(found.nats, abs=1e-12)


@pytest.mark.parametrize("alpha", ORDERS)
def test_images_far_apart_leave_no_residual(alpha: float) -> None:
    found = joint_entropy(IMAGES, MU, sigma_x=1e-3, alpha=alpha)

    assert found.x_nats == pytest.approx(math.log(N), abs=1e-9)
    assert found.information_nats == pytest.approx(found.latent_nats, abs=SMALL)


@pytest.mark.parametrize("alpha", ORDERS)
def test_images_all_alike_know_nothing(alpha: float) -> None:
    found = joint_entropy(np.zeros_like(IMAGES), MU, sigma_x=1.0, alpha=alpha)

    assert found.x_nats == pytest.approx(0, abs=1e-9)
    assert found.information_nats == pytest.approx(0, abs=SMALL)


@pytest.mark.parametrize("alpha", ORDERS)
def test_two_clusters_crossed_with_two_share_nothing_and_with_themselves_all(alpha: float) -> None:
    x = np.repeat([[0.0], [100.0]], 20, axis=0)
    mu = np.stack([np.tile([0.0, 100.0], 20), x[:, 0]], axis=1)

    found = joint_entropy(x, mu, sigma_x=1.0, alpha=alpha)

    ln2 = math.log(2)
    assert found.nats == pytest.approx([2 * ln2, ln2], abs=SMALL)
    assert found.information_nats == pytest.approx([0, ln2], abs=2 * SMALL)


def test_a_wide_latent_given_itself_keeps_half_of_ln_2() -> None:
    # The product of two equal kernels is one of width sigma / sqrt 2: no numerical error.
    rng = np.random.default_rng(0)
    y = rng.standard_normal((4000, 1))
    y = 5 * 0.5 * (y - y.mean()) / y.std()

    one, two = (joint_entropy(y[:1500], y[:1500], sigma_x=0.5, alpha=a) for a in (1.0, 2.0))
    all_of_it = joint_entropy(y, y, sigma_x=0.5)

    # Closed form for Gaussian data at r = 5 and order 1; n = 1500 samples leave 2 %.
    assert one.latent_given_x_nats[0] == pytest.approx(0.34492, rel=0.02)
    closed = math.log((1 + 8 * 25) / (1 + 4 * 25)) / 2
    assert two.latent_given_x_nats[0] == pytest.approx(closed, rel=0.03)
    assert all_of_it.latent_given_x_nats[0] == pytest.approx(math.log(2) / 2, rel=0.03)


@pytest.mark.parametrize("alpha", ORDERS)
def test_a_latent_given_itself_keeps_what_a_width_smaller_by_root_2_adds(alpha: float) -> None:
    narrow = renyi_entropy(MU, alpha=alpha, sigma=0.5 / math.sqrt(2)).nats

    found = [joint_entropy(y[:, None], y, sigma_x=0.5, alpha=alpha) for y in MU.T]

    kept = [one.latent_given_x_nats[0] for one in found]
    assert kept == pytest.approx(narrow - renyi_entropy(MU, alpha=alpha).nats, abs=2 * SMALL)


@pytest.mark.parametrize("alpha", ORDERS)
def test_half_of_ln_2_is_the_limit_of_what_a_wide_gaussian_keeps(alpha: float) -> None:
    kept = [
        gaussian_entropy(r, sigma=1 / math.sqrt(2), alpha=alpha)
        - gaussian_entropy(r, sigma=1.0, alpha=alpha)
        for r in (10.0, 100.0, 1e4)
    ]

    assert kept == sorted(kept)
    assert kept[-1] == pytest.approx(math.log(2) / 2, abs=1e-8)  # next: of order 1 / r^2


def test_at_order_two_a_cross_has_more_entropy_than_its_axes_together() -> None:
    # Subadditivity is a theorem at order 1 only: here S_2(X, Y) = ln 20, S_2(X) = S_2(Y) < ln 4.
    far = 100.0 * np.arange(1, 11)
    x, y = np.append(np.zeros(10), far), np.append(far, np.zeros(10))

    two = joint_entropy(x[:, None], y, sigma_x=1.0)
    one = joint_entropy(x[:, None], y, sigma_x=1.0, alpha=1.0)

    assert two.nats[0] == pytest.approx(math.log(20), abs=SMALL)
    assert two.information_nats[0] < -0.3
    assert one.information_nats[0] > 0.3


def test_two_sets_of_latents_have_a_joint_entropy_too(
    gram_matrix: Callable[[Floats, float], Floats],
    entropy_of_matrix: Callable[[Floats, float], float],
) -> None:
    found = joint_entropy(MU[:, [0, 1]], MU[:, 0], sigma_x=0.5)

    product = gram_matrix(MU[:, [0, 1]], 0.5) * gram_matrix(MU[:, 0], 0.5)
    assert found.nats[0] == pytest.approx(entropy_of_matrix(product, 2.0), abs=SMALL)


@unhurried
@given(x=samples, alpha=st.sampled_from(ORDERS), seed=st.integers(0, 99))
def test_the_joint_entropy_lies_between_the_larger_one_and_the_logarithm_of_n(
    x: Floats, alpha: float, seed: int
) -> None:
    mu = np.random.default_rng(seed).standard_normal((len(x), 2))

    found = joint_entropy(x, mu, sigma_x=1.0, alpha=alpha)

    assert 0 <= found.x_nats <= math.log(len(x)) + 1e-12
    assert (found.nats >= np.maximum(found.latent_nats, found.x_nats) - 1e-12).all()
    assert (found.nats <= math.log(len(x)) + 1e-12).all()


@unhurried
@given(x=samples, seed=st.integers(0, 99))
def test_at_order_one_the_joint_entropy_is_at_most_the_sum(x: Floats, seed: int) -> None:
    mu = np.random.default_rng(seed).standard_normal((len(x), 2))

    found = joint_entropy(x, mu, sigma_x=1.0, alpha=1.0)

    assert (found.information_nats >= -SMALL).all()


@unhurried
@given(x=samples, seed=st.integers(0, 99))
def test_the_joint_entropy_does_not_rise_with_the_order(x: Floats, seed: int) -> None:
    mu = np.random.default_rng(seed).standard_normal(len(x))

    nats = [joint_entropy(x, mu, sigma_x=1.0, alpha=alpha).nats[0] for alpha in ORDERS]

    assert (np.diff(nats) <= 2 * SMALL).all()


@unhurried
@given(
    x=samples,
    alpha=st.sampled_from(ORDERS),
    shift=st.floats(-100, 100),
    seed=st.integers(0, 99),
)
def test_order_and_origin_of_the_samples_do_not_matter(
    x: Floats, alpha: float, shift: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    mu, order = rng.standard_normal(len(x)), rng.permutation(len(x))

    before = joint_entropy(x, mu, sigma_x=1.0, alpha=alpha)
    after = joint_entropy(x[order] + shift, mu[order] - shift, sigma_x=1.0, alpha=alpha)

    assert after.x_nats == pytest.approx(before.x_nats, abs=SMALL)
    assert after.nats == pytest.approx(before.nats, abs=2 * SMALL)


def test_numpy_gives_numpy_and_torch_gives_torch() -> None:
    as_array = joint_entropy(torch.from_numpy(IMAGES), MU, sigma_x=SIGMA_X)
    as_tensor = joint_entropy(IMAGES, torch.from_numpy(MU).float(), sigma_x=SIGMA_X)

    assert isinstance(as_array.nats, np.ndarray)
    assert isinstance(as_tensor.nats, torch.Tensor)
    assert as_array.nats.dtype == np.float64
    assert as_tensor.nats.dtype == torch.float64
    assert as_tensor.information_nats.numpy() == pytest.approx(as_array.information_nats, abs=1e-5)


def test_without_a_width_the_images_choose_it() -> None:
    chosen = joint_entropy(IMAGES, MU)

    given_width = joint_entropy(IMAGES, MU, sigma_x=image_sigma(IMAGES))
    assert chosen.nats.tolist() == given_width.nats.tolist()


def test_the_samples_are_left_as_they_were() -> None:
    images, mu = IMAGES.copy(), MU.copy()

    joint_entropy(images, mu, alpha=1.01)
    joint_entropy(images / 1.0, mu)

    assert np.array_equal(images, IMAGES)
    assert np.array_equal(mu, MU)


def test_one_sample_has_no_entropy() -> None:
    found = joint_entropy(np.zeros((1, 4)), np.zeros((1, 2)), sigma_x=1.0)

    assert (found.x_nats, found.nats.tolist()) == (0, [0, 0])


def test_above_the_exact_limit_the_entropy_has_an_honest_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    exact = joint_entropy(IMAGES, MU, sigma_x=SIGMA_X, alpha=1.01)
    monkeypatch.setattr("polar.entropy.joint._MOST_EXACT", N - 1)

    found = joint_entropy(IMAGES, MU, sigma_x=SIGMA_X, alpha=1.01)

    assert (found.standard_error_nats < 0.05).all()
    # Five errors of a normal distribution, and 2e-3 of float32.
    assert (np.abs(found.nats - exact.nats) < 5 * found.standard_error_nats + 2e-3).all()
    assert abs(found.x_nats - exact.x_nats) < 5 * found.x_standard_error_nats + 2e-3


def test_different_numbers_of_samples_are_refused_with_both() -> None:
    with pytest.raises(InvalidInput, match="x has 120 samples, mu 119"):
        joint_entropy(IMAGES, MU[1:])


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_latent_that_is_not_finite_is_refused_with_its_place(bad: float) -> None:
    mu = MU.copy()
    mu[7, 2] = bad

    with pytest.raises(InvalidInput, match=rf"x\[7, 2\] is {bad}"):
        joint_entropy(IMAGES, mu)


@pytest.mark.parametrize(
    ("argument", "value", "allowed"),
    [
        ("alpha", 0.99, "at least 1"), ("alpha", math.inf, "finite"),
        ("alpha", math.nan, "finite"),
        ("sigma", 0.0, "positive"), ("sigma", math.nan, "positive"),
        ("sigma_x", -1.0, "positive"), ("sigma_x", math.inf, "positive"),
    ],
)  # fmt: skip
def test_an_argument_out_of_its_range_is_refused_with_its_value(
    argument: str, value: float, allowed: str
) -> None:
    with pytest.raises(InvalidInput, match=f"{argument} is {value}; allowed: .*{allowed}"):
        joint_entropy(IMAGES, MU, **{argument: value})  # type: ignore[arg-type]


def test_too_many_samples_for_a_matrix_are_refused_with_the_way_out() -> None:
    x = np.zeros((20_001, 1), np.uint8)

    with pytest.raises(InvalidInput, match="20001 samples; allowed: alpha = 2"):
        joint_entropy(x, np.zeros(20_001), sigma_x=1.0, alpha=1.01)
