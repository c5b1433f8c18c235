import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polar.entropy.gaussian import equivalent_std, gaussian_entropy
from polar.errors import InvalidInput

#: S_1 in nats for r = std / sigma, to the digits printed in the table it was taken from.
VON_NEUMANN = {
    0.01: 0.00102, 0.02: 0.00353, 0.05: 0.01744, 0.1: 0.05565, 0.2: 0.16468, 0.5: 0.55330,
    1.0: 1.07602, 2.0: 1.71348, 3.0: 2.10777, 5.0: 2.61276, 10.0: 3.30342, 20.0: 3.99594,
    100.0: 5.60518,
}  # fmt: skip
ORDERS = (0.3, 0.9, 1.0, 1.01, 2.0, 7.0, math.inf)


@pytest.mark.parametrize(("r", "nats"), VON_NEUMANN.items())
def test_order_one_has_the_values_of_the_table(r: float, nats: float) -> None:
    entropy = gaussian_entropy(r * 0.5, sigma=0.5, alpha=1.0)

    assert entropy == pytest.approx(nats, abs=5.1e-6)  # half of the last digit


@pytest.mark.parametrize("r", [1e-6, 0.01, 0.3, 1.0, 30.0, 1e6])
def test_order_two_is_half_the_logarithm_of_one_plus_four_r_squared(r: float) -> None:
    entropy = gaussian_entropy(r, sigma=1.0, alpha=2.0)

    assert entropy == pytest.approx(0.5 * math.log1p(4 * r * r), rel=1e-14)


@pytest.mark.parametrize("alpha", ORDERS)
@pytest.mark.parametrize("r", [0.1, 1.0, 10.0])
def test_every_order_agrees_with_the_sum_over_mehlers_eigenvalues(alpha: float, r: float) -> None:
    q = math.sqrt(1 + 4 * r * r)
    ratio = (q - 1) / (q + 1)
    p = (1 - ratio) * ratio ** np.arange(3000)  # what is left out is below 0.9^900

    entropy = gaussian_entropy(r, sigma=1.0, alpha=alpha)

    if alpha == 1:
        expected = -np.sum(p[p > 0] * np.log(p[p > 0]))
    elif alpha == math.inf:
        expected = -math.log(p.max())
    else:
        expected = math.log(np.sum(p**alpha)) / (1 - alpha)
    assert entropy == pytest.approx(expected, rel=1e-11)  # rounding of the sum, over 1 - alpha


def test_a_narrow_gaussian_has_the_small_r_series() -> None:
    r = 1e-4

    order_one = gaussian_entropy(r, sigma=1.0, alpha=1.0)

    assert order_one == pytest.approx(r * r * (1 - math.log(r * r)), rel=1e-6)  # next: r^4


def test_a_wide_gaussian_has_its_differential_entropy_up_to_a_constant() -> None:
    r = 1e5

    order_one = gaussian_entropy(r, sigma=1.0, alpha=1.0)

    assert order_one == pytest.approx(math.log(r) + 1, abs=1e-9)  # next: 1 / (24 r^2)


@pytest.mark.parametrize("offset", [-1e-7, 1e-7, -1e-12, 1e-12])
def test_orders_near_one_are_close_to_order_one(offset: float) -> None:
    near = gaussian_entropy(1.0, sigma=1.0, alpha=1 + offset)

    assert near == pytest.approx(
        gaussian_entropy(1.0, sigma=1.0, alpha=1.0), abs=abs(offset) + 1e-14
    )


def test_no_spread_has_no_entropy() -> None:
    assert gaussian_entropy(0.0) == 0.0
    assert equivalent_std(0.0) == 0.0


@pytest.mark.parametrize(
    ("nats", "r"), [(0.05, 0.0937), (0.1, 0.1443), (0.25, 0.2671), (0.5, 0.4578), (1.0, 0.9144)]
)
def test_thresholds_have_the_equivalent_stds_of_the_table(nats: float, r: float) -> None:
    found = equivalent_std(nats, sigma=1.0, alpha=1.0)

    assert found == pytest.approx(r, abs=5.1e-5)  # half of the last digit


@pytest.mark.parametrize(("sigma", "nats"), [(0.502, 0.164), (1.0, 0.0557)])
def test_the_variance_of_an_active_unit_is_a_threshold_as_published(
    sigma: float, nats: float
) -> None:
    active_unit_std = 0.1

    tau = gaussian_entropy(active_unit_std, sigma=sigma, alpha=1.0)

    assert tau == pytest.approx(nats, rel=2e-3)  # three digits are given


def test_the_default_threshold_is_a_std_of_0_134_as_published() -> None:
    assert equivalent_std(0.25, sigma=0.502, alpha=1.0) == pytest.approx(0.2671 * 0.502, abs=1e-4)


@given(r=st.floats(1e-6, 1e6), sigma=st.floats(1e-3, 1e3), alpha=st.sampled_from(ORDERS))
def test_the_equivalent_std_inverts_the_entropy(r: float, sigma: float, alpha: float) -> None:
    nats = gaussian_entropy(r * sigma, sigma=sigma, alpha=alpha)

    std = equivalent_std(nats, sigma=sigma, alpha=alpha)

    # Where S is about ln r, its rounding eps S is one of S eps in r.
    assert std == pytest.approx(r * sigma, rel=1e-12)


@given(r=st.floats(1e-6, 1e6), factor=st.floats(1.001, 100), alpha=st.sampled_from(ORDERS))
def test_entropy_rises_with_std(r: float, factor: float, alpha: float) -> None:
    assert gaussian_entropy(factor * r, alpha=alpha) > gaussian_entropy(r, alpha=alpha)


@given(r=st.floats(1e-6, 1e6))
def test_entropy_falls_with_the_order(r: float) -> None:
    entropies = [gaussian_entropy(r, alpha=alpha) for alpha in ORDERS]

    assert entropies == sorted(entropies, reverse=True)


@pytest.mark.parametrize("std", [-1.0, math.nan, math.inf])
def test_an_impossible_std_is_refused_with_its_value(std: float) -> None:
    with pytest.raises(InvalidInput, match=str(std)):
        gaussian_entropy(std)


@pytest.mark.parametrize("nats", [-1e-9, math.nan, math.inf, 301.0])
def test_an_impossible_entropy_is_refused_with_its_value(nats: float) -> None:
    with pytest.raises(InvalidInput, match=str(nats)):
        equivalent_std(nats)


@pytest.mark.parametrize("function", [gaussian_entropy, equivalent_std])
@pytest.mark.parametrize(
    ("argument", "value"),
    [("sigma", 0.0), ("sigma", -1.0), ("sigma", math.inf), ("alpha", 0.0), ("alpha", math.nan)],
)
def test_an_impossible_kernel_is_refused_with_its_value(
    function: type, argument: str, value: float
) -> None:
    with pytest.raises(InvalidInput, match=f"{argument} is {value}; allowed: positive"):
        function(1.0, **{argument: value})
