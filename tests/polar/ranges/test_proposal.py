from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import Float64

from polar.errors import InvalidInput
from polar.ranges import Search, find_range, propose
from polar.ranges.belief import believe, observed_chances, true_chances
from polar.ranges.proposal import verdict_information
from polar.records.latents import Regime
from polar.records.ranges import Observation, Outcome
from tests.oracles.linear_vae import optimum

Verdicts = Callable[[float], Regime]
Band = Callable[[float, float], Verdicts]
Told = Callable[..., list[Observation]]

SEARCH = Search(low=0.01, high=100)
NOISY = Search(low=0.01, high=100, flip_rate=0.05)
fewer = settings(max_examples=25)

observations = st.builds(
    Observation,
    weight=st.sampled_from([0.01, 0.3, 1.0, 7.0, 100.0]) | st.floats(0.01, 100),
    regime=st.sampled_from(Regime),
    n_active=st.integers(0, 16),
    n_passive=st.integers(0, 16),
    weakest_std=st.floats(0, 2),
    strongest_std=st.floats(0, 2),
)
histories = st.lists(observations, max_size=20)
flights = st.lists(st.floats(0.01, 100), max_size=6)


def study(verdict: Verdicts, search: Search, trials: int, in_flight: int = 4) -> list[Observation]:
    told: list[Observation] = []
    flying: list[float] = []
    while len(told) < trials:
        while len(flying) < in_flight:
            flying.append(propose(told, flying, search))
        weight = flying.pop(0)
        told.append(Observation(weight=weight, regime=verdict(weight)))
    return told


def test_the_first_trial_halves_the_axis() -> None:
    assert propose([], [], Search(low=1, high=16, factor=2)) == pytest.approx(4)


def test_without_trials_in_flight_each_edge_is_bisected(band_between: Band) -> None:
    told = study(band_between(0.3, 7), SEARCH, 20, in_flight=1)

    found = [find_range(told[:n], SEARCH).outcome is Outcome.FOUND for n in range(len(told))]

    # 97 * 98 / 2 pairs of cells are 12.2 bits; a verdict tells at most log2(3)
    assert 8 <= found.index(True) <= 16


@fewer
@given(st.data())
def test_the_brackets_hold_the_edges_of_any_band(data: st.DataObject) -> None:
    left = data.draw(st.floats(0.02, 40))
    right = data.draw(st.floats(left * 1.3, 60))

    def verdict(weight: float) -> Regime:
        if weight < left:
            return Regime.UNDER_REGULARISED
        return Regime.POLARISED if weight < right else Regime.COLLAPSED

    report = find_range(study(verdict, SEARCH, 30), SEARCH)

    assert report.outcome is Outcome.FOUND
    assert report.envelope is not None
    for edge, truth in ((report.envelope.left, left), (report.envelope.right, right)):
        assert edge.low is not None
        assert edge.high is not None
        assert edge.low <= truth <= edge.high <= edge.low * SEARCH.factor * (1 + 1e-9)


@fewer
@given(histories, flights, st.sampled_from([SEARCH, NOISY]))
def test_a_proposal_is_on_the_axis_and_never_in_flight(
    history: list[Observation], in_flight: list[float], search: Search
) -> None:
    weight = propose(history, in_flight, search)

    assert search.low <= weight <= search.high
    assert weight not in in_flight


@fewer
@given(histories, flights)
def test_without_flips_no_weight_is_tested_twice(
    history: list[Observation], in_flight: list[float]
) -> None:
    assert propose(history, in_flight, SEARCH) not in {seen.weight for seen in history}


@pytest.mark.parametrize("regime", list(Regime))
def test_a_long_study_of_equal_verdicts_goes_on_without_repeating_itself(regime: Regime) -> None:
    told = study(lambda _: regime, SEARCH, 130)

    weights = sorted(seen.weight for seen in told)

    assert len(set(weights)) == 130
    assert max(b / a for a, b in pairwise(weights)) < 1.2  # it has looked everywhere


@fewer
@given(st.data(), histories, flights, st.sampled_from([SEARCH, NOISY]))
def test_the_order_of_what_is_told_changes_nothing(
    data: st.DataObject, history: list[Observation], in_flight: list[float], search: Search
) -> None:
    shuffled = data.draw(st.permutations(history))
    flown = data.draw(st.permutations(in_flight))

    assert propose(shuffled, flown, search) == propose(history, in_flight, search)
    assert find_range(shuffled, search) == find_range(history, search)


@pytest.mark.parametrize("weight", [0.0099, 101.0])
def test_weights_outside_the_search_are_refused(weight: float) -> None:
    outside = [Observation(weight=weight, regime=Regime.FORMING)]

    with pytest.raises(InvalidInput, match=rf"{weight}; allowed: 0.01 to 100"):
        propose(outside, [], SEARCH)
    with pytest.raises(InvalidInput, match=rf"{weight}; allowed: 0.01 to 100"):
        propose([], [weight], SEARCH)
    with pytest.raises(InvalidInput, match=rf"{weight}; allowed: 0.01 to 100"):
        find_range(outside, SEARCH)


def test_with_flips_a_weight_beside_an_edge_is_measured_again(band_between: Band) -> None:
    told = study(band_between(0.3, 7), NOISY, 40)

    weights = [seen.weight for seen in told]
    again = {weight for weight in weights if weights.count(weight) > 1}

    assert again
    assert all(min(abs(np.log(w / 0.3)), abs(np.log(w / 7))) < np.log(1.3) for w in again)


def test_a_flip_in_the_band_is_measured_again_once_the_edges_are_known(
    told: Told, band_between: Band
) -> None:
    history = study(band_between(0.3, 7), NOISY, 40) + told("1.5 f")

    assert propose(history, [], NOISY) == 1.5


def test_a_gap_is_narrowed_once_the_edges_are_known(told: Told, band_between: Band) -> None:
    history = study(band_between(0.3, 7), SEARCH, 20) + told("1.5 f")

    weight = propose(history, [], SEARCH)

    tested = sorted({seen.weight for seen in history} - {1.5})
    place = np.searchsorted(tested, 1.5)
    assert tested[place - 1] < weight < tested[place]


def test_a_wrong_guess_of_an_edge_costs_trials_and_no_truth(band_between: Band) -> None:
    # latents that seem to be far from fading all the time, then are gone
    verdict = band_between(0.3, 7)
    told: list[Observation] = []
    for _ in range(24):
        weight = propose(told, [], SEARCH)
        std = 0.9 if weight < 1 else 1.0
        told.append(
            Observation(weight=weight, regime=verdict(weight), weakest_std=std, strongest_std=1.0)
        )

    report = find_range(told, SEARCH)

    assert report.outcome is Outcome.FOUND


@pytest.mark.parametrize("weakest", [0.05, 0.21, 0.9])
def test_fading_latents_of_a_linear_beta_vae_show_the_way(weakest: float) -> None:
    eigenvalues = np.array([30.0, 25.0, 22.0, *np.geomspace(20 * weakest, weakest, 13)])
    told: list[Observation] = []
    flying: list[float] = []

    def is_found() -> bool:
        return find_range(told, SEARCH).outcome is Outcome.FOUND

    while not is_found():
        flying += [propose(told, flying, SEARCH)] if len(flying) < 4 else []
        if len(flying) == 4:
            told.append(train_linear(eigenvalues, flying.pop(0)))

    assert len(told) <= 16


def train_linear(eigenvalues: Float64[np.ndarray, " m"], weight: float) -> Observation:
    best = optimum(eigenvalues, beta=weight)
    regime = Regime.COLLAPSED if not best.active.any() else Regime.POLARISED
    stds = np.sqrt(best.mean_variance)
    return Observation(
        weight=weight,
        regime=Regime.UNDER_REGULARISED if best.active.all() else regime,
        weakest_std=stds.min(),
        strongest_std=stds.max(),
    )


def test_information_is_that_of_its_definition() -> None:
    # H(verdict) - H(verdict | edges), summed over all pairs of cells, nothing in flight
    belief = believe((), (), Search(low=1, high=8, factor=2))
    chances = observed_chances(0.05) @ true_chances()
    expected = []
    for point in range(4):
        verdicts, remaining = np.zeros(4), 0.0
        for (left, right), chance in np.ndenumerate(belief.joint):
            column = chances[:, 0 if left > point else 1 if right > point else 2]
            verdicts += chance * column
            remaining -= chance * (column * np.log(column)).sum()
        expected.append(-(verdicts * np.log(verdicts)).sum() - remaining)

    information = verdict_information(belief.joint, np.array([], dtype=int), 0.05)

    assert information == pytest.approx(expected, abs=1e-12)


def test_a_point_in_flight_leaves_nothing_to_learn_in_its_place() -> None:
    belief = believe((), (), SEARCH)

    information = verdict_information(belief.joint, np.array([30]), 0.0)

    assert information[30] == pytest.approx(0, abs=1e-3)  # but for gaps
    assert information[10] > 0.1
