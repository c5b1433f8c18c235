"""How edges move with the budget."""

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit

from polar.ranges import Search, find_range
from polar.ranges.belief import LAPSE, EdgeBelief, believe, middles
from polar.ranges.movement import DRAWN_ANEW, movement_of, movement_over_seeds
from polar.records.latents import Regime
from polar.records.ranges import Edge, Movement, Observation, Snapshot

SEEDS = tuple(range(12))
SEARCH = Search(low=0.01, high=100, steps=2000, seeds=SEEDS)

weights, factors, moves = st.floats(0.1, 10), st.floats(1, 1.15), st.floats(0.9, 1.12)
places = st.floats(0.7, 1.4)
ends = st.floats(0.01, 100) | st.none()


def edge(low: float | None, high: float | None) -> Edge:
    return Edge(low=low, high=high, confidence=None)


@pytest.mark.parametrize(
    ("now", "past", "doublings", "words"),
    [
        (edge(0.12, 0.13), edge(0.25, 0.27), 1.0, "moving by 1/2.1 per doubling"),
        (edge(0.12, 0.13), edge(0.53, 0.57), 2.0, "moving by 1/2.1 per doubling"),
        (edge(19, 20), edge(10, 11), 1.0, "moving by 1.9 per doubling"),
        (edge(0.12, 0.13), edge(0.28, None), 1.0, "moving"),
        (edge(0.12, 0.13), edge(0.12, 0.13), 1.0, "settled"),
        (edge(0.125, 0.13), edge(0.13, 0.137), 1.0, "settled"),  # all within a factor 1.1
        (edge(0.125, 0.13), edge(0.13, 0.137), 4.0, "settled"),
        # Intervals that touch, so that the edge may have moved by the square of the factor.
        (edge(1.0, 1.1), edge(1.1, 1.21), 1.0, "not known to be settled"),
        (edge(1.1, 1.21), edge(1.0, 1.1), 1.0, "not known to be settled"),
        (edge(1.0, 1.05), edge(1.06, 1.1), 1.0, "moving by 1/1.1 per doubling"),
        (edge(1.0, 1.11), edge(1.0, 1.1), 1.0, "not known to be settled"),
        (edge(0.12, 0.13), edge(0.13, 0.16), 1.0, "not known to be settled"),
        (edge(0.12, 0.13), edge(0.1, 0.95), 1.0, "not known to be settled"),
        (edge(0.12, 0.13), edge(0.1, None), 1.0, "not known to be settled"),
        (edge(0.12, 0.13), None, 1.0, "not known to be settled"),
    ],
)
def test_an_edge_moves_where_its_intervals_do_not_overlap(
    now: Edge, past: Edge | None, doublings: float, words: str
) -> None:
    assert movement_of(now, past, doublings, SEARCH).words() == words


@given(weights, factors, moves, factors, st.floats(0.5, 10))
def test_no_edge_is_both_settled_and_apart_from_where_it_was(
    low: float, wide: float, moved: float, past_wide: float, by: float
) -> None:
    now, past = edge(low, low * wide), edge(low * moved, low * moved * past_wide)

    movement = movement_of(now, past, by, SEARCH)

    if movement.is_settled:
        assert movement.low is not None
        assert movement.high is not None
        assert 1 / 1.1001 <= movement.low**by <= movement.high**by <= 1.1001
    assert movement.low is not None
    assert movement.high is not None
    assert (movement.is_settled is False) is (not movement.low <= 1 <= movement.high)


@given(ends, ends, ends, ends, st.floats(0.5, 10))
def test_no_edge_that_is_open_at_either_budget_is_settled(
    low: float | None, high: float | None, before: float | None, after: float | None, by: float
) -> None:
    movement = movement_of(edge(low, high), edge(before, after), by, SEARCH)

    is_open = None in (low, high, before, after)
    assert not (is_open and movement.is_settled)
    assert (movement.factor is None) is is_open


def test_the_movement_over_seeds_is_that_of_bayes_counted_out() -> None:
    # A single place and width: each training has the same threshold at both budgets, or another.
    bounds = np.linspace(-1.0, 1.0, 9)
    mass = np.zeros((10, 1))
    mass[5] = 1.0
    belief, place, width = EdgeBelief(bounds, np.array([0.2]), mass), 0.125, 0.2
    then = {(1.0, 0): True, (1.2, 1): False, (1.3, 2): True, (0.8, 0): False}
    now = {(1.0, 0): True, (1.2, 1): True, (1.3, 2): False}
    moves = np.arange(-8, 9) * 0.25
    posterior = []
    for move in moves:
        likelihood = 1.0
        for (weight, seed), had_passed in then.items():
            is_past = float(expit((math.log(weight) - place) / width))
            was_past = float(expit((math.log(weight) - place + move) / width))
            anew = was_past if had_passed else 1 - was_past
            both = {True: min(is_past, was_past), False: max(was_past - is_past, 0)}
            neither = {True: max(is_past - was_past, 0), False: 1 - max(is_past, was_past)}
            chance = anew
            if (weight, seed) in now:
                passes_now = now[weight, seed]
                joint = (both if had_passed else neither)[passes_now]
                kept = joint / (is_past if passes_now else 1 - is_past)
                chance = (1 - DRAWN_ANEW) * kept + DRAWN_ANEW * anew
            likelihood *= (1 - LAPSE) * chance + LAPSE / 2
        posterior.append(likelihood)
    below = np.cumsum(posterior) / np.sum(posterior)

    movement = movement_over_seeds(belief, now, then, 2.0, SEARCH)

    expected = np.exp(np.interp([0.05, 0.5, 0.95], below, moves + 0.125) / 2)
    assert (movement.low, movement.factor, movement.high) == pytest.approx(tuple(expected))


def verdict(weight: float, seed: int, place: float, width: float) -> Regime:
    """Seeds differ around a left edge; a training keeps its threshold."""
    rng = np.random.default_rng([seed, *np.array([weight]).view(np.uint32).tolist()])
    is_inside = math.log(weight / place) + width * rng.logistic() > 0
    return Regime.CLEAN if is_inside else Regime.UNDER_REGULARISED


def left_movement(past: float, *, width: float, trainings: int) -> Movement:
    """The movement of a left edge at 0.3 that was at `past` after half the steps."""
    spread = 0.3 * np.exp(np.linspace(-4 * width - 0.3, 4 * width + 0.3, trainings))
    history = [
        Observation(
            weight=weight,
            seed=place % len(SEEDS),
            steps=2000,
            regime=verdict(weight, place % len(SEEDS), 0.3, width),
            trajectory=(
                Snapshot(steps=1000, regime=verdict(weight, place % len(SEEDS), past, width)),
            ),
        )
        for place, weight in enumerate(spread.tolist())
    ]
    history += [
        Observation(
            weight=weight,
            seed=seed,
            steps=2000,
            regime=regime,
            trajectory=(Snapshot(steps=1000, regime=regime),),
        )
        for (weight, regime), seed in product(
            ((6.8, Regime.CLEAN), (7.2, Regime.COLLAPSED)), range(6)
        )
    ]
    report = find_range(history, SEARCH)
    assert report.envelope is not None
    assert report.envelope.left.movement is not None
    return report.envelope.left.movement


def test_an_edge_is_settled_where_no_training_of_many_has_changed_its_verdict() -> None:
    movement = left_movement(0.3, width=0.1, trainings=60)

    assert movement.is_settled is True
    assert movement.words() == "settled"


def test_a_few_trainings_of_seeds_that_differ_do_not_tell_whether_an_edge_is_settled() -> None:
    movement = left_movement(0.3, width=0.2, trainings=10)

    assert movement.is_settled is None
    assert movement.low is not None
    assert movement.high is not None
    assert movement.low < 1 / SEARCH.factor < SEARCH.factor < movement.high


@pytest.mark.parametrize("past", [0.36, 0.25])
def test_an_edge_moves_by_less_than_its_interval_where_verdicts_change_one_way(
    past: float,
) -> None:
    movement = left_movement(past, width=0.1, trainings=60)

    assert movement.is_settled is False
    assert movement.factor == pytest.approx(0.3 / past, rel=0.1)
    assert movement.low is not None
    assert movement.high is not None
    assert movement.low <= 0.3 / past <= movement.high


def test_verdicts_that_change_in_both_directions_are_no_movement() -> None:
    bounds = np.linspace(-1.0, 1.0, 81)
    mass = np.zeros((82, 1))
    mass[41] = 1.0
    belief = EdgeBelief(bounds, np.array([0.1]), mass)
    weights = np.exp(np.linspace(-0.5, 0.5, 31)).tolist()
    now = {(weight, 0): weight > 1.01 for weight in weights}
    near = [(weight, 0) for weight in weights if 0.9 < weight < 1.1]
    then = now | {training: not now[training] for training in (near[0], near[-1])}

    movement = movement_over_seeds(belief, now, then, 1.0, SEARCH)

    assert movement.is_settled is not False
    assert movement.factor == pytest.approx(1, abs=0.06)


@settings(max_examples=50)
@given(places, moves, st.sampled_from([(10, 0.1), (80, 0.1), (80, 0.02)]), st.floats(0.5, 10))
def test_only_a_movement_that_is_certainly_small_is_settled(
    place: float, moved: float, tried: tuple[int, float], by: float
) -> None:
    trainings, width = tried
    search = Search(low=0.1, high=10, seeds=SEEDS)
    bounds = believe([], search).left.bounds
    mass = np.exp(-(((middles(bounds) - math.log(place)) / width) ** 2))[:, None]
    belief = EdgeBelief(bounds, np.array([width]), mass / mass.sum())
    tested = np.geomspace(0.5, 2, trainings).tolist()
    now = {(weight, 0): weight > place for weight in tested}
    then = {(weight, 0): weight > place / moved for weight in tested}

    movement = movement_over_seeds(belief, now, then, by, search)

    assert movement.low is not None
    assert movement.factor is not None
    assert movement.high is not None
    assert movement.low <= movement.factor <= movement.high
    if movement.is_settled:
        assert 1 / 1.1001 <= movement.low**by <= movement.high**by <= 1.1001
    if movement.is_settled is False:
        assert not movement.low <= 1 <= movement.high
