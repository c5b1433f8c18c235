import math

import numpy as np
import pytest

from polar.regime.codes import codes
from polar.regime.subsets import subset_entropies

N = 800


def found(mean: np.ndarray, variance: np.ndarray | None = None) -> list[float | None]:
    of = codes(mean, variance)
    rng = np.random.default_rng(0)
    return list(subset_entropies(of, sigma=0.5, renyi_alpha=1.01, rng=rng))


def test_two_clusters_on_one_subset_have_the_entropy_of_a_coin() -> None:
    is_off = np.arange(N) % 4 == 0
    mean = np.where(is_off, 0.0, np.where(np.arange(N) % 4 == 1, -50.0, 50.0))[:, None]
    variance = np.where(is_off, 1.0, 0.01)[:, None]

    (nats,) = found(mean, variance)

    alpha = 1.01
    coin = math.log((1 / 3) ** alpha + (2 / 3) ** alpha) / (1 - alpha)
    assert nats == pytest.approx(coin, abs=1e-6)  # promised by the estimator


def test_variances_that_say_nothing_of_the_mean_give_no_difference() -> None:
    rng = np.random.default_rng(0)

    (nats,) = found(rng.normal(size=(N, 1)), rng.uniform(0.01, 0.1, size=(N, 1)))

    assert nats is not None
    assert nats < 0.1  # two samples of 400


@pytest.mark.parametrize("variance", [np.ones((N, 1)), 1 + 0.5 * (np.arange(N) < 20)[:, None]])
def test_variances_without_two_groups_have_no_subsets(variance: np.ndarray) -> None:
    assert found(np.zeros((N, 1)), variance) == [None]


def test_images_without_an_object_are_found_by_the_other_codes_of_a_deterministic_model() -> None:
    rng = np.random.default_rng(0)
    is_absent = rng.random((N, 1)) < 0.4
    of_object = np.where(is_absent, 0.0, rng.normal(size=(N, 3)))
    background = rng.normal(size=(N, 1))

    nats = found(np.hstack([of_object, background]))

    assert all(one is not None and one > 0.8 for one in nats[:3])
    assert nats[3] is not None
    assert nats[3] < 0.2  # two samples of some hundreds


def test_the_own_code_of_a_latent_does_not_choose_its_subsets() -> None:
    rng = np.random.default_rng(0)
    spike_and_slab = np.where(rng.random((N, 1)) < 0.5, 0.0, 3 * rng.normal(size=(N, 1)))

    (of_spike, *_) = found(np.hstack([spike_and_slab, rng.normal(size=(N, 3))]))

    assert of_spike is not None
    assert of_spike < 0.3  # two samples of some hundreds


@pytest.mark.parametrize("mean", [np.zeros((1, 2)), np.zeros((9, 2)), np.arange(40.0)[:, None]])
def test_a_model_without_other_codes_to_go_by_has_no_subsets(mean: np.ndarray) -> None:
    assert found(mean) == [None] * mean.shape[1]


def test_the_same_seed_gives_the_same_subsets() -> None:
    mean = np.random.default_rng(0).normal(size=(1500, 3))

    assert found(mean) == found(mean)
