from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from polar.entropy.pairs import gram_features, pair_sums
from polar.entropy.points import points

Floats = NDArray[np.floating[Any]]

RNG = np.random.default_rng(8)
N = 150
X = RNG.integers(0, 256, (N, 6, 6), dtype=np.uint8)
MU = np.stack(
    [
        RNG.standard_normal(N),
        0.01 * RNG.standard_normal(N),
        np.zeros(N),
        1e3 * RNG.standard_normal(N),  # more features than are worth it
        RNG.standard_cauchy(N),
        X[:, 0, 0] / 64.0,
    ]
)


def squared_gram(x: Floats, sigma: float) -> Floats:
    flat = x.reshape(len(x), -1)
    return np.exp(-((flat[:, None] - flat) ** 2).sum(-1) / sigma**2)


@pytest.mark.parametrize("block", [1, 7, 64, 149, 150, 1024])
def test_sums_are_those_of_the_whole_matrices_for_any_block(block: int) -> None:
    sums = pair_sums(points(X), torch.from_numpy(MU), sigma_x=1.5, sigma=0.5, block=block)

    x = squared_gram(X / 255, 1.5)
    latents = [squared_gram(y, 0.5) for y in MU]
    assert sums.x_rows.numpy() == pytest.approx(x.sum(1), rel=1e-12)
    assert sums.x_squares == pytest.approx((x**2).sum(), rel=1e-12)
    # Features are stored in float32, and leave 1e-8 for each pair.
    assert sums.latent_rows.numpy() == pytest.approx(
        np.array([k.sum(1) for k in latents]), rel=1e-5
    )
    assert sums.joint.numpy() == pytest.approx([(x * k).sum() for k in latents], rel=1e-6)


@pytest.mark.parametrize("scale", [0.0, 1e-3, 0.3, 2.0])
def test_features_make_the_gram_matrix_entry_by_entry(scale: float) -> None:
    y = scale * torch.from_numpy(RNG.standard_normal(500))

    features = gram_features(y, 0.5)

    assert features is not None
    exact = torch.exp(-((y[:, None] - y) ** 2) / (2 * 0.5**2))
    assert (features @ features.T - exact).abs().max() <= 1.1e-8  # the residual, and rounding


def test_a_constant_needs_one_feature_and_a_wide_latent_none_at_all() -> None:
    constant = gram_features(torch.full((20,), 3.0, dtype=torch.float64), 0.5)
    wide = gram_features(torch.arange(200, dtype=torch.float64) * 10, 0.5)

    assert constant is not None
    assert constant.shape == (20, 1)
    assert wide is None
