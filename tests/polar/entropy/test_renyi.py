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
from scipy.stats import norm

from polar.entropy import gaussian_entropy, renyi_entropy

Floats = NDArray[np.floating[Any]]

EPSILON = float(np.finfo(float).eps)
ORDERS = (0.9, 1.0, 1.01, 1.5, 2.0, 5.0, math.inf)


def entropy(x: Floats, **options: float) -> float:
    return float(renyi_entropy(x, **options).nats[0])


def gram_spectrum(x: Floats, sigma: float) -> Floats:
    """The definition: eigenvalues of A = K / n."""
    return np.linalg.eigvalsh(np.exp(-((x[:, None] - x) ** 2) / (2 * sigma**2)) / len(x))


def entropy_by_definition(spectrum: Floats, alpha: float) -> float:
    p = spectrum[spectrum > 0] / spectrum[spectrum > 0].sum()
    if alpha == 1:
        return float(-np.sum(p * np.log(p)))
    if alpha == math.inf:
        return float(-np.log(p.max()))
    return float(np.log(np.sum(p**alpha)) / (1 - alpha))


@pytest.mark.parametrize("alpha", ORDERS)
def test_samples_far_apart_have_the_logarithm_of_their_number(alpha: float) -> None:
    x = 100.0 * np.arange(200)

    assert entropy(x, alpha=alpha) == pytest.approx(5.2983173665, abs=1e-9)


@pytest.mark.parametrize("alpha", ORDERS)
@pytest.mark.parametrize("x", [np.full(500, 0.3), np.array([7.0]), np.full(3, -1e300)])
def test_samples_all_alike_have_exactly_no_entropy(x: Floats, alpha: float) -> None:
    result = renyi_entropy(x, alpha=alpha)

    assert (result.nats[0], result.error_bound_nats[0], result.nodes[0]) == (0, 0, 0)


@pytest.mark.parametrize(
    ("sizes", "alpha", "nats"),
    [
        ((300, 700), 1.0, 0.6108643021),
        ((300, 700), 2.0, 0.5447271754),
        ((100,) * 10, 1.0, 2.3025850930),
        ((100,) * 10, 2.0, 2.3025850930),
        ((100,) * 10, 1.01, 2.3025850930),
        ((100,) * 10, math.inf, 2.3025850930),
    ],
)
def test_separate_clusters_have_the_entropy_of_their_weights(
    sizes: tuple[int, ...], alpha: float, nats: float
) -> None:
    x = np.repeat(100.0 * np.arange(len(sizes)), sizes)

    assert entropy(x, alpha=alpha, tol=1e-9) == pytest.approx(nats, abs=1e-9)


@pytest.mark.parametrize("alpha", ORDERS)
@pytest.mark.parametrize("distance", [1e-3, 0.5, 2.0, 5.0, 20.0])
def test_two_samples_have_the_entropy_of_their_two_eigenvalues(
    distance: float, alpha: float
) -> None:
    x = np.array([1.0, 1.0 + distance])
    kernel = math.exp(-(distance**2) / (2 * 0.5**2))

    expected = entropy_by_definition(np.array([(1 - kernel) / 2, (1 + kernel) / 2]), alpha)
    assert entropy(x, alpha=alpha) == pytest.approx(expected, abs=1e-6)  # tol


@pytest.mark.parametrize("alpha", [1.0, 1.01, 2.0])
@pytest.mark.parametrize("r", [0.1, 0.2, 0.5, 1.0, 2.0, 3.0])
def test_normal_quantiles_have_mehlers_entropy(r: float, alpha: float) -> None:
    quantiles = norm.ppf((np.arange(2000) + 0.5) / 2000)
    x = r * quantiles / quantiles.std()

    nats = entropy(x, sigma=1.0, alpha=alpha)

    # Quantiles of n = 2000 leave 1e-4, and 4e-4 at alpha = 2, for want of the tails.
    assert nats == pytest.approx(gaussian_entropy(r, sigma=1.0, alpha=alpha), rel=1e-3)


@pytest.mark.parametrize(
    ("r", "one", "two"), [(0.1, 0.0557, 0.0196), (1.0, 1.0760, 0.8047), (10.0, 3.3034, 2.9970)]
)
def test_random_normal_samples_have_mehlers_entropy(r: float, one: float, two: float) -> None:
    draws = np.random.default_rng(0).standard_normal((2000, 5))
    x = r * (draws - draws.mean(0)) / draws.std(0)

    means = [renyi_entropy(x, sigma=1.0, alpha=alpha).nats.mean() for alpha in (1.0, 2.0)]

    assert means == pytest.approx([one, two], rel=0.03)  # five times 2000 samples


@pytest.mark.parametrize("r", [0.3, 1.0, 10.0, 100.0])
def test_random_samples_have_the_expected_purity_of_finite_n(r: float) -> None:
    n, columns = 100, 400
    x = r * np.random.default_rng(0).standard_normal((n, columns))

    purity = np.exp(-renyi_entropy(x, sigma=1.0, alpha=2.0).nats)

    expected = 1 / n + (1 - 1 / n) / math.sqrt(1 + 4 * r * r)
    assert abs(purity.mean() - expected) < 2 * purity.std(ddof=1) / math.sqrt(columns)


N = 1000


def distributions() -> dict[str, Floats]:
    rng = np.random.default_rng(2605)
    gauss = rng.standard_normal(N)
    slab = rng.random(N) < 0.2
    return {
        "gauss": gauss,
        "collapsed": 0.7 + 1e-3 * rng.standard_normal(N),
        "collapsed, rounded": (0.7 + 1e-3 * rng.standard_normal(N)).astype(np.float32) * 1.0,
        "bimodal": rng.choice([-3.0, 3.0], N) + 0.3 * rng.standard_normal(N),
        "spike and slab": np.where(slab, 2.0, 0.05) * rng.standard_normal(N),
        "student t2": rng.standard_t(2, N),
        "cauchy": rng.standard_cauchy(N),
        "outlier": np.append(gauss[1:], 1e4),
        "constant": np.full(N, 0.3),
        "21 values": rng.integers(0, 21, N) / 10,
        "uniform": rng.uniform(-2, 2, N),
    }


def widths() -> dict[str, float]:
    """Widths that suit the Gaussian sample, used for all: the outlier is 3e5 of them away."""
    gauss = distributions()["gauss"]
    tenth_neighbour = np.sort(np.abs(gauss[:, None] - gauss), axis=1)[:, 10]
    return {
        "Silverman": 1.06 * float(gauss.std()) * N**-0.2,
        "5 n^(-1/5)": 5 * N**-0.2,
        "0.05 sd": 0.05 * float(gauss.std()),
        "1": 1.0,
        "10th neighbour": float(tenth_neighbour.mean()),
    }


def oracle_rounding(spectrum: Floats, alpha: float) -> float:
    """What rounding does to the oracle: n eigenvalues, each within eps |A|, move S by Mirsky."""
    distance = len(spectrum) * EPSILON
    if alpha == 1:
        return distance * (1 - math.log(distance / len(spectrum)))
    slope = 1.0 if alpha == math.inf else alpha / (alpha - 1)
    return slope * distance * math.exp(entropy_by_definition(spectrum, alpha) / slope)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("width", widths().keys())
@pytest.mark.parametrize("distribution", distributions().keys())
def test_the_error_against_the_definition_is_within_the_bound_and_the_bound_within_tol(
    distribution: str, width: str, dtype: type[np.floating]
) -> None:
    x, sigma = distributions()[distribution].astype(dtype), widths()[width]
    spectrum = gram_spectrum(x.astype(np.float64), sigma)

    for alpha in (1.0, 1.01, 1.5, 2.0, 5.0, math.inf):
        result = renyi_entropy(x, alpha=alpha, sigma=sigma)

        error = abs(result.nats[0] - entropy_by_definition(spectrum, alpha))
        bound = result.error_bound_nats[0]
        assert error <= bound + oracle_rounding(spectrum, alpha)
        assert bound <= 1e-6


@pytest.mark.parametrize("distribution", ["gauss", "spike and slab", "student t2", "outlier"])
@pytest.mark.parametrize(("alpha", "tol"), [(0.9, 1e-6), (0.7, 1e-5), (0.5, 1e-3)])
def test_orders_below_one_keep_a_tolerance_that_double_precision_allows(
    distribution: str, alpha: float, tol: float
) -> None:
    x = distributions()[distribution]
    spectrum = gram_spectrum(x, 0.5)

    result = renyi_entropy(x, alpha=alpha, tol=tol)

    error = abs(result.nats[0] - entropy_by_definition(spectrum, alpha))
    # The oracle's zero eigenvalues, each within eps, add (n eps)^alpha n^(1 - alpha) to the sum.
    oracle = (N * EPSILON) ** alpha * N ** (1 - alpha) / (1 - alpha)
    assert error <= result.error_bound_nats[0] + oracle
    assert result.error_bound_nats[0] <= tol


@pytest.mark.parametrize("tol", [1e-2, 1e-4, 1e-8, 1e-9])
def test_the_bound_keeps_other_tolerances(tol: float) -> None:
    x = distributions()["gauss"]
    exact = entropy_by_definition(gram_spectrum(x, 0.5), 1.01)

    result = renyi_entropy(x, tol=tol)

    assert abs(result.nats[0] - exact) <= result.error_bound_nats[0] <= tol


@pytest.mark.parametrize("sigma", [0.05, 0.5, 5.0])
def test_order_two_is_the_logarithm_of_the_frobenius_norm(sigma: float) -> None:
    x = distributions()["student t2"]
    purity = np.exp(-((x[:, None] - x) ** 2) / sigma**2).mean()

    result = renyi_entropy(x, sigma=sigma, alpha=2.0)

    assert result.nats[0] == pytest.approx(-math.log(purity), abs=result.error_bound_nats[0])
    assert result.nodes[0] == 0


@pytest.mark.parametrize("offset", [-1e-7, 1e-7, -1e-12, 1e-12])
def test_orders_near_one_are_close_to_order_one(offset: float) -> None:
    x = distributions()["gauss"]

    near, one = renyi_entropy(x, alpha=1 + offset), renyi_entropy(x, alpha=1.0)

    # dS / d alpha is -var(ln p) / 2 at alpha = 1, and var(ln p) is below 10 here.
    bounds = near.error_bound_nats[0] + one.error_bound_nats[0]
    assert near.nats[0] == pytest.approx(one.nats[0], abs=bounds + 5 * abs(offset))


def test_a_million_samples_have_the_entropy_and_the_nodes_of_ten_thousand() -> None:
    few, many = (norm.ppf((np.arange(n) + 0.5) / n).clip(-3, 3) for n in (10**4, 10**6))

    small, large = renyi_entropy(few), renyi_entropy(many)

    assert small.nodes == large.nodes
    # The quantiles' empirical distributions differ by 1 / n.
    assert large.nats[0] == pytest.approx(small.nats[0], abs=1e-4)
    assert large.error_bound_nats[0] <= 1e-6


def test_an_outlier_at_the_end_of_the_floats_is_a_sample_of_its_own() -> None:
    x = distributions()["gauss"]
    spectrum = np.append(gram_spectrum(x, 0.5) * N / (N + 2), [1 / (N + 2)] * 2)

    nats = entropy(np.concatenate([x, [-1.7e308, 1.7e308]]))

    assert nats == pytest.approx(entropy_by_definition(spectrum, 1.01), abs=1e-6)


def test_a_width_near_the_smallest_float_separates_all_that_differs() -> None:
    x = np.array([0.0, 0.0, 1.0, 2.0])

    assert entropy(x, sigma=1e-307, alpha=1.0) == pytest.approx(1.5 * math.log(2), abs=1e-6)


def test_a_width_near_the_largest_float_sees_no_difference() -> None:
    assert entropy(distributions()["gauss"], sigma=1e300) == pytest.approx(0, abs=1e-6)


samples = arrays(
    np.float64,
    st.integers(1, 40),
    elements=st.floats(-5, 5) | st.floats(-1e3, 1e3) | st.sampled_from([0.0, 1.0]),
)
orders = st.sampled_from(ORDERS)
unhurried = settings(deadline=None, max_examples=60)  # the first example pays for imports


@unhurried
@given(x=samples, alpha=orders)
def test_entropy_lies_between_zero_and_the_logarithm_of_n(x: Floats, alpha: float) -> None:
    assert 0 <= entropy(x, alpha=alpha) <= math.log(len(x))


@unhurried
@given(x=samples, alpha=orders, shift=st.floats(-1e3, 1e3), seed=st.integers(0, 99))
def test_order_and_origin_of_the_samples_do_not_matter(
    x: Floats, alpha: float, shift: float, seed: int
) -> None:
    moved = np.random.default_rng(seed).permutation(x) + shift

    assert entropy(moved, alpha=alpha) == pytest.approx(entropy(x, alpha=alpha), abs=2e-6)


def test_a_shift_by_a_thousand_changes_nothing() -> None:
    for x in distributions().values():
        assert entropy(x + 1e3) == pytest.approx(entropy(x), abs=1e-6)


def test_a_large_mean_does_not_drown_a_small_spread_in_float32() -> None:
    spread = 1e-3 * distributions()["gauss"]

    nats = renyi_entropy((10 + spread).astype(np.float32), sigma=1e-3).nats[0]

    assert nats == pytest.approx(entropy(spread, sigma=1e-3), abs=1e-3)  # float32 at 10: 1e-6


@unhurried
@given(x=samples)
def test_entropy_does_not_rise_with_the_order(x: Floats) -> None:
    entropies = np.array([entropy(x, alpha=alpha) for alpha in ORDERS])

    assert (np.diff(entropies) <= 2e-6).all()  # both within tol


@unhurried
@given(x=samples, alpha=orders, factor=st.floats(1, 100))
def test_entropy_does_not_fall_when_samples_spread(x: Floats, alpha: float, factor: float) -> None:
    assert entropy(factor * x, alpha=alpha) >= entropy(x, alpha=alpha) - 2e-6  # both within tol


def test_entropy_rises_with_scale_for_one_sigma_but_not_for_one_that_follows_the_data() -> None:
    x = distributions()["gauss"]
    scales = (1e-3, 0.1, 1.0, 10.0, 1e3)

    fixed = [entropy(scale * x) for scale in scales]
    following = [entropy(scale * x, sigma=float((scale * x).std())) for scale in scales]

    assert (np.diff(fixed) > 2e-6).all()  # more than both within tol
    assert following == pytest.approx([following[0]] * 5, abs=2e-6)


@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor])
def test_columns_together_are_the_columns_alone(kind: Callable[[Floats], Floats]) -> None:
    x = np.stack(list(distributions().values()), axis=1)

    together = renyi_entropy(kind(x))

    alone = [renyi_entropy(kind(np.ascontiguousarray(column))) for column in x.T]
    assert together.nats.tolist() == [one.nats[0] for one in alone]
    assert together.error_bound_nats.tolist() == [one.error_bound_nats[0] for one in alone]
    assert together.nodes.tolist() == [one.nodes[0] for one in alone]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@pytest.mark.parametrize("alpha", ORDERS)
def test_cuda_gives_the_entropies_of_the_cpu(alpha: float) -> None:
    x = torch.from_numpy(np.stack(list(distributions().values()), axis=1))

    on_cuda = renyi_entropy(x.cuda(), alpha=alpha)

    assert on_cuda.nats.is_cuda
    on_cpu = renyi_entropy(x, alpha=alpha)
    assert on_cuda.nodes.tolist() == on_cpu.nodes.tolist()
    assert on_cuda.nats.tolist() == pytest.approx(on_cpu.nats.tolist(), abs=1e-10)  # rounding


@pytest.mark.parametrize("alpha", [1.0, 1.01, 1.2, 1.8])
@pytest.mark.parametrize("spread", [100.0, 300.0])
def test_a_latent_that_spreads_without_end_is_measured_to_its_bound(
    spread: float, alpha: float
) -> None:
    rng = np.random.default_rng(0)
    x = np.append(rng.normal(0, spread, 1300), rng.normal(0, 0.01, 200))

    found = renyi_entropy(x, alpha=alpha)

    assert found.nodes[0] > 500  # for which eigenvalues take too long
    exact = entropy_by_definition(gram_spectrum(x, 0.5), alpha)
    assert found.error_bound_nats[0] <= 1e-6
    assert found.nats[0] == pytest.approx(exact, abs=found.error_bound_nats[0] + 1e-10)
