import math

import numpy as np
import pytest

from polar.ranges import Search
from polar.ranges.fading import guess_edges, odds_of_places
from polar.records.latents import Regime
from polar.records.ranges import Observation
from tests.oracles.linear_vae import optimum


def seen(weight: float, regime: Regime, **about: object) -> Observation:
    return Observation.model_validate(
        {"weight": weight, "seed": 0, "steps": 1, "regime": regime, **about}
    )


def test_the_edges_of_a_linear_beta_vae_are_guessed_from_its_latents() -> None:
    eigenvalues = np.array([40.0, 30.0, 2.0])
    at_zero = seen(weight=1e-6, regime=Regime.UNDER_REGULARISED, weakest_std=1, strongest_std=1)
    stds = np.sqrt(optimum(eigenvalues, beta=1.5).mean_variance)
    faded = seen(
        weight=1.5,
        regime=Regime.UNDER_REGULARISED,
        weakest_std=stds[2],
        strongest_std=stds[0],
    )

    assert guess_edges([at_zero, faded]) == pytest.approx((2.0, 40.0))


@pytest.mark.parametrize("std", [None, 0.0])
def test_without_a_faded_latent_there_is_no_guess(std: float | None) -> None:
    faded = seen(weight=1, regime=Regime.UNDER_REGULARISED, weakest_std=std, strongest_std=std)

    assert guess_edges([]) == (None, None)
    assert guess_edges([faded]) == (None, None)


def test_what_is_past_an_edge_says_nothing_of_it() -> None:
    full = seen(weight=1, regime=Regime.CLEAN, weakest_std=0.5, strongest_std=1)
    gone = seen(weight=2, regime=Regime.COLLAPSED, weakest_std=0, strongest_std=0.1)

    assert guess_edges([full, gone]) == (None, None)


@pytest.mark.parametrize(("weight", "is_dropped"), [(2.0, True), (3.9, False), (9.0, False)])
def test_a_guess_far_beyond_a_weight_that_is_past_the_edge_is_dropped(
    weight: float, is_dropped: bool
) -> None:
    full = seen(weight=0.1, regime=Regime.CLEAN, weakest_std=0.9, strongest_std=1)
    faded = seen(weight=1, regime=Regime.CLEAN, weakest_std=0.1, strongest_std=math.sqrt(0.75))
    past = seen(weight=weight, regime=Regime.COLLAPSED, weakest_std=0, strongest_std=0.1)

    _, right = guess_edges([full, faded, past])

    assert right == (None if is_dropped else pytest.approx(4.0))


@pytest.mark.parametrize(("weight", "is_dropped"), [(4.1, True), (3.9, False)])
def test_once_a_latent_outlives_a_guess_there_is_none(weight: float, is_dropped: bool) -> None:
    full = seen(weight=0.1, regime=Regime.CLEAN, weakest_std=0.9, strongest_std=1)
    faded = seen(weight=1, regime=Regime.CLEAN, weakest_std=0.1, strongest_std=math.sqrt(0.75))
    alive = seen(weight=weight, regime=Regime.CLEAN, weakest_std=0, strongest_std=0.5)

    _, right = guess_edges([full, faded, alive])

    assert (right is None) is is_dropped


def test_a_guess_favours_its_place_and_excludes_none() -> None:
    search = Search(low=0.1, high=10)
    logs = np.linspace(math.log(0.1), math.log(10), 4 * search.cells + 1)

    odds = odds_of_places(logs, 1.0, search)

    assert logs[odds.argmax()] == pytest.approx(0, abs=0.03)
    assert odds.min() >= 0.5
    assert odds.mean() == pytest.approx(1, abs=0.05)  # the tails beyond the ends are cut
    assert (odds_of_places(logs, None, search) == np.ones(len(logs))).all()
    assert odds_of_places(np.array([-math.inf, math.inf]), 1.0, search).tolist() == [0.5, 0.5]
    assert math.isfinite(odds_of_places(logs, 1e300, search).sum())


def test_what_has_not_begun_to_learn_shows_no_edge() -> None:
    full = seen(weight=1, regime=Regime.CLEAN, weakest_std=0.5, strongest_std=1)
    faded = seen(weight=2, regime=Regime.CLEAN, weakest_std=0, strongest_std=math.sqrt(0.5))
    untrained = seen(weight=2.5, regime=Regime.UNTRAINED, weakest_std=0.1, strongest_std=0.1)

    assert guess_edges([full, faded, untrained]) == guess_edges([full, faded])
