import math
from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit

from polar.ranges import Search
from polar.ranges.belief import LAPSE, SPREAD, Belief, EdgeBelief, believe, widths_of
from polar.ranges.votes import Side, Vote, trainings_of, votes_of
from polar.records.latents import Regime
from polar.records.ranges import Observation

Told = Callable[..., list[Observation]]
SEEDS = tuple(range(20))
SEARCH = Search(low=0.01, high=100, seeds=SEEDS)

votes = st.lists(
    st.builds(
        Vote,
        weight=st.sampled_from([0.1, 0.1 * (1 + 1e-12), 0.5, 1.0, 3.3, 10.0]) | st.floats(0.1, 10),
        seed=st.integers(0, 3),
        side=st.sampled_from(Side),
        right=st.floats(0, 1),
    ),
    max_size=30,
)


def belief_of(history: list[Observation], search: Search = SEARCH) -> Belief:
    return believe(votes_of(trainings_of(history), 2000, "clean"), search)


def seeds_at(weight: float, verdicts: str) -> str:
    return ", ".join(f"{weight} {verdict} {seed}" for seed, verdict in enumerate(verdicts))


def test_the_posterior_is_that_of_bayes_counted_out(told: Told) -> None:
    # By the definition: for each place and width the product of the chances of all verdicts.
    search = Search(low=1, high=math.e, factor=math.e, seeds=(0, 1))
    history = told("1.2 u, 1.5 i, 1.5 u 1, 2.5 c")
    past = {1.2: [False], 1.5: [True, False]}  # right of the band, nothing shows of the left edge
    places = [-math.inf, 0.125, 0.375, 0.625, 0.875, math.inf]
    prior = [0.1, 0.25, 0.25, 0.25, 0.25, 0.1]
    widths = widths_of(search)
    expected = np.zeros((6, len(widths)))
    for (row, place), (column, width) in product(enumerate(places), enumerate(widths)):
        expected[row, column] = prior[row]
        for weight, verdicts in past.items():
            distance = (math.log(weight) - place) / width
            chance = 0.0 if distance < -700 else 1 / (1 + math.exp(-distance))
            by_edge = math.prod(chance if has_passed else 1 - chance for has_passed in verdicts)
            by_lapse = 0.5 ** len(verdicts)
            expected[row, column] *= (1 - LAPSE) * by_edge + LAPSE * by_lapse

    belief = belief_of(history, search)

    assert belief.left.mass == pytest.approx(expected / expected.sum(), abs=1e-12)


def test_without_trainings_the_edges_lie_anywhere_on_the_axis() -> None:
    belief = belief_of([])

    assert belief.left.mass == pytest.approx(belief.right.mass)
    assert belief.left.places[0] == pytest.approx(0.1 / 1.2)
    assert math.exp(belief.left.quantile(0.5)) == pytest.approx(1)
    assert belief.of_band() == pytest.approx(0.5)


def test_an_edge_is_where_half_of_the_seeds_have_passed_it(told: Told) -> None:
    seeds = [seeds_at(0.5, "u" * 18 + "ii"), seeds_at(1, "ui" * 10), seeds_at(2, "i" * 18 + "uu")]

    belief = belief_of(told(", ".join(seeds)))

    assert belief.left.quantile(0.5) == pytest.approx(0, abs=0.02)
    # 18 of 20 have passed at ln 2: expit(ln 2 / s) = 0.9 at s = 0.315
    nearest = min(widths_of(SEARCH), key=lambda width: abs(math.log(width / 0.315)))
    assert belief.left.width == nearest


def test_an_edge_over_which_seeds_agree_is_sharp_and_one_over_which_they_do_not_is_wide(
    told: Told,
) -> None:
    agree = ", ".join(seeds_at(at, v * 5) for at, v in ((0.9, "u"), (0.95, "u"), (1, "i")))
    differ = ", ".join([seeds_at(0.7, "uuiui"), seeds_at(1.0, "iuiiu"), seeds_at(1.5, "iuiii")])

    sharp, wide = (belief_of(told(f"0.1 u, {seeds}, 3 i")).left for seeds in (agree, differ))

    assert sharp.width <= 0.04
    assert wide.width >= 0.16
    assert wide.quantile(0.95) - wide.quantile(0.05) > 4 * (
        sharp.quantile(0.95) - sharp.quantile(0.05)
    )


def test_one_verdict_far_from_an_edge_widens_it_little(told: Told) -> None:
    verdicts = ((0.9, "u"), (0.95, "u"), (1, "i"), (1.05, "i"), (3, "i"))
    seeds = ", ".join(seeds_at(at, v * 3) for at, v in verdicts)

    before, after = (belief_of(told(text)).left for text in (seeds, f"{seeds}, 30 u 19"))

    assert after.quantile(0.95) - after.quantile(0.05) < 2 * (
        before.quantile(0.95) - before.quantile(0.05)
    )
    assert after.width <= 0.04


def test_the_side_of_a_forming_space_shows_in_its_active_latents() -> None:
    few, many = (
        belief_of(
            [
                Observation(
                    weight=1,
                    seed=0,
                    steps=2000,
                    regime=Regime.FORMING,
                    n_active=n,
                    n_passive=16 - n,
                )
            ]
        )
        for n in (2, 14)
    )

    # With few it has probably passed the right edge, with many not yet the left edge.
    assert few.right.quantile(0.5) < -1 < 1 < many.right.quantile(0.5)
    assert few.left.quantile(0.5) < 1 < many.left.quantile(0.5)


def test_the_posterior_of_a_space_on_either_side_is_that_of_bayes_counted_out() -> None:
    # With chance 0.8 it has passed the right edge; otherwise neither edge, and without other
    # trainings half of the places of the other edge allow either.
    search = Search(low=1, high=math.e, factor=math.e, seeds=(0, 1))
    belief = believe([Vote(weight=1.6, seed=0, side=Side.OUTSIDE, right=0.8)], search)
    places = [-math.inf, 0.125, 0.375, 0.625, 0.875, math.inf]
    widths = widths_of(search)
    distances = (math.log(1.6) - np.array(places))[:, None] / widths
    prior = np.array([0.1, 0.25, 0.25, 0.25, 0.25, 0.1])[:, None] / len(widths) / 1.2
    past_other = float((prior * expit(distances)).sum())

    for edge, if_passed, if_not in (
        (belief.right, 0.8, 0.2 * (1 - past_other)),
        (belief.left, 0.8 * past_other, 0.8 * past_other + 0.2 * (1 - past_other)),
    ):
        by_edge = if_passed * expit(distances) + if_not * expit(-distances)
        expected = prior * ((1 - LAPSE) * by_edge + LAPSE * (if_passed + if_not) / 2)
        assert edge.mass == pytest.approx(expected / expected.sum(), abs=1e-12)


@pytest.mark.parametrize("active", [2, 8, 14])
def test_the_side_of_a_forming_space_shows_even_more_in_its_neighbours(
    told: Told, active: int
) -> None:
    history = [
        *told("0.5 i, 1 i 1, 2 i 2"),
        *(
            Observation(
                weight=weight,
                seed=3,
                steps=2000,
                regime=Regime.FORMING,
                n_active=active,
                n_passive=16 - active,
            )
            for weight in (0.05, 20)
        ),
    ]

    belief = belief_of(history)

    assert math.log(0.05) < belief.left.quantile(0.1) < belief.left.quantile(0.9) < math.log(0.6)
    assert math.log(1.7) < belief.right.quantile(0.1) < belief.right.quantile(0.9) < math.log(20)


def test_a_single_seed_is_taken_to_repeat_itself(told: Told) -> None:
    one, many = (
        belief_of(told("0.9 u, 1 i"), Search(low=0.01, high=100, seeds=seeds)).left
        for seeds in ((0,), (0, 1))
    )

    assert one.widths.tolist() == [many.widths[0] / 2]
    assert one.quantile(0.95) - one.quantile(0.05) < many.quantile(0.95) - many.quantile(0.05)
    assert math.exp(one.quantile(0.05)) >= 0.9 * 0.98
    assert math.exp(one.quantile(0.95)) <= 1.02


def test_the_belief_does_not_depend_on_how_finely_the_axis_is_cut(
    told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = told("0.3 u, 0.5 i, 0.4 u 1, 4 i, 7 i 1, 6 c 2")

    coarse = belief_of(history)
    monkeypatch.setattr("polar.ranges.belief.PARTS", 20)
    fine = belief_of(history)

    for side in ("left", "right"):
        for chance in (0.05, 0.5, 0.95):
            places = [getattr(belief, side).quantile(chance) for belief in (coarse, fine)]
            assert places[0] == pytest.approx(places[1], abs=0.024)  # a cell of the coarse belief


@pytest.mark.parametrize("factor", [1.01, 1.1, 1.5])
def test_the_narrowest_edge_spreads_over_what_is_wanted_and_the_widest_over_a_factor_of_20(
    factor: float,
) -> None:
    widths = widths_of(Search(low=0.01, high=100, factor=factor, seeds=(0, 1)))

    assert math.exp(SPREAD * widths[0]) == pytest.approx(factor)
    # One seed in twenty has passed half of the spread before the edge.
    assert 1 / (1 + math.exp(SPREAD / 2)) == pytest.approx(1 / 20)
    assert 18 < math.exp(SPREAD * widths[-1]) < 20**2
    assert widths[1:] == pytest.approx(2 * widths[:-1])


def test_the_edge_over_all_seeds_is_known_less_closely_the_fewer_were_tried() -> None:
    bounds = np.linspace(-4, 4, 401)
    mass = np.zeros((402, 1))
    mass[200:202] = 0.5
    edge = EdgeBelief(bounds, np.array([0.2]), mass)

    spreads = []
    for tried in (2.0, 8.0, 800.0):
        wider = edge.over_all_seeds(np.array([tried]))
        assert wider.mass.sum() == pytest.approx(1)
        middles = (bounds[1:] + bounds[:-1]) / 2
        spreads.append(float((wider.mass[1:-1, 0] * middles**2).sum()))

    # A logistic has the variance pi^2 s^2 / 3, half of which goes with the seeds; the variance of
    # the two places before is 0.01^2.
    expected = [0.5 * math.pi**2 * 0.2**2 / 3 / tried + 0.01**2 for tried in (2, 8)]
    assert spreads[:2] == pytest.approx(expected, rel=1e-3)
    assert spreads[2] < 0.0002


def test_seeds_count_at_an_edge_by_what_they_say_of_it() -> None:
    bounds = np.linspace(-4, 4, 401)
    mass = np.zeros((402, 2))
    mass[200:202] = 0.25
    edge = EdgeBelief(bounds, np.array([0.1, 0.4]), mass)

    def tried(*votes: tuple[float, int]) -> list[float]:
        told = [Vote(math.exp(at), seed, Side.INSIDE, 0.5) for at, seed in votes]
        return edge.seeds_of(told).tolist()

    assert tried() == [1, 1]
    assert tried((0, 0), (0, 0)) == pytest.approx([1, 1])
    assert tried((0, 0), (0, 1), (0, 2)) == pytest.approx([3, 3])
    assert tried((-0.01, 0), (0.01, 1)) == pytest.approx([2, 2])
    # A seed that was tried far away says nothing, and one that was tried twice counts for more.
    assert tried((0, 0), (3, 1), (-3, 2)) == pytest.approx([1, 1], abs=0.01)
    assert tried((0, 0), (0, 0), (0, 1)) == pytest.approx([9 / 5, 9 / 5])
    # A weight at four widths of the narrow edge is at one of the wide.
    counts = [expit(at) * expit(-at) / 0.25 for at in (4.0, 1.0)]
    expected = [(1 + count) ** 2 / (1 + count**2) for count in counts]
    assert tried((0, 0), (0.4, 1)) == pytest.approx(expected, rel=0.02)


def test_mass_beyond_the_search_stays_there_and_more_may_lie_there_over_all_seeds() -> None:
    bounds = np.linspace(0, 1, 11)
    mass = np.zeros((12, 1))
    mass[[0, 1, 11], 0] = 0.2, 0.7, 0.1
    wider = EdgeBelief(bounds, np.array([0.1]), mass).over_all_seeds(np.array([3.0]))

    # The first cell leaves the search where it moves by a cell at least.
    scale = math.pi * 0.1 * math.sqrt(0.5 / 3 / 3)
    chances = [math.exp(-((0.1 * cells / scale) ** 2) / 2) for cells in range(-10, 11)]
    assert wider.mass.sum() == pytest.approx(1)
    assert wider.places[0] == pytest.approx(0.2 + 0.7 * sum(chances[:10]) / sum(chances))
    assert wider.places[-1] == pytest.approx(0.1)


@given(votes, st.sampled_from([(0,), (0, 1, 2)]))
def test_chances_are_finite_and_sum_to_one_whatever_is_told(
    told: list[Vote], seeds: tuple[int, ...]
) -> None:
    belief = believe(told, Search(low=0.1, high=10, seeds=seeds))

    for edge in (belief.left, belief.right):
        assert edge.mass.sum() == pytest.approx(1)
        assert (edge.mass >= 0).all()
        assert edge.quantile(0.05) <= edge.quantile(0.5) <= edge.quantile(0.95)
    inside = belief.inside(np.array([0.1, 1.0, 10.0]))
    assert ((inside >= 0) & (inside <= 1)).all()
    assert 0 <= belief.of_band() <= 1
