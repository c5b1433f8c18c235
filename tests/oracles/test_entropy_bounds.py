import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polar.entropy import gaussian_entropy, renyi_entropy
from polar.entropy.mixtures import GaussianMixture, gaussian_mixture
from polar.errors import InvalidInput
from tests.oracles.entropy_bounds import (
    binary_entropy,
    differential_from_order_two,
    entropy_power,
    kl_lower_bound,
    variance_lower_bound,
)


@pytest.mark.parametrize(
    ("h", "power", "variance"),
    [
        (math.log(2 * math.pi * math.e) / 2, 1.0, 1.0),  # N(0, 1)
        (0.0, 0.0585498, 1 / 12),  # U(0, 1)
        (1 + math.log(2), 1.730512, 2.0),  # Laplace, b = 1
        (1.0, 0.4326279, 1.0),  # Exp(1)
    ],
)
def test_the_entropy_power_is_as_tabulated_and_at_most_the_variance(
    h: float, power: float, variance: float
) -> None:
    assert entropy_power(h) == pytest.approx(power, rel=1e-6)  # digits of the table
    assert entropy_power(h) <= variance * (1 + 1e-12)
    assert kl_lower_bound(h) == entropy_power(h) / 2


def test_no_entropy_at_all_bounds_nothing() -> None:
    assert entropy_power(-math.inf) == 0
    assert kl_lower_bound(-math.inf) == 0


@pytest.mark.parametrize(
    ("p", "nats"),
    [
        (0.0, 0.0),
        (0.1, 0.3250830),
        (0.3, 0.6108643),
        (0.5, 0.6931472),
        (0.9, 0.3250830),
        (1.0, 0.0),
    ],
)
def test_the_binary_entropy_is_as_tabulated(p: float, nats: float) -> None:
    assert binary_entropy(p) == pytest.approx(nats, abs=5e-8)  # half of the last digit


@pytest.mark.parametrize("p", [0.1, 0.3, 0.5])
def test_a_narrow_kernel_finds_the_binary_entropy_of_variances_at_0_and_1(p: float) -> None:
    variances = np.repeat([0.0, 1.0], [round(1000 * p), round(1000 * (1 - p))])

    narrow, wide = (renyi_entropy(variances, alpha=1.0, sigma=s).nats[0] for s in (0.1, 0.5))

    assert narrow == pytest.approx(binary_entropy(p), abs=1e-6)
    assert wide < binary_entropy(p) - 1e-3  # 0.5 cannot keep the two apart


unhurried = settings(deadline=None, max_examples=40)  # each is a quadrature

Components = list[tuple[float, float, float]]
components = st.lists(
    st.tuples(st.floats(0.05, 1), st.floats(-10, 10), st.floats(1e-3, 10)), min_size=1, max_size=4
)


def mixture_of(parts: Components) -> GaussianMixture:
    shares, means, variances = (list(column) for column in zip(*parts, strict=True))
    return gaussian_mixture([share / math.fsum(shares) for share in shares], means, variances)


@unhurried
@given(parts=components)
def test_the_entropy_power_of_a_mixture_is_at_most_its_variance(parts: Components) -> None:
    mixture = mixture_of(parts)

    power = entropy_power(mixture.differential_entropy())

    assert power <= mixture.variance * (1 + 1e-6)  # of the quadrature


@unhurried
@given(parts=components, sigma=st.floats(0.01, 10))
def test_order_two_bounds_the_variance_of_a_mixture_at_any_width(
    parts: Components, sigma: float
) -> None:
    mixture = mixture_of(parts)

    bound = variance_lower_bound(mixture.order_two_entropy(sigma), sigma=sigma)

    assert bound <= mixture.variance * (1 + 1e-9)


@unhurried
@given(parts=components)
def test_a_narrow_kernel_has_an_order_two_entropy_below_shannons(parts: Components) -> None:
    mixture = mixture_of(parts)
    sigma = 0.03 * math.sqrt(float(mixture.variances.min()))
    nats = mixture.order_two_entropy(sigma)

    h_2 = differential_from_order_two(nats, sigma=sigma)

    assert h_2 <= mixture.differential_entropy() + 1e-3  # what the kernel's width adds


@pytest.mark.parametrize("r", [3.0, 10.0, 100.0])
def test_the_order_two_entropy_of_a_gaussian_is_found(r: float) -> None:
    sigma = 0.5
    nats = gaussian_entropy(r * sigma, sigma=sigma, alpha=2.0)

    h_2 = differential_from_order_two(nats, sigma=sigma)

    exact = math.log(4 * math.pi * (r * sigma) ** 2) / 2
    assert h_2 == pytest.approx(exact + math.log1p(1 / (4 * r * r)) / 2, abs=1e-12)
    assert 0 <= h_2 - exact < 0.0140


def test_samples_paired_with_themselves_are_taken_out() -> None:
    n, r, sigma = 2000, 100.0, 0.5
    x = r * sigma * np.random.default_rng(0).standard_normal(n)
    nats = float(renyi_entropy(x, sigma=sigma, alpha=2.0).nats[0])

    h_2 = differential_from_order_two(nats, sigma=sigma, n=n)

    exact = math.log(4 * math.pi * (r * sigma) ** 2) / 2
    assert h_2 == pytest.approx(exact, abs=0.05)  # n = 2000 samples
    assert differential_from_order_two(nats, sigma=sigma) < exact - 0.05
    assert variance_lower_bound(nats, sigma=sigma, n=n) <= float(x.var())


def test_the_bound_from_order_two_is_three_quarters_of_a_wide_gaussians_variance() -> None:
    nats = gaussian_entropy(50.0, sigma=0.5, alpha=2.0)

    bound = variance_lower_bound(nats, sigma=0.5)

    assert bound == pytest.approx(2 / math.e * 2500, rel=1e-3)
    assert variance_lower_bound(0.15, sigma=0.5) == 0
    assert variance_lower_bound(0.16, sigma=0.5) > 0


@pytest.mark.parametrize(("nats", "n"), [(1.80, None), (0.0, None), (6.3, 1000), (math.nan, None)])
def test_where_no_differential_entropy_follows_none_is_given(nats: float, n: int | None) -> None:
    with pytest.raises(InvalidInput, match=rf"S_2 is {nats} nats; allowed: from 1.805 to"):
        differential_from_order_two(nats, sigma=0.5, n=n)


@pytest.mark.parametrize("h", [301.0, math.inf, math.nan])
def test_an_impossible_entropy_is_refused_with_its_value(h: float) -> None:
    for bound in (entropy_power, kl_lower_bound):
        with pytest.raises(InvalidInput, match=f"h is {h} nats; allowed: at most 300"):
            bound(h)


@pytest.mark.parametrize("p", [-0.1, 1.1, math.nan])
def test_an_impossible_share_is_refused_with_its_value(p: float) -> None:
    with pytest.raises(InvalidInput, match=f"p is {p}; allowed: from 0 to 1"):
        binary_entropy(p)


@pytest.mark.parametrize("nats", [-0.1, 301.0, math.nan])
def test_an_impossible_order_two_entropy_is_refused_with_its_value(nats: float) -> None:
    with pytest.raises(InvalidInput, match=f"S_2 is {nats} nats; allowed: from 0 to 300"):
        variance_lower_bound(nats, sigma=0.5)


@pytest.mark.parametrize("sigma", [0.0, -1.0, math.inf, math.nan])
def test_an_impossible_width_is_refused_with_its_value(sigma: float) -> None:
    for function in (differential_from_order_two, variance_lower_bound):
        with pytest.raises(InvalidInput, match=f"sigma is {sigma}; allowed: positive and finite"):
            function(2.0, sigma=sigma)
