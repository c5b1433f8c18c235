from collections.abc import Callable

import pytest

from polar.ranges import Search
from polar.ranges.belief import believe
from polar.ranges.edges import envelope_of
from polar.ranges.gaps import doubtful, gap_odds, intervals_of
from polar.ranges.votes import trainings_of, votes_of
from polar.records.ranges import Interval, Observation

Told = Callable[..., list[Observation]]
SEEDS = (0, 1, 2)
# Three seeds that agree at each weight.
BAND = ", ".join(
    f"{weight} {verdict} {seed}"
    for verdict, weights in (
        ("u", (0.25, 0.28, 0.3)),
        ("i", (0.32, 0.35, 1, 6, 7)),
        ("c", (7.5, 8, 9)),
    )
    for weight in weights
    for seed in SEEDS
)


def look(
    history: list[Observation], seeds: tuple[int, ...]
) -> tuple[tuple[Interval, ...], list[float]]:
    search = Search(low=0.01, high=100, seeds=seeds)
    votes = votes_of(trainings_of(history), 2000, "clean")
    belief = believe(votes, search)
    envelope = envelope_of(votes, belief, search)
    assert envelope is not None
    odds = gap_odds(votes, belief, seeds=len(seeds))
    return intervals_of(envelope, odds), doubtful(odds, votes)


@pytest.mark.parametrize("between", ["f", "u", "c"])
def test_a_wide_gap_of_a_single_seed_makes_two_intervals(told: Told, between: str) -> None:
    text = f"0.3 u, 0.32 i, 1 i, 1.05 {between}, 2 {between}, 2.1 i, 7 i, 7.5 c"

    (first, second), _ = look(told(text), (0,))

    assert (first.left.low, first.left.high) == (0.3, 0.32)
    assert (first.right.low, first.right.high) == (1.0, 1.05)
    assert (second.left.low, second.left.high) == (2.0, 2.1)
    assert (second.right.low, second.right.high) == (7.0, 7.5)
    assert first.right.confidence is None


def test_a_gap_below_a_factor_of_five_quarters_is_closed(told: Told) -> None:
    # From sqrt(1 * 1.02) to sqrt(1.22 * 1.24) is 1.218, to sqrt(1.28 * 1.3) 1.277.
    text = "0.3 u, 0.32 i, 1 i, 1.02 f, {}, 7 i, 7.5 c"

    narrow, _ = look(told(text.format("1.22 f, 1.24 i")), (0,))
    wide, _ = look(told(text.format("1.28 f, 1.3 i")), (0,))

    assert (len(narrow), len(wide)) == (1, 2)


def test_of_several_seeds_one_dissent_is_in_doubt_and_two_make_a_gap(told: Told) -> None:
    one, doubted = look(told(f"{BAND}, 1.5 f, 2 i, 2.2 i 1"), SEEDS)
    two, _ = look(told(f"{BAND}, 1.5 f, 1.5 f 1, 2 i, 2.2 i 1"), SEEDS)

    assert (len(one), doubted) == (1, [1.5])
    assert len(two) == 2


def test_a_seed_that_agrees_with_the_band_settles_a_doubt(told: Told) -> None:
    band, doubts = look(told(f"{BAND}, 1.5 f, 1.5 i 1, 2 i"), SEEDS)

    assert (len(band), doubts) == (1, [])


def test_verdicts_that_differ_beside_an_edge_make_no_gap(told: Told) -> None:
    text = (
        "0.2 u, 0.25 u 1, 0.3 i 2, 0.3 u, 0.4 u 1, 0.4 i, 0.5 u 2, 0.5 i, 0.9 i 1, 3 i, 7 c, 7 c 1"
    )

    band, _ = look(told(text), SEEDS)

    assert len(band) == 1
