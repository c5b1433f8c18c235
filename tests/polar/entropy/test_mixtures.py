import math

import numpy as np
import pytest

from polar.entropy import gaussian_entropy, renyi_entropy
from polar.entropy.mixtures import gaussian_mixture, spike_and_slab
from polar.errors import InvalidInput

#: Weight of the slab, h and S_2 at sigma 0.2 for variance 1 and a spike of 0.05, nats.
SPIKE_AND_SLAB = [
    (0.01, -1.4692, 0.1314), (0.05, -1.1642, 0.2104), (0.1, -0.8615, 0.3108),
    (0.25, -0.1612, 0.6298), (0.5, 0.6562, 1.2344), (0.75, 1.1866, 1.8971),
    (0.9, 1.3721, 2.2131), (0.99, 1.4183, 2.3037), (1.0, 1.4189, 2.3076),
]  # fmt: skip


@pytest.mark.parametrize(("pi", "h", "s_2"), SPIKE_AND_SLAB)
def test_spike_and_slab_has_the_entropies_of_the_table(pi: float, h: float, s_2: float) -> None:
    mixture = spike_and_slab(pi)

    assert mixture.differential_entropy() == pytest.approx(h, abs=5.1e-5)  # half of the last digit
    assert mixture.order_two_entropy(0.2) == pytest.approx(s_2, abs=5.1e-5)


@pytest.mark.parametrize(("pi", "slab"), [(0.01, 99.75), (0.1, 9.977), (0.5, 1.9975)])
def test_the_slab_makes_up_for_the_spike(pi: float, slab: float) -> None:
    mixture = spike_and_slab(pi)

    assert mixture.variances[0] == pytest.approx(slab, rel=1e-4)  # digits of the table
    assert mixture.variance == pytest.approx(1, abs=1e-12)


def test_at_one_variance_entropy_rises_with_the_slab_in_samples_too() -> None:
    samples = [spike_and_slab(pi).sample(20_000, seed=0) for pi, _, _ in SPIKE_AND_SLAB]

    entropies = renyi_entropy(np.stack(samples, axis=1), sigma=0.2, alpha=2.0).nats

    assert [float(x.var()) for x in samples] == pytest.approx([1] * 9, abs=0.05)
    assert (np.diff(entropies) > 0).all()
    # 20,000 samples of which the fewest are in the slab: 200.
    assert entropies == pytest.approx([s_2 for _, _, s_2 in SPIKE_AND_SLAB], abs=0.02)


@pytest.mark.parametrize("std", [1e-3, 1.0, 1e3])
def test_one_component_is_a_gaussian(std: float) -> None:
    mixture = gaussian_mixture([1.0], [5.0], [std**2])

    assert mixture.differential_entropy() == pytest.approx(
        math.log(2 * math.pi * math.e * std**2) / 2, abs=1e-7
    )
    assert mixture.order_two_entropy(0.5) == pytest.approx(
        gaussian_entropy(std, sigma=0.5, alpha=2.0), rel=1e-12
    )


def test_components_far_apart_add_the_entropy_of_their_weights() -> None:
    alone = gaussian_mixture([1.0], [0.0], [1.0])
    apart = gaussian_mixture([0.3, 0.7], [0.0, 1e4], [1.0, 1.0])

    weights = 0.6108643021
    assert apart.differential_entropy() == pytest.approx(
        alone.differential_entropy() + weights, abs=1e-7
    )
    assert apart.order_two_entropy(0.5) == pytest.approx(
        alone.order_two_entropy(0.5) - math.log(0.3**2 + 0.7**2), abs=1e-12
    )


def test_samples_of_a_mixture_have_its_order_two_entropy() -> None:
    mixture = gaussian_mixture([0.2, 0.5, 0.3], [-3.0, 0.0, 1.0], [0.1, 1.0, 4.0])

    x = mixture.sample(50_000, seed=1)

    nats = renyi_entropy(x, sigma=0.5, alpha=2.0).nats[0]
    assert nats == pytest.approx(mixture.order_two_entropy(0.5), abs=0.01)
    assert x.var() == pytest.approx(mixture.variance, rel=1e-9)


@pytest.mark.parametrize("n", [1, 2, 3, 10, 101])
def test_as_many_samples_as_asked_for_come_and_always_the_same(n: int) -> None:
    mixture = spike_and_slab(0.3)

    x = mixture.sample(n, seed=3)

    assert x.shape == (n,)
    assert x.tolist() == mixture.sample(n, seed=3).tolist()


@pytest.mark.parametrize(
    ("weights", "means", "variances", "message"),
    [
        ([], [], [], "0 weights"), ([1.0], [0.0, 1.0], [1.0], "2 means"),
        ([0.5, 0.6], [0.0, 0.0], [1.0, 1.0], "sum of weights is 1.1; allowed: 1"),
        ([-0.5, 1.5], [0.0, 0.0], [1.0, 1.0], "weight is -0.5; allowed: positive and finite"),
        ([1.0], [math.nan], [1.0], "a mean is nan; allowed: finite numbers"),
        ([1.0], [0.0], [0.0], "variance is 0.0; allowed: positive and finite"),
    ],
)  # fmt: skip
def test_an_impossible_mixture_is_refused(
    weights: list[float], means: list[float], variances: list[float], message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        gaussian_mixture(weights, means, variances)


@pytest.mark.parametrize("pi", [0.0, -0.1, 1.01, math.nan])
def test_an_impossible_slab_is_refused_with_its_weight(pi: float) -> None:
    with pytest.raises(InvalidInput, match=f"pi is {pi}; allowed: above 0 and at most 1"):
        spike_and_slab(pi)


def test_a_spike_wider_than_the_whole_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"spike_std is 2\.0; allowed: below .* std 1\.0"):
        spike_and_slab(0.5, spike_std=2.0)


def test_no_samples_are_refused() -> None:
    with pytest.raises(InvalidInput, match="n is 0; allowed: at least 1"):
        spike_and_slab(0.5).sample(0, seed=0)
