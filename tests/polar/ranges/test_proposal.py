import math
from collections import Counter
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jaxtyping import Float64

from polar.errors import InvalidInput
from polar.ranges import Search, find_range, propose
from polar.ranges.belief import EdgeBelief, believe, passed
from polar.ranges.proposal import information
from polar.records.latents import Regime
from polar.records.ranges import Action, Observation, Outcome
from tests.oracles.linear_vae import optimum

Verdicts = Callable[[float], Regime]
Band = Callable[[float, float], Verdicts]
Told = Callable[..., list[Observation]]

SEARCH = Search(low=0.01, high=100, steps=2000)
THREE = SEARCH.model_copy(update={"seeds": (0, 1, 2)})
LONGER = THREE.model_copy(update={"max_steps": 8000})
fewer = settings(max_examples=25)
#: Verdicts of which a long study is much like one of the others.
SIMILAR = set(Regime) - {Regime.CLEAN, Regime.UNTRAINED}

observations = st.builds(
    Observation,
    weight=st.sampled_from([0.01, 0.3, 1.0, 7.0, 100.0]) | st.floats(0.01, 100),
    seed=st.integers(0, 2),
    steps=st.sampled_from([2000, 4000]),
    regime=st.sampled_from(Regime),
    n_active=st.integers(0, 16),
    n_passive=st.integers(0, 16),
    weakest_std=st.floats(0, 2),
    strongest_std=st.floats(0, 2),
    settled=st.booleans() | st.none(),
)
histories = st.lists(observations, max_size=20)
flights = st.lists(
    st.builds(Action, weight=st.floats(0.01, 100), seed=st.integers(0, 2), steps=st.just(2000)),
    max_size=6,
)
searches = st.sampled_from([SEARCH, THREE, LONGER])


def study(
    verdict: Callable[[Action], Regime], search: Search, trainings: int, in_flight: int = 4
) -> list[Observation]:
    """A proposal knows the outcomes of all trainings but the last ones, which are in flight."""
    actions: list[Action] = []
    told: list[Observation] = []
    while len(told) < trainings:
        known = max(len(actions) - in_flight + 1, 0)
        actions.append(propose(told[:known], actions[known:], search))
        told.append(observe(actions[-1], verdict(actions[-1])))
    return told


def observe(action: Action, regime: Regime, *, settled: bool = True) -> Observation:
    return Observation(
        weight=action.weight,
        seed=action.seed,
        steps=action.steps,
        regime=regime,
        settled=settled,
    )


def test_the_first_training_divides_the_axis() -> None:
    first = propose([], [], SEARCH)

    assert 0.1 < first.weight < 10
    assert (first.seed, first.steps, first.done, first.cost) == (0, 2000, 0, 2000)


@pytest.mark.parametrize(("left", "right"), [(0.3, 7), (0.05, 1), (1, 40), (0.2, 0.4)])
def test_without_trainings_in_flight_each_edge_is_bisected(
    band_between: Band, left: float, right: float
) -> None:
    verdict = band_between(left, right)
    told = study(lambda action: verdict(action.weight), SEARCH, 24, in_flight=1)

    found = [find_range(told[:n], SEARCH).outcome is Outcome.FOUND for n in range(len(told))]

    # Each of two edges has one of 97 cells, 6.6 bits; a verdict tells at most log2(3).
    assert 9 <= found.index(True) <= 16


@fewer
@given(st.data())
def test_the_brackets_hold_the_edges_of_any_band(data: st.DataObject) -> None:
    left = data.draw(st.floats(0.02, 40))
    right = data.draw(st.floats(left * 1.3, 60))

    def verdict(action: Action) -> Regime:
        if action.weight < left:
            return Regime.UNDER_REGULARISED
        return Regime.CLEAN if action.weight < right else Regime.COLLAPSED

    report = find_range(study(verdict, SEARCH, 30), SEARCH)

    assert report.outcome is Outcome.FOUND
    assert report.envelope is not None
    for edge, truth in ((report.envelope.left, left), (report.envelope.right, right)):
        assert edge.low is not None
        assert edge.high is not None
        assert edge.low <= truth <= edge.high <= edge.low * SEARCH.factor * (1 + 1e-9)


@fewer
@given(histories, flights, searches)
def test_a_proposal_is_a_new_training_or_the_continuation_of_one(
    history: list[Observation], in_flight: list[Action], search: Search
) -> None:
    action = propose(history, in_flight, search)

    assert search.low <= action.weight <= search.high
    assert action.seed in search.seeds or action.done
    assert action.steps in search.budgets
    pair = (action.weight, action.seed)
    ended = [seen.steps for seen in history if (seen.weight, seen.seed) == pair]
    assert action.done == max(ended, default=0) < action.steps
    assert pair not in {(flying.weight, flying.seed) for flying in in_flight}


@fewer
@given(st.data(), histories, flights, searches)
def test_the_order_of_what_is_told_changes_nothing(
    data: st.DataObject, history: list[Observation], in_flight: list[Action], search: Search
) -> None:
    shuffled = data.draw(st.permutations(history))
    flown = data.draw(st.permutations(in_flight))

    assert propose(shuffled, flown, search) == propose(history, in_flight, search)


@pytest.mark.parametrize(
    "regime",
    [
        Regime.CLEAN,
        Regime.UNTRAINED,
        *(pytest.param(other, marks=pytest.mark.slow) for other in sorted(SIMILAR)),
    ],
)
def test_a_long_study_of_equal_verdicts_goes_on_without_repeating_itself(regime: Regime) -> None:
    told = study(lambda _: regime, SEARCH, 130)

    weights = sorted(seen.weight for seen in told)

    assert len(set(weights)) == 130
    assert max(b / a for a, b in pairwise(weights)) < 1.12  # it has looked everywhere


@pytest.mark.parametrize("weight", [0.0099, 101.0])
def test_weights_outside_the_search_are_refused(weight: float) -> None:
    outside = Observation(weight=weight, seed=0, steps=1, regime=Regime.FORMING)
    flying = Action(weight=weight, seed=0, steps=1)

    with pytest.raises(InvalidInput, match=rf"{weight}; allowed: 0.01 to 100"):
        propose([outside], [], SEARCH)
    with pytest.raises(InvalidInput, match=rf"{weight}; allowed: 0.01 to 100"):
        propose([], [flying], SEARCH)


def test_seeds_are_spent_beside_the_edges_and_all_of_them_are_used() -> None:
    rng = np.random.default_rng(3)

    def verdict(action: Action) -> Regime:
        shifted = math.log(action.weight) + 0.1 * rng.logistic(size=2)
        if shifted[1] > math.log(7):
            return Regime.COLLAPSED
        return Regime.CLEAN if shifted[0] > math.log(0.3) else Regime.UNDER_REGULARISED

    told = study(verdict, THREE, 40)

    seeds = Counter(seen.seed for seen in told)
    assert max(seeds.values()) - min(seeds.values()) <= 2
    for edge in (0.3, 7):
        near = Counter(seen.seed for seen in told if abs(math.log(seen.weight / edge)) < 0.3)
        assert len(near) == 3
        assert max(near.values()) - min(near.values()) <= 2
    again = [weight for weight, n in Counter(seen.weight for seen in told).items() if n > 1]
    assert again
    for weight in again:
        assert min(abs(math.log(weight / edge)) for edge in (0.3, 7)) < 0.3


def test_a_dissenting_seed_in_the_band_is_asked_again_once_the_edges_are_known(
    told: Told,
) -> None:
    band = {"u": (0.25, 0.28, 0.3), "i": (0.32, 0.35, 1, 6, 7), "c": (7.5, 8, 9)}
    six = THREE.model_copy(update={"seeds": tuple(range(6))})
    parts = [f"{at} {v} {seed}" for v, ats in band.items() for at in ats for seed in range(6)]
    history = told(", ".join([*parts, "1.5 f 2"]))

    action = propose(history, [], six)

    assert action.weight == 1.5
    assert action.seed != 2


def test_a_gap_is_narrowed_once_the_edges_are_known(told: Told) -> None:
    history = told("0.3 u, 0.32 i, 0.6 i, 1.1 i, 1.5 f, 2.2 i, 4 i, 7 i, 7.5 c")

    weight = propose(history, [], SEARCH).weight

    assert weight == pytest.approx(math.sqrt(1.5 * 2.2))  # the wider side of the gap


def moving(action: Action) -> Regime:
    """A left edge that halves while the steps double, and a right edge that stands still."""
    if action.weight > 7:
        return Regime.COLLAPSED
    is_clean = action.weight > 0.3 * 2000 / action.steps
    return Regime.CLEAN if is_clean else Regime.UNDER_REGULARISED


def go_on(search: Search, trainings: int) -> tuple[list[Action], list[Observation]]:
    actions: list[Action] = []
    told: list[Observation] = []
    for _ in range(trainings):
        actions.append(propose(told, [], search))
        settled = actions[-1].weight > 1
        told.append(observe(actions[-1], moving(actions[-1]), settled=settled))
    return actions, told


def test_more_steps_follow_once_the_edges_are_known_and_only_where_they_may_move() -> None:
    search = SEARCH.model_copy(update={"max_steps": 8000})

    actions, told = go_on(search, 50)

    first = next(place for place, action in enumerate(actions) if action.steps > 2000)
    assert find_range(told[:first], search).outcome is Outcome.FOUND
    continued = [action for action in actions if action.done]
    assert continued
    assert all(action.cost == action.steps - action.done > 0 for action in continued)
    assert all(action.weight < 1 for action in continued)  # what has settled says enough
    report = find_range(told, search)
    assert report.steps == 8000
    assert report.envelope is not None
    assert report.envelope.left.low is not None
    assert report.envelope.left.low <= 0.075 <= (report.envelope.left.high or 0)
    assert report.envelope.left.movement is not None
    assert report.envelope.right.movement is None
    assert (
        "2 of 2 trainings next to the right edge settled before 8,000 steps: their verdicts are "
        "taken to hold." in report.remarks
    )


def test_without_more_steps_nothing_is_continued() -> None:
    actions, _ = go_on(SEARCH, 40)

    assert {action.steps for action in actions} == {2000}
    assert not any(action.done for action in actions)


def test_what_has_not_begun_to_learn_is_trained_for_more_steps() -> None:
    search = Search(low=0.01, high=100, steps=300, max_steps=1200)

    actions: list[Action] = []
    told: list[Observation] = []
    for _ in range(30):
        actions.append(propose(told, [], search))
        action = actions[-1]
        regime = moving(action) if action.steps > 300 else Regime.UNTRAINED
        told.append(observe(action, regime, settled=False))

    at_first = [action for action in actions if action.steps == 300]
    assert len(at_first) < 20
    assert any(action.done == 300 for action in actions)
    assert find_range(told, search).envelope is not None


def test_a_training_that_failed_is_not_asked_for_again(band_between: Band) -> None:
    verdict = band_between(0.3, 7)
    told: list[Observation] = []
    failed: list[Action] = []
    for place in range(30):
        action = propose(told, failed, THREE)
        if place % 5 == 2:
            failed.append(action)
        else:
            told.append(observe(action, verdict(action.weight)))

    assert len({(a.weight, a.seed) for a in failed}) == 6
    assert not {(a.weight, a.seed) for a in failed} & {(o.weight, o.seed) for o in told}


@pytest.mark.parametrize("weakest", [0.05, 0.21, 0.9])
def test_fading_latents_of_a_linear_beta_vae_show_the_way(weakest: float) -> None:
    eigenvalues = np.array([30.0, 25.0, 22.0, *np.geomspace(20 * weakest, weakest, 13)])
    told: list[Observation] = []
    flying: list[Action] = []

    while find_range(told, SEARCH).outcome is not Outcome.FOUND:
        flying += [propose(told, flying, SEARCH)] if len(flying) < 4 else []
        if len(flying) == 4:
            told.append(train_linear(eigenvalues, flying.pop(0)))

    assert len(told) <= 16


def train_linear(eigenvalues: Float64[np.ndarray, " m"], action: Action) -> Observation:
    best = optimum(eigenvalues, beta=action.weight)
    regime = Regime.COLLAPSED if not best.active.any() else Regime.CLEAN
    stds = np.sqrt(best.mean_variance)
    return Observation(
        weight=action.weight,
        seed=action.seed,
        steps=action.steps,
        regime=Regime.UNDER_REGULARISED if best.active.all() else regime,
        weakest_std=stds.min(),
        strongest_std=stds.max(),
    )


def entropy(chances: Float64[np.ndarray, " k"]) -> float:
    return -float(sum(chance * math.log(chance) for chance in chances if chance > 0))


def test_information_is_that_of_its_definition() -> None:
    # H(verdict) - H(verdict | place and width)
    edge = believe((), Search(low=1, high=8, factor=2, seeds=(0, 1))).left
    weights = np.array([1.5, 4.0])
    expected = []
    for chances in passed(weights, edge.bounds, edge.widths):
        mean = float((chances * edge.mass).sum())
        after = sum(
            mass * entropy(np.array([chance, 1 - chance]))
            for mass, chance in zip(edge.mass.ravel(), chances.ravel(), strict=True)
        )
        expected.append(entropy(np.array([mean, 1 - mean])) - after)

    assert information(edge, weights, np.array([])) == pytest.approx(expected, abs=1e-12)


def test_information_after_trainings_in_flight_is_the_mean_over_their_outcomes() -> None:
    edge = believe((), Search(low=1, high=8, factor=2, seeds=(0, 1))).left
    weight, flying = np.array([3.0]), np.array([2.0])
    has_passed = passed(flying, edge.bounds, edge.widths)[0]
    expected = 0.0
    for chances in (has_passed, 1 - has_passed):
        mass = edge.mass * chances
        after = EdgeBelief(edge.bounds, edge.widths, mass / mass.sum())
        expected += float(mass.sum()) * float(information(after, weight, np.array([]))[0])

    assert information(edge, weight, flying) == pytest.approx([expected], abs=1e-12)


def test_a_training_in_flight_leaves_little_to_learn_at_its_weight_where_seeds_agree() -> None:
    edge = believe((), SEARCH).left
    weights = np.array([0.1, 1.0])

    alone = information(edge, weights, np.array([]))
    after = information(edge, weights, np.array([1.0]))

    assert after[1] < 0.05 * alone[1]
    assert after[0] > 0.3 * alone[0]


def test_guesses_rest_on_what_a_training_shows_after_all_its_steps(told: Told) -> None:
    stds = {"strongest_std": 1.0}
    last = [
        seen.model_copy(update={"weakest_std": 0.2, **stds})
        for seen in told("0.02 u, 0.3 u, 1 i, 30 c", steps=2000)
    ]
    proposals = set()

    for std in (0.1, 0.5, 0.9):
        earlier = told("1 u", steps=1000)[0].model_copy(update={"weakest_std": std, **stds})
        proposals.add(propose([earlier, *last], [], LONGER).model_dump_json())

    assert len(proposals) == 1
