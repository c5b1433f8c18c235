import math

import numpy as np
import pytest

from polar.entropy import renyi_entropy
from polar.errors import InvalidInput
from polar.records.latents import Label
from polar.records.measurement import MixedScore
from polar.regime.codes import Codes, codes
from polar.regime.mixed import (
    VarianceSignal,
    mixed_scores,
    two_signal_labels,
    variance_signals,
)
from polar.regime.usage import area_under_curve

N = 1000
RNG = np.random.default_rng(0)
WIDE = np.linspace(-1.7, 1.7, N)
SHARE = (np.arange(N) * 0.618034) % 1  # evenly spread, and unrelated to WIDE


def one(variance: np.ndarray) -> VarianceSignal:
    return variance_signals(
        codes(np.zeros((len(variance), 1)), variance[:, None]), renyi_alpha=1.0
    )[0]


def label(mean: np.ndarray, variance: np.ndarray) -> Label:
    of = codes(mean[:, None], np.broadcast_to(variance, mean.shape)[:, None])
    entropies = renyi_entropy(of.mean).nats.tolist()
    return two_signal_labels(entropies, variance_signals(of, renyi_alpha=1.01), tau=0.25)[0].label


def score(of: Codes, seed: int = 0) -> tuple[MixedScore, ...]:
    return mixed_scores(
        of,
        renyi_entropy(of.mean).nats.tolist(),
        variance_signals(of, renyi_alpha=1.01),
        ruler="scaled",
        sigma=0.5,
        renyi_alpha=1.01,
        tau=0.25,
        rng=np.random.default_rng(seed),
    )


@pytest.mark.parametrize(("p", "nats"), [(0.1, 0.3250830), (0.3, 0.6108643), (0.5, 0.6931472)])
def test_variances_of_zero_and_one_have_the_entropy_of_a_coin(p: float, nats: float) -> None:
    variance = np.where(np.arange(N) < p * N, 1e-9, 1.0)

    found = one(variance)

    # seven decimals are given, and the estimator promises 1e-6
    assert found.entropy_nats == pytest.approx(nats, abs=2e-6)
    assert found.dip == pytest.approx(p / 2)


@pytest.mark.parametrize("variance", [0.01, 1.0])
def test_the_variance_of_active_and_passive_latents_has_no_entropy(variance: float) -> None:
    assert one(np.full(N, variance)).entropy_nats == 0.0


@pytest.mark.parametrize(
    ("mean", "variance", "expected"),
    [
        (np.where(SHARE < 0.3, 0.0, WIDE), np.where(SHARE < 0.3, 1.0, 0.01), Label.MIXED),
        (np.where(SHARE < 0.9, 0.0, 1.5 * WIDE), np.where(SHARE < 0.9, 1.0, 0.01), Label.MIXED),
        (WIDE, np.full(N, 0.01), Label.ACTIVE),
        (0.01 * WIDE, np.full(N, 1.0), Label.PASSIVE),
        (0.01 * WIDE, np.where(SHARE < 0.3, 1.0, 0.01), Label.PASSIVE),
        (WIDE, 0.001 + 0.998 * SHARE, Label.UNDETERMINED),
        (WIDE, 0.05 + 0.15 * SHARE, Label.ACTIVE),
        (WIDE, np.full(N, 0.5), Label.ACTIVE),
        (WIDE, np.where(SHARE < 0.03, 1.0, 0.01), Label.ACTIVE),
    ],
)
def test_both_signals_make_a_mixed_latent(
    mean: np.ndarray, variance: np.ndarray, expected: Label
) -> None:
    assert label(mean, variance) is expected


def test_the_label_says_why_with_its_margin() -> None:
    signal = VarianceSignal(0.6, 0.7, 0.3, 0.01, 1.0, 0.15, 0.0)

    (found,) = two_signal_labels([1.25], [signal], tau=0.25)

    assert found.label is Label.MIXED
    assert (found.margin, found.score) == (0.5, 1.25)
    assert found.why == (
        "H(mu) is 1.25 and H(v) 0.6 nats: the mean varies, and 70% of the images have a variance "
        "near 0, 30% near 1, with less in between."
    )


def test_a_deterministic_model_has_no_signals_of_the_variance() -> None:
    of = codes(WIDE[:, None])

    assert variance_signals(of, renyi_alpha=1.01) == ()
    (found,) = score(of)
    assert (found.variance_entropy_nats, found.kl_bimodality, found.two_signals) == (None,) * 3


def test_an_ivae_is_judged_relative_to_its_prior() -> None:
    prior_variance = np.full((N, 1), 0.02)
    variance = np.where(SHARE < 0.4, 1.0, 0.01)[:, None] * prior_variance
    of = codes(np.zeros((N, 1)), variance, np.zeros((N, 1)), prior_variance)

    (found,) = variance_signals(of, renyi_alpha=1.01)

    assert found.has_two_modes


def test_the_bimodality_of_the_divergence_is_that_of_a_coin() -> None:
    of = codes(np.zeros((N, 2)), np.where(SHARE[:, None] < [0.3, 0.0], 1.0, 0.01))

    mixed, active = score(of)

    assert mixed.kl_bimodality == pytest.approx(0.6, abs=0.01)  # of 1,000 images
    assert active.kl_bimodality == 0.0


def synthetic(absent: float) -> tuple[Codes, np.ndarray]:
    """Four active, four passive, four mixed latents and four with a smooth variance."""
    is_absent = RNG.random((N, 1)) < absent
    on, off = RNG.normal(size=(N, 4)), 0.02 * RNG.normal(size=(N, 4))
    small = 0.05 * np.exp(0.3 * RNG.normal(size=(N, 4)))
    large = np.exp(0.02 * RNG.normal(size=(N, 4)))
    smooth = RNG.uniform(0.02, 0.98, size=(N, 4))
    mean = [on, off, np.where(is_absent, off, on), RNG.normal(size=(N, 4)) * np.sqrt(1 - smooth)]
    variance = [small, large, np.where(is_absent, large, small), smooth]
    return codes(np.hstack(mean), np.hstack(variance)), np.arange(16) // 4 == 2


@pytest.mark.parametrize("absent", [0.2, 0.5, 0.8])
def test_the_two_signals_find_mixed_latents_that_one_signal_does_not(absent: float) -> None:
    of, is_mixed = synthetic(absent)
    scores = score(of)

    def area(field: str) -> float:
        found = area_under_curve(np.array([getattr(one, field) for one in scores]), is_mixed)
        assert found is not None
        return found

    assert area("two_signals") == 1.0
    assert area("subset_entropy_nats") > 0.95
    assert area("mean_entropy_nats") < 0.9
    assert area("var_of_mean") < 0.9
    assert area("variance_entropy_nats") < 0.9
    labels = two_signal_labels(
        [one.mean_entropy_nats for one in scores], variance_signals(of, renyi_alpha=1.01), tau=0.25
    )
    assert [one.label is Label.MIXED for one in labels] == is_mixed.tolist()


@pytest.mark.parametrize("n", [1, 2, 3])
def test_few_images_are_not_called_mixed(n: int) -> None:
    of = codes(10.0 * np.arange(n)[:, None], np.array([0.01, 1.0, 1.0])[:n, None])
    signals = variance_signals(of, renyi_alpha=1.01)

    (found,) = two_signal_labels(renyi_entropy(of.mean).nats.tolist(), signals, tau=0.25)

    assert found.label is not Label.MIXED
    assert score(of)[0].two_signals == 0.0


def test_an_entropy_that_is_not_finite_is_refused() -> None:
    with pytest.raises(InvalidInput, match="the entropy of a latent is nan"):
        two_signal_labels([math.nan], [one(np.ones(5))], tau=0.25)
