import math
from collections.abc import Callable

import pytest

from polar.ranges import Search
from polar.ranges.belief import believe
from polar.ranges.edges import envelope_of, is_done, is_known
from polar.ranges.votes import trainings_of, votes_of
from polar.records.ranges import Edge, Interval, Observation

Told = Callable[..., list[Observation]]

ONE = Search(low=0.01, high=100)
THREE = Search(low=0.01, high=100, seeds=(0, 1, 2))
SIX = Search(low=0.01, high=100, seeds=tuple(range(6)))


def envelope(history: list[Observation], search: Search) -> Interval | None:
    votes = votes_of(trainings_of(history), 2000, "clean")
    return envelope_of(votes, believe(votes, search), search)


def edge(low: float | None, high: float | None, width: float | None = None) -> Edge:
    return Edge(low=low, high=high, confidence=None if width is None else 0.9, width=width)


def test_a_single_seed_has_brackets_of_tested_weights_and_no_confidence(told: Told) -> None:
    found = envelope(told("0.01 u, 0.3 u, 0.32 i, 1 i, 7 i, 7.5 c, 100 c"), ONE)

    assert found is not None
    assert found.left == Edge(low=0.3, high=0.32, confidence=None)
    assert found.right == Edge(low=7.0, high=7.5, confidence=None)


def test_what_is_on_the_other_side_of_the_band_bounds_no_edge_of_a_single_seed(
    told: Told,
) -> None:
    # A decoder that died left of clean weights, and a net that kept all latents right of them.
    found = envelope(told("0.12 u, 1 c, 1.05 i, 4 i, 18 i, 19 u, 30 c"), ONE)

    assert found is not None
    assert found.left == Edge(low=0.12, high=1.05, confidence=None)
    assert found.right == Edge(low=18.0, high=30.0, confidence=None)


def test_what_is_right_of_the_band_says_nothing_of_the_left_edge_over_seeds(told: Told) -> None:
    others = "0.12 u, 0.12 u 1, 0.3 u 2, 1.05 i, 1.05 i 1, 4 i 2, 18 i, 18 i 1, 30 c, 30 c 2"

    without, with_it = (envelope(told(text), THREE) for text in (others, f"1 c, {others}"))

    assert without is not None
    assert with_it is not None
    assert with_it.left.low == pytest.approx(without.left.low, rel=0.01)
    assert with_it.left.high == pytest.approx(without.left.high, rel=0.01)


def test_one_seed_that_was_trained_gives_no_confidence_however_many_there_are(
    told: Told,
) -> None:
    found = envelope(told("0.3 u, 0.32 i, 1 i, 7 i, 7.5 c"), THREE)

    assert found is not None
    assert (found.left.low, found.left.high, found.left.confidence) == (0.3, 0.32, None)


def test_several_seeds_have_an_interval_of_the_weight_that_half_of_them_passed(
    told: Told,
) -> None:
    seeds = "0.2 u, 0.3 u 1, 0.3 i 2, 0.4 i, 0.25 u 2, 1 i 1, 5 i 2, 7 c, 6 i 1, 9 c 2"

    found = envelope(told(seeds), THREE)

    assert found is not None
    for edge, half in ((found.left, 0.3), (found.right, 6.5)):
        assert edge.confidence == 0.9
        assert edge.low is not None
        assert edge.high is not None
        assert edge.at is not None
        assert edge.low < edge.at < edge.high
        assert edge.low < half < edge.high


def test_an_edge_has_a_width_where_a_training_has_passed_it_that_another_farther_on_has_not(
    told: Told,
) -> None:
    def widths(text: str) -> list[bool]:
        found = envelope(told(text), THREE)
        assert found is not None
        return [edge.width is not None for edge in (found.left, found.right)]

    left, right = "0.2 u, 0.3 u 1, 0.32 i 2, 0.4 i", "6 i 1, 6.5 i, 7 c 2, 8 c"

    assert widths(f"{left}, 1 i, {right}") == [False, False]
    assert widths(f"{left}, 0.3 i, 1 i, {right}") == [True, False]
    assert widths(f"{left}, 1 i, {right}, 7.5 i 1") == [False, True]
    # A dead decoder left of the band says nothing of the left edge.
    assert widths(f"{left}, 0.31 c, 1 i, 2 i, 3 i 1, {right}") == [False, False]


def test_more_seeds_that_agree_narrow_an_interval(told: Told) -> None:
    once = "0.3 u, 0.33 i, 1 i, 7 i, 7.7 c"
    again = ", ".join(f"{part} {seed}" for seed in (1, 2) for part in once.split(", "))

    few, many = (envelope(told(text), THREE) for text in (f"{once}, 1 i 1", f"{once}, {again}"))

    assert few is not None
    assert many is not None
    for side in ("left", "right"):
        wide, narrow = getattr(few, side), getattr(many, side)
        assert narrow.high / narrow.low < 0.8 * wide.high / wide.low


def test_an_edge_that_one_seed_has_tried_is_known_less_closely_than_one_that_many_have(
    told: Told,
) -> None:
    # Seeds differ over both edges alike; five of the six were only tried at the right one.
    left = ", ".join(f"{0.25 * 1.08**n} {v} 0" for n, v in enumerate("uuiuii"))
    right = ", ".join(f"{7 * 1.08**n} {v} {n}" for n, v in enumerate("iicicc"))

    found = envelope(told(f"0.1 u, {left}, 1 i 1, {right}, 20 c"), SIX)

    assert found is not None
    few, many = (
        math.log((edge.high or 100) / (edge.low or 0.01)) for edge in (found.left, found.right)
    )
    assert few > 1.3 * many


def test_without_a_training_inside_there_is_no_band(told: Told) -> None:
    assert envelope([], THREE) is None
    assert envelope(told("0.3 u, 0.32 f 1, 7 c"), THREE) is None


def test_a_training_inside_is_overruled_by_others(told: Told) -> None:
    history = told("1 u, 1.05 u, 1.05 u 1, 1.05 i 2, 1.1 u 1, 1.15 c, 1.15 c 1, 1.2 c 2")

    assert envelope(history, THREE) is None


def test_an_edge_beyond_the_search_is_said_to_be_and_needs_no_more_trainings(told: Told) -> None:
    found = envelope(told("0.01 i, 0.01 i 1, 0.011 i 2, 1 i, 7 i, 7.5 c, 100 c"), THREE)

    assert found is not None
    assert (found.left.low, found.left.high) == (None, 0.01)
    assert is_done(found.left, THREE)
    assert not is_known(found.left, THREE)


def test_one_seed_that_is_inside_at_the_end_of_the_search_needs_no_more_trainings_there(
    told: Told,
) -> None:
    inside = envelope(told("0.01 i, 1 i, 7 i, 7.5 c"), ONE)
    near = envelope(told("0.0101 i, 1 i, 7 i, 7.5 c"), ONE)
    high = envelope(told("0.3 u, 0.32 i, 100 i"), ONE)

    assert inside is not None
    assert (inside.left.low, inside.left.high) == (None, 0.01)
    assert is_done(inside.left, ONE)
    assert not is_done(inside.left, THREE)  # the other seeds have not been asked
    assert near is not None
    assert not is_done(near.left, ONE)
    assert high is not None
    assert is_done(high.right, ONE)


@pytest.mark.parametrize(
    ("edge", "known"),
    [
        (edge(1.0, 1.1), True),
        (edge(1.0, 1.11), False),
        (edge(None, 1.0), False),
        (edge(1.0, None), False),
        (edge(1.0, 1.8, width=0.1), True),  # 19 ** (2 widths) = 1.802
        (edge(1.0, 1.81, width=0.1), False),
        (edge(1.0, 1.1, width=0.01), True),
    ],
)
def test_an_edge_is_known_as_finely_as_is_wanted_or_as_seeds_allow(
    edge: Edge, known: bool
) -> None:
    assert is_known(edge, ONE) is known
    assert is_done(edge, ONE) is known
