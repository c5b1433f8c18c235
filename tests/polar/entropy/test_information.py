import math
from itertools import permutations
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from polar.entropy import image_sigma, joint_entropy, mutual_information
from polar.entropy.information import shuffled_purity
from polar.entropy.joint import checked, sums_of
from polar.errors import InvalidInput

Floats = NDArray[np.floating[Any]]

RNG = np.random.default_rng(21)
N = 300
X = RNG.standard_normal((N, 3))
MU = np.stack(
    [X[:, 0], X[:, 1] + 0.3 * RNG.standard_normal(N), RNG.standard_normal(N), np.zeros(N)], axis=1
)


@pytest.mark.parametrize("n", [2, 3, 4, 6])
def test_mean_and_variance_over_shuffles_are_those_of_all_permutations(n: int) -> None:
    x, mu = X[:n], MU[:n, :3]
    squared = [np.exp(-((a[:, None] - a) ** 2) / 0.5**2) for a in mu.T]
    k_x = np.exp(-((x[:, None] - x) ** 2).sum(-1))

    samples = checked(x, mu, 1.0, 0.5, 2.0)
    mean, variance = shuffled_purity(samples, sums_of(samples))

    purities = np.array(
        [
            [(k_x * k[np.ix_(order, order)]).mean() for k in squared]
            for order in map(list, permutations(range(n)))
        ]
    )
    assert mean.numpy() == pytest.approx(purities.mean(0), rel=1e-6)  # features in float32
    assert variance.numpy() == pytest.approx(purities.var(0), rel=1e-4, abs=1e-9)


def test_the_baseline_of_order_two_is_that_of_many_shuffles() -> None:
    exact = mutual_information(X, MU, sigma_x=1.0)

    shuffled = np.array(
        [
            joint_entropy(X, MU[RNG.permutation(N)], sigma_x=1.0).information_nats
            for _ in range(200)
        ]
    )
    standard_error = exact.baseline_std_nats / math.sqrt(200)
    assert (np.abs(shuffled.mean(0) - exact.baseline_nats) <= 4 * standard_error + 1e-6).all()
    # 200 draws know a standard deviation to 5 %.
    assert shuffled.std(0) == pytest.approx(exact.baseline_std_nats, rel=0.2, abs=1e-6)


@pytest.mark.parametrize("alpha", [1.0, 1.01, 2.0])
def test_latents_made_of_x_are_above_the_baseline_and_others_on_it(alpha: float) -> None:
    found = mutual_information(X, MU, sigma_x=1.0, alpha=alpha)

    excess = found.nats - found.baseline_nats
    assert excess[0] > 0.2
    assert excess[1] > 0.1
    assert abs(excess[2]) < 0.03  # the chance of 300 samples
    assert excess[3] == pytest.approx(0, abs=1e-6)


def test_independent_variables_have_the_bias_of_n_and_nothing_else() -> None:
    n = 1500
    rng = np.random.default_rng(5)
    x, y = 2.5 * rng.standard_normal((2, n))

    found = mutual_information(x[:, None], y, sigma_x=0.5)

    # The baseline is the information of P = 1/n + (1 - 1/n) P_x P_y, the mean over all shuffles.
    off = [
        math.expm1(-s + math.log(n)) / (n - 1)
        for s in (joint_entropy(x[:, None], y, sigma_x=0.5).x_nats, float(found.entropy_nats[0]))
    ]
    expected = sum(-math.log(1 / n + (1 - 1 / n) * p) for p in off) + math.log(
        1 / n + (1 - 1 / n) * off[0] * off[1]
    )
    assert found.baseline_nats[0] == pytest.approx(expected, abs=1e-4)  # of the second order
    assert abs(found.nats[0] - found.baseline_nats[0]) < 2 * found.baseline_std_nats[0]


@pytest.mark.parametrize(("alpha", "bias"), [(1.0, 0.118), (1.01, 0.118), (2.0, 0.0525)])
def test_independent_gaussians_have_the_bias_that_is_known(alpha: float, bias: float) -> None:
    # At order 2 from E tr A^2 of n = 1500 at r = 5, for the axes and for both; else as published.
    draws = np.random.default_rng(5).standard_normal((2, 1500))
    x, y = 2.5 * (draws - draws.mean(1, keepdims=True)) / draws.std(1, keepdims=True)

    found = mutual_information(x[:, None], y, sigma_x=0.5, alpha=alpha)

    # Both scatter by 0.008 from sample to sample.
    assert found.nats[0] == pytest.approx(bias, abs=3 * 0.008)
    assert found.nats[0] == pytest.approx(found.baseline_nats[0], abs=3 * 0.008)


def test_information_and_residual_make_the_entropy() -> None:
    found = mutual_information(X, MU, sigma_x=1.0)

    assert found.nats + found.residual_nats == pytest.approx(found.entropy_nats, abs=1e-12)
    assert (found.residual_nats >= 0).all()


def test_it_is_the_information_of_the_joint_entropy() -> None:
    for alpha in (1.01, 2.0):
        found = mutual_information(X, MU, sigma_x=1.0, alpha=alpha)

        joint = joint_entropy(X, MU, sigma_x=1.0, alpha=alpha)
        assert found.nats.tolist() == joint.information_nats.tolist()


def test_shuffles_follow_the_seed() -> None:
    first, again, other = (
        mutual_information(X[:60], MU[:60], alpha=1.01, sigma_x=1.0, seed=s) for s in (0, 0, 1)
    )

    assert first.baseline_nats.tolist() == again.baseline_nats.tolist()
    assert first.baseline_nats.tolist() != other.baseline_nats.tolist()


def test_pixels_are_known_by_their_images_and_noise_is_not() -> None:
    images = np.repeat(RNG.integers(0, 256, (40, 4, 4), dtype=np.uint8), 10, axis=0)
    noisy = np.clip(images + RNG.integers(0, 20, images.shape), 0, 255).astype(np.uint8)
    mu = np.stack([noisy[:, 0, 0] / 64.0, RNG.standard_normal(400)], axis=1)

    found = mutual_information(noisy, mu, sigma_x=image_sigma(noisy))

    assert found.nats[0] > found.baseline_nats[0] + 10 * found.baseline_std_nats[0]
    assert abs(found.nats[1] - found.baseline_nats[1]) < 5 * found.baseline_std_nats[1]


def test_numpy_gives_numpy_and_torch_gives_torch() -> None:
    for alpha in (1.01, 2.0):
        as_array = mutual_information(X[:40], MU[:40], alpha=alpha)
        as_tensor = mutual_information(X[:40], torch.from_numpy(MU[:40]), alpha=alpha)

        for name, values in vars(as_array).items():
            assert isinstance(values, np.ndarray)
            assert isinstance(getattr(as_tensor, name), torch.Tensor)
            assert values.dtype == np.float64
            assert values.tolist() == getattr(as_tensor, name).tolist()


def test_one_sample_tells_nothing() -> None:
    found = mutual_information(np.zeros((1, 2)), np.zeros((1, 1)), sigma_x=1.0)

    assert [values.tolist() for values in vars(found).values()] == [[0]] * 5


def test_fewer_than_two_shuffles_are_refused() -> None:
    with pytest.raises(InvalidInput, match="permutations is 1; allowed: at least 2"):
        mutual_information(X, MU, permutations=1)
