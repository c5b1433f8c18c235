import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr

from polar.entropy.differential import (
    histogram_entropy,
    mixture_entropy,
    nearest_neighbour_entropy,
    spacing_entropy,
)
from polar.entropy.mixtures import spike_and_slab
from polar.errors import InvalidInput

Floats = NDArray[np.floating[Any]]
Estimator = Callable[[Floats], Floats]


def mixture_nats(x: Floats) -> Floats:
    return mixture_entropy(x).nats


ESTIMATORS = [histogram_entropy, nearest_neighbour_entropy, spacing_entropy, mixture_nats]
N = 5000
RNG = np.random.default_rng(51)
X = np.stack(
    [
        RNG.standard_normal(N),
        0.01 * RNG.standard_normal(N),
        RNG.uniform(0, 1, N),
        RNG.exponential(1, N),
        RNG.laplace(0, 1, N),
    ],
    axis=1,
)
GAUSS = math.log(2 * math.pi * math.e) / 2
EXACT = [GAUSS, GAUSS + math.log(0.01), 0.0, 1.0, 1 + math.log(2)]


@pytest.mark.parametrize("method", ["vasicek", "van es", "ebrahimi", "correa"])
def test_spacings_have_the_entropies_of_the_densities(method: str) -> None:
    nats = spacing_entropy(X, method=method)

    # Their published bias at n = 5000 is up to 0.06; the spread 0.02.
    assert nats == pytest.approx(EXACT, abs=0.08)


@pytest.mark.parametrize("k", [1, 3, 10])
def test_neighbours_have_the_entropies_of_the_densities(k: int) -> None:
    # Three standard errors sqrt((var ln p + psi'(k)) / n); the largest is Laplace's, of k = 1.
    assert nearest_neighbour_entropy(X, k=k) == pytest.approx(EXACT, abs=0.07)


def test_a_histogram_has_the_entropies_of_densities_wider_than_its_bins() -> None:
    nats = histogram_entropy(X[:, [0, 2, 3, 4]], width=0.05)

    assert nats == pytest.approx([EXACT[j] for j in (0, 2, 3, 4)], abs=0.06)


def test_the_bins_of_a_histogram_are_fixed_so_that_a_collapsed_latent_has_less() -> None:
    wide, narrow = histogram_entropy(X[:, :2], width=0.1)

    assert narrow == pytest.approx(math.log(0.1) + math.log(2), abs=0.01)  # two bins, about 0
    assert wide > narrow + 2


def test_a_mixture_has_the_entropies_of_gaussians_and_says_its_error() -> None:
    found = mixture_entropy(X[:, :2])

    # The fit of a variance is off by 1 %, half of that in nats.
    assert (np.abs(found.nats - EXACT[:2]) < 4 * found.standard_error_nats + 0.02).all()
    assert found.components.tolist() == [1, 1]
    # ln p of a Gaussian has the variance 1/2.
    assert found.standard_error_nats == pytest.approx(math.sqrt(0.5 / 10_000), rel=0.05)


def test_a_mixture_finds_the_number_of_components() -> None:
    x = np.concatenate([RNG.normal(-20, 1, 600), RNG.normal(0, 1, 600), RNG.normal(20, 1, 600)])

    found = mixture_entropy(x)

    assert found.components.tolist() == [3]
    assert found.nats[0] == pytest.approx(GAUSS + math.log(3), abs=0.05)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_all_see_the_entropy_of_spike_and_slab_rise_at_one_variance(estimator: Estimator) -> None:
    weights = (0.05, 0.25, 0.5, 0.75, 1.0)
    x = np.stack([spike_and_slab(pi).sample(4000, seed=2) for pi in weights], axis=1)

    nats = estimator(x)

    assert spearmanr(nats, weights).statistic == pytest.approx(1)
    exact = [spike_and_slab(pi).differential_entropy() for pi in weights]
    # The histogram's bins are twice the spike's std: its entropy is too high by 0.15 there.
    assert nats == pytest.approx(exact, abs=0.2)


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("value", [0.0, 0.3, -7e12, 1e149])
def test_a_constant_has_a_finite_floor(estimator: Estimator, value: float) -> None:
    (floor,) = estimator(np.full(100, value))

    assert math.isfinite(floor)
    if estimator is histogram_entropy:
        assert floor == math.log(0.1)
    else:
        # A uniform density on 1e-6, as each estimator sees it from 100 points.
        assert floor == pytest.approx(math.log(1e-6), abs=0.6)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_equal_samples_are_finite_and_have_less_than_others(estimator: Estimator) -> None:
    x = np.stack([np.repeat([0.0, 1.0, 2.0], 50), 3 * np.linspace(0, 1, 150)], axis=1)

    few_values, spread = estimator(x)

    assert math.isfinite(few_values)
    assert few_values < spread


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_a_shift_changes_little_and_a_scale_adds_its_logarithm(estimator: Estimator) -> None:
    x = RNG.standard_normal(2000)

    base, moved, scaled = (float(estimator(y)[0]) for y in (x, x + 1000, 8 * x))

    grid = 0.02 if estimator is histogram_entropy else 1e-3  # bins fall elsewhere
    assert moved == pytest.approx(base, abs=grid)
    # A histogram of 400 bins of 5 samples is too low by 0.1.
    assert scaled == pytest.approx(base + math.log(8), abs=0.12 if grid == 0.02 else 1e-3)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_torch_gives_torch_and_numpy_numpy(estimator: Callable[[Any], Any]) -> None:
    x = RNG.standard_normal((30, 2))

    as_tensor, as_array = estimator(torch.from_numpy(x)), estimator(x)

    assert isinstance(as_tensor, torch.Tensor)
    assert isinstance(as_array, np.ndarray)
    assert as_tensor.tolist() == as_array.tolist()


def test_a_mixture_follows_its_seed() -> None:
    x = RNG.standard_normal(200)

    first, again, other = (mixture_entropy(x, seed=seed).nats.tolist() for seed in (1, 1, 2))

    assert first == again
    assert first != other


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros(4), "x has 4 samples; allowed: at least 5"),
        (np.full(9, math.nan), "is nan"), (np.full(9, math.inf), "is inf"),
        (np.full(9, 1e151), "allowed: up to 1e\\+150"),
        (np.zeros((9, 0)), "without 0"), (np.zeros(9, complex), "real numbers"),
    ],
)  # fmt: skip
def test_samples_that_cannot_be_used_are_refused(
    estimator: Estimator, x: Floats, message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        estimator(x)


def test_arguments_out_of_their_range_are_refused_with_their_values() -> None:
    x = np.arange(10.0)

    with pytest.raises(InvalidInput, match=r"width is 0\.0; allowed: positive and finite"):
        histogram_entropy(x, width=0.0)
    with pytest.raises(InvalidInput, match="k is 10; allowed: from 1 to n - 1 = 9"):
        nearest_neighbour_entropy(x, k=10)
    with pytest.raises(InvalidInput, match="method is 'guess'; allowed: vasicek, van es"):
        spacing_entropy(x, method="guess")
    with pytest.raises(InvalidInput, match="most_components is 11; allowed: from 1 to n = 10"):
        mixture_entropy(x, most_components=11)
    with pytest.raises(InvalidInput, match="draws is 1; allowed: at least 2"):
        mixture_entropy(x, draws=1)
