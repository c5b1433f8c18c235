import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polar.entropy.bump_grid import Block
from polar.entropy.determinants import Tsallis, tsallis_entropy

ORDERS = (1.0, 1 + 1e-3, 1.01, 1.3, 1.5, 1.9)


def by_definition(p: np.ndarray, alpha: float) -> float:
    """Sum of (p - p^alpha) / (alpha - 1), without its cancellation near alpha = 1."""
    p, order = p[p > 0], alpha - 1
    return -float(p @ (np.expm1(order * np.log(p)) / order if order else np.log(p)))


def entropy(bands: np.ndarray, *, alpha: float, tol: float) -> Tsallis:
    return tsallis_entropy(Block(bands, entry_rounding=0.0), alpha=alpha, tol=tol)


def banded(matrix: np.ndarray, b: int) -> np.ndarray:
    m = len(matrix)
    bands = np.zeros((b + 1, m))
    for k in range(b + 1):
        bands[k, : m - k] = np.diag(matrix, -k)
    return bands


@pytest.mark.parametrize("alpha", ORDERS)
def test_a_diagonal_matrix_has_the_entropy_of_its_entries(alpha: float) -> None:
    p = np.geomspace(1, 1e-12, 300)
    p /= p.sum()

    found = entropy(p[None], alpha=alpha, tol=1e-6)

    assert found.error_bound_nats <= 1e-6
    assert found.nats == pytest.approx(by_definition(p, alpha), abs=found.error_bound_nats)


@pytest.mark.parametrize("alpha", ORDERS)
def test_a_second_difference_has_the_entropy_of_its_known_spectrum(alpha: float) -> None:
    m = 2000
    bands = np.full((2, m), -1.0)
    bands[0], bands[1, -1] = 2, 0
    p = (2 - 2 * np.cos(np.pi * np.arange(1, m + 1) / (m + 1))) / (2 * m)

    found = entropy(bands / (2 * m), alpha=alpha, tol=1e-6)

    assert found.error_bound_nats <= 1e-6
    assert found.nats == pytest.approx(by_definition(p, alpha), abs=found.error_bound_nats)


@pytest.mark.parametrize("alpha", ORDERS)
def test_equal_eigenvalues(alpha: float) -> None:
    m = 1000

    found = entropy(np.full((1, m), 1 / m), alpha=alpha, tol=1e-8)

    power = m ** (1 - alpha)
    exact = np.log(m) if alpha == 1 else (1 - power) / (alpha - 1)
    assert found.nats == pytest.approx(exact, abs=found.error_bound_nats)


@given(
    seed=st.integers(0, 2**32 - 1),
    m=st.integers(1, 40),
    b=st.integers(0, 6),
    rank=st.integers(1, 40),
    trace=st.floats(1e-3, 1),
    alpha=st.floats(1, 1.95),
    tol=st.sampled_from([1e-4, 1e-6, 1e-9]),
)
def test_the_bound_holds_for_any_positive_band_matrix(
    seed: int, m: int, b: int, rank: int, trace: float, alpha: float, tol: float
) -> None:
    rng = np.random.default_rng(seed)
    factor = np.triu(np.tril(rng.normal(size=(m, m)), 0), -min(b, m - 1))
    factor[:, rank:] = 0  # eigenvalues of 0, which rounding makes negative
    matrix = factor @ factor.T
    matrix *= trace / np.trace(matrix)

    found = entropy(banded(matrix, min(b, m - 1)), alpha=alpha, tol=tol)

    p = np.linalg.eigvalsh(matrix)
    oracle_rounding = 100 * m * np.finfo(float).eps
    exact = by_definition(p, alpha)
    assert found.nats == pytest.approx(exact, abs=found.error_bound_nats + oracle_rounding)


def test_eigenvalues_that_are_a_little_negative_count_in_the_bound() -> None:
    p = np.append(np.full(100, 0.01), np.full(100, -1e-9))

    found = entropy(p[None], alpha=1.0, tol=1e-9)

    assert found.error_bound_nats > 1e-9
    assert found.nats == pytest.approx(np.log(100), abs=found.error_bound_nats)
