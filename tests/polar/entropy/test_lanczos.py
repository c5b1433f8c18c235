from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from polar.entropy.lanczos import Estimate, stochastic_entropy

Floats = NDArray[np.floating[Any]]

N = 400
RNG = np.random.default_rng(4)
DATA = {
    "nearly all apart": RNG.standard_normal((N, 8)),
    "one half apart": 0.5 * RNG.standard_normal((N, 6)),
    "on a line": RNG.standard_normal((N, 1)),
    "nearly all alike": 0.02 * RNG.standard_normal((N, 3)),
    "ten clusters": np.repeat(10.0 * np.eye(10), N // 10, axis=0),
}


def estimate(gram: Floats, alpha: float, seed: int, dtype: torch.dtype) -> Estimate:
    a = torch.from_numpy(gram).to(dtype) / len(gram)
    return stochastic_entropy(a, alpha, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("alpha", [1.0, 1.01, 1.5, 5.0])
@pytest.mark.parametrize("name", DATA)
def test_the_standard_error_is_honest_over_seeds(
    name: str,
    alpha: float,
    gram_matrix: Callable[[Floats, float], Floats],
    entropy_of_matrix: Callable[[Floats, float], float],
) -> None:
    gram = gram_matrix(DATA[name], 0.5)
    exact = entropy_of_matrix(gram, alpha)

    found = [estimate(gram, alpha, seed, torch.float64) for seed in range(24)]

    errors = np.array([one.nats - exact for one in found])
    claimed = np.sqrt(np.mean([one.standard_error_nats**2 for one in found]))
    # The spread of 24 estimates is known to 15 %; truncation by Lanczos and rounding add 1e-3.
    assert np.sqrt(np.mean(errors**2)) <= 1.6 * claimed + 1e-3
    assert claimed <= 1.6 * np.sqrt(np.mean(errors**2)) + 1e-3


@pytest.mark.parametrize("alpha", [1.0, 1.01, 3.0])
@pytest.mark.parametrize("name", DATA)
def test_float32_is_as_good(
    name: str, alpha: float, gram_matrix: Callable[[Floats, float], Floats]
) -> None:
    gram = gram_matrix(DATA[name], 0.5)

    double, single = (estimate(gram, alpha, 0, dtype) for dtype in (torch.float64, torch.float32))

    assert single.nats == pytest.approx(double.nats, abs=2e-3)


def test_one_seed_gives_one_answer_and_another_another() -> None:
    gram = np.exp(-((DATA["on a line"] - DATA["on a line"].T) ** 2))

    first, again, other = (estimate(gram, 1.01, seed, torch.float64) for seed in (1, 1, 2))

    assert first == again
    assert first != other


@pytest.mark.parametrize("alpha", [1.0, 1.01, 2.5])
def test_equal_eigenvalues_are_known_without_chance(alpha: float) -> None:
    found = estimate(np.eye(N), alpha, 0, torch.float64)

    assert found.nats == pytest.approx(np.log(N), abs=1e-9)
    assert found.standard_error_nats == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("alpha", [1.0, 1.01, 2.5])
def test_one_eigenvalue_is_known_without_chance(alpha: float) -> None:
    found = estimate(np.ones((N, N)), alpha, 0, torch.float64)

    # Rounding leaves eigenvalues of 1e-17, whose logarithms count 100 times at alpha = 1.01.
    assert found.nats == pytest.approx(0, abs=1e-6)
    assert found.standard_error_nats == pytest.approx(0, abs=1e-6)
