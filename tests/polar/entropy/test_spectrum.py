import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from polar.entropy.spectrum import entropy_error, nuclear_budget, spectral_entropy

ORDERS = (0.2, 0.9, 1 - 1e-7, 1.0, 1 + 1e-7, 1.01, 1.5, 2.0, 7.0, 100.0, math.inf)
SIZE = 12

spectra = arrays(float, SIZE, elements=st.floats(1e-9, 1) | st.just(0.0)).filter(np.any)


@pytest.mark.parametrize("alpha", ORDERS)
def test_equal_eigenvalues_have_the_logarithm_of_their_number(alpha: float) -> None:
    assert spectral_entropy(np.full(50, 1 / 50), alpha) == pytest.approx(math.log(50), rel=1e-14)


@pytest.mark.parametrize("alpha", ORDERS)
def test_one_eigenvalue_has_no_entropy(alpha: float) -> None:
    assert spectral_entropy(np.array([0.0, 1.0, 0.0]), alpha) == 0


@pytest.mark.parametrize(
    ("alpha", "nats"),
    [
        (0.5, 2 * math.log(math.sqrt(0.3) + math.sqrt(0.7))),
        (1.0, -0.3 * math.log(0.3) - 0.7 * math.log(0.7)),
        (2.0, -math.log(0.58)),
        (3.0, -math.log(0.027 + 0.343) / 2),
        (math.inf, -math.log(0.7)),
    ],
)
def test_two_eigenvalues_have_the_entropy_of_the_definition(alpha: float, nats: float) -> None:
    assert spectral_entropy(np.array([0.3, 0.7]), alpha) == pytest.approx(nats, rel=1e-14)


@given(p=spectra, q=spectra, closeness=st.floats(0, 15), alpha=st.sampled_from(ORDERS))
def test_no_two_spectra_differ_by_more_than_the_bound(
    p: np.ndarray, q: np.ndarray, closeness: float, alpha: float
) -> None:
    p, q = p / p.sum(), q / q.sum()
    p = q + 10**-closeness * (p - q)
    distance = float(np.abs(p - q).sum()) + 1e-15
    nats = spectral_entropy(q, alpha)

    bound = entropy_error(distance, nats, alpha=alpha, n=SIZE)

    rounding = 1e-14 * (1 + nats)  # of two entropies
    assert abs(spectral_entropy(p, alpha) - nats) <= bound + rounding


@pytest.mark.parametrize("alpha", ORDERS[1:])
def test_the_bound_is_nearly_attained_when_a_pure_spectrum_spreads(alpha: float) -> None:
    n, distance = 1000, 1e-6
    p = np.append(np.full(n - 1, distance / 2 / (n - 1)), 1 - distance / 2)

    bound = entropy_error(distance, 0.0, alpha=alpha, n=n)

    assert bound / 2.1 <= spectral_entropy(p, alpha) <= bound


def test_the_bound_is_nearly_attained_when_one_of_many_equal_eigenvalues_grows() -> None:
    n, distance = 1000, 1e-5
    p = np.full(n, (1 - distance / 2 - 1 / n) / (n - 1))
    p[0] = 1 / n + distance / 2

    bound = entropy_error(distance, math.log(n), alpha=math.inf, n=n)

    assert bound / 2.1 <= math.log(n) - spectral_entropy(p, math.inf) <= bound


@given(
    tol=st.floats(1e-7, 10),
    alpha=st.sampled_from((0.9, 1.0, 1.01, 2.0, math.inf)),
    n=st.integers(1, 10**7),
)
def test_half_the_tolerance_is_kept_for_any_entropy_within_the_budget(
    tol: float, alpha: float, n: int
) -> None:
    budget = nuclear_budget(tol, alpha=alpha, n=n)

    errors = [entropy_error(budget, s * math.log(n), alpha=alpha, n=n) for s in (0, 0.5, 1)]
    assert budget == 1e-14 or max(errors) <= tol / 2


@pytest.mark.parametrize("tol", [1e-4, 1e-6, 1e-8])
def test_the_budget_of_the_default_order_does_not_depend_on_n(tol: float) -> None:
    budgets = {nuclear_budget(tol, alpha=1.01, n=10**k) for k in range(1, 10)}

    assert len(budgets) == 1
