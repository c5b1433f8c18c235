import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polar.entropy import renyi_entropy
from polar.regime.bootstrap import (
    RESAMPLES,
    entropy_gradient,
    interval,
    resampled_entropies,
    resampled_threshold,
)
from polar.regime.threshold import Cut, group_cut

unhurried = settings(deadline=None)  # other processes may have the machine
RNG = np.random.default_rng(0)
SPIKE = RNG.random(200) < 0.1
SAMPLES = {
    "normal": RNG.normal(size=200),
    "passive": 0.01 * RNG.normal(size=200),
    "spike and slab": np.where(SPIKE, 3 * RNG.normal(size=200), 0.02 * RNG.normal(size=200)),
    "two points": np.where(RNG.random(200) < 0.3, 0.0, 5.0),
}


def entropy(x: np.ndarray, alpha: float) -> float:
    return float(renyi_entropy(x, alpha=alpha, sigma=0.5).nats[0])


def weighted_entropy(x: np.ndarray, weight: np.ndarray, alpha: float) -> float:
    """The entropy by its definition: the spectrum of the Gram matrix of weighted samples."""
    gram = np.exp(-(((x[:, None] - x) / 0.5) ** 2) / 2)
    p = np.maximum(np.linalg.eigvalsh(np.sqrt(weight[:, None] * weight) * gram), 1e-300)
    if alpha == 1:
        return float(-(p @ np.log(p)))
    return float(np.log((p**alpha).sum()) / (1 - alpha))


@pytest.mark.parametrize("alpha", [0.9, 1.0, 1.01, 2.0])
@pytest.mark.parametrize("name", SAMPLES)
def test_the_gradient_is_that_of_the_definition(name: str, alpha: float) -> None:
    x = SAMPLES[name]
    even = np.full(200, 1 / 200)
    gradient = entropy_gradient(x, entropy(x, alpha), sigma=0.5, renyi_alpha=alpha)

    for i in (0, 17, 199):
        step = 1e-4 * (np.eye(200)[i] - even)
        rise = weighted_entropy(x, even + step, alpha) - weighted_entropy(x, even - step, alpha)

        # samples of one cell share its gradient
        assert rise / 2e-4 == pytest.approx(gradient[i], abs=0.03 * np.abs(gradient).max())


def test_two_points_far_apart_have_the_standard_error_of_their_frequency() -> None:
    x = np.array([0.0] * 300 + [100.0] * 700)
    resampled = resampled_entropies(
        x[:, None],
        np.array([entropy(x, 1.0)]),
        sigma=0.5,
        renyi_alpha=1.0,
        rng=np.random.default_rng(0),
    )

    # dH/dp = ln((1 - p) / p), and p has the standard error sqrt(p (1 - p) / n)
    expected = math.log(0.7 / 0.3) * math.sqrt(0.3 * 0.7 / 1000)
    assert resampled.std() == pytest.approx(expected, rel=0.15)  # of 200 resamples: 5 % each


@pytest.mark.parametrize("name", SAMPLES)
def test_the_spread_is_that_of_entropies_of_resampled_images(name: str) -> None:
    x = SAMPLES[name]
    rng = np.random.default_rng(0)
    gradient = entropy_gradient(x, entropy(x, 1.01), sigma=0.5, renyi_alpha=1.01)
    definition = [entropy(rng.choice(x, len(x)), 1.01) for _ in range(RESAMPLES)]

    # the spread of 200 resamples is known to 5 %, and has higher orders
    assert gradient.std() / len(x) ** 0.5 == pytest.approx(np.std(definition), rel=0.2)


def test_wide_latents_are_measured_window_by_window() -> None:
    x = 30 * np.random.default_rng(0).normal(size=1000)
    nats = entropy(x, 1.01)

    shuffled = np.random.default_rng(1).permutation(1000)
    gradient = entropy_gradient(x, nats, sigma=0.5, renyi_alpha=1.01)
    of_shuffled = entropy_gradient(x[shuffled], nats, sigma=0.5, renyi_alpha=1.01)
    # far tails are rarer, so that one more image there says more
    rare, common = np.abs(x) > 60, np.abs(x) < 10

    assert gradient[rare].mean() > gradient[common].mean()
    np.testing.assert_allclose(of_shuffled, gradient[shuffled], atol=1e-9)


def test_latents_have_their_images_in_common() -> None:
    x = SAMPLES["normal"]
    twice = np.stack([x, -x], axis=1)

    resampled = resampled_entropies(
        twice,
        renyi_entropy(twice).nats,
        sigma=0.5,
        renyi_alpha=1.01,
        rng=np.random.default_rng(0),
    )

    # mirrored samples have mirrored cells, but for where their edges fall
    assert np.corrcoef(resampled.T)[0, 1] > 0.99


@unhurried
@given(
    x=st.lists(st.floats(-50, 50), min_size=1, max_size=30),
    alpha=st.sampled_from([0.9, 1.0, 1.01, 2.0]),
)
def test_the_gradient_has_mean_zero_and_resamples_keep_their_bounds(
    x: list[float], alpha: float
) -> None:
    mean = np.array(x)[:, None]
    nats = renyi_entropy(mean, alpha=alpha, tol=1e-3).nats

    gradient = entropy_gradient(mean[:, 0], float(nats[0]), sigma=0.5, renyi_alpha=alpha)
    resampled = resampled_entropies(
        mean, nats, sigma=0.5, renyi_alpha=alpha, rng=np.random.default_rng(0)
    )

    assert gradient.mean() == pytest.approx(0, abs=1e-9)
    assert (resampled >= 0).all()
    assert (resampled <= math.log(len(x))).all()


@pytest.mark.parametrize("x", [[3.0], [3.0] * 50])
def test_a_constant_latent_does_not_move(x: list[float]) -> None:
    resampled = resampled_entropies(
        np.array(x)[:, None],
        np.zeros(1),
        sigma=0.5,
        renyi_alpha=1.01,
        rng=np.random.default_rng(0),
    )

    assert resampled == pytest.approx(0, abs=1e-12)  # rounding


def test_the_interval_holds_95_percent() -> None:
    found = interval(np.arange(1001.0))

    assert (found.low_nats, found.high_nats) == (25.0, 975.0)


def test_the_interval_of_tau_is_of_the_resamples_that_have_one() -> None:
    resampled = np.array([[0.0, 1.0]] * 120 + [[0.0, 2.0]] * 60 + [[0.5, 0.5]] * 20)

    found = resampled_threshold(
        "gap",
        lambda nats: group_cut("gap", nats, sigma=0.5, renyi_alpha=1.01),
        [0.0, 1.0],
        resampled,
        sigma=0.5,
        renyi_alpha=1.01,
    )

    assert (found.tau_nats, found.found) == (0.5, 0.9)
    assert found.interval is not None
    assert (found.interval.low_nats, found.interval.high_nats) == (0.5, 1.0)
    assert found.equivalent_std is not None
    assert entropy(
        found.equivalent_std * np.random.default_rng(0).normal(size=100_000), 1.01
    ) == pytest.approx(0.5, rel=0.01)  # a sample of a Gaussian


@pytest.mark.parametrize(("of_images", "of_resamples"), [(None, 0.5), (0.5, None)])
def test_a_tau_that_is_mostly_not_there_has_no_interval(
    of_images: float | None, of_resamples: float | None
) -> None:
    def rule(nats: object) -> Cut:
        return Cut(of_images if nats == [0.0] else of_resamples, "")

    found = resampled_threshold("gap", rule, [0.0], np.ones((4, 1)), sigma=0.5, renyi_alpha=1.01)

    assert found.interval is None
    assert found.tau_nats == of_images
    assert found.found == (0.0 if of_resamples is None else 1.0)


def test_memory_does_not_grow_with_the_resamples() -> None:
    mean = np.random.default_rng(0).normal(size=(20_000, 1))
    nats = renyi_entropy(mean, alpha=2.0, sigma=0.5).nats

    tracemalloc.start()
    resampled_entropies(mean, nats, sigma=0.5, renyi_alpha=2.0, rng=np.random.default_rng(0))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    # 200 resamples of 8 bytes an image would be 1,600 bytes for each; 30 numbers are enough
    assert peak < 240 * len(mean)
