from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polar.ranges import Search
from polar.ranges.belief import believe, observed_chances, true_chances
from polar.ranges.search import canonical
from polar.records.latents import Regime
from polar.records.ranges import Observation

Told = Callable[[str], list[Observation]]
ROUNDING = 1e-12

histories = st.lists(
    st.builds(
        Observation,
        weight=st.sampled_from([0.1, 0.1 * (1 + 1e-12), 0.5, 1.0, 3.3, 10.0]) | st.floats(0.1, 10),
        regime=st.sampled_from(Regime),
        n_active=st.integers(0, 16),
        n_passive=st.integers(0, 16),
    ),
    max_size=30,
)


def test_chances_of_verdicts_sum_to_one() -> None:
    assert true_chances().sum(0) == pytest.approx(np.ones(3), abs=ROUNDING)
    assert observed_chances(0.05).sum(0) == pytest.approx(np.ones(4), abs=ROUNDING)
    assert observed_chances(0.05)[0] == pytest.approx([0.95, *[0.05 / 3] * 3])


def test_the_posterior_is_that_of_bayes_counted_out(told: Told) -> None:
    # by the definition: for each pair of cells the product of the chances of all verdicts
    search = Search(low=1, high=8, factor=2, flip_rate=0.05)
    history = told("2 u, 4 p, 8 c")
    chances = observed_chances(0.05) @ true_chances()
    mass = [0.1, 1 / 3, 1 / 3, 1 / 3, 0.1]
    expected = np.zeros((5, 5))
    for left in range(5):
        for right in range(left, 5):
            prior = mass[left] * mass[right]
            prior = prior if left < right else prior / 2 + 0.1 * mass[left]
            regions = [0 if left > point else 1 if right > point else 2 for point in (1, 2, 3)]
            verdicts = [list(Regime).index(seen.regime) for seen in history]
            expected[left, right] = prior * chances[verdicts, regions].prod()

    belief = believe(history, (), search)

    assert belief.axis == pytest.approx([1, 2, 4, 8])
    assert belief.joint == pytest.approx(expected / expected.sum(), abs=ROUNDING)


def test_seeds_of_one_weight_outvote_each_other_but_say_no_more_than_the_weight(
    told: Told,
) -> None:
    # ten seeds that agree tell the weight's true verdict for sure, and that may still be a gap
    search = Search(low=1, high=8, factor=2, flip_rate=0.05)
    many = believe(told(", ".join(["2 f"] * 10)), (), search)

    in_band = many.in_band()[1]

    prior = believe((), (), search).in_band()[1]
    odds = prior / (1 - prior) * 0.002 / 0.2  # a gap in the band : forming beside it
    assert in_band == pytest.approx(odds / (1 + odds), rel=1e-6)


@given(histories, st.lists(st.floats(0.1, 10), max_size=5), st.sampled_from([0.0, 0.05, 0.5]))
def test_chances_are_finite_and_sum_to_one_whatever_is_told(
    history: list[Observation], in_flight: list[float], flip_rate: float
) -> None:
    belief = believe(canonical(history), in_flight, Search(low=0.1, high=10, flip_rate=flip_rate))

    assert belief.joint.sum() == pytest.approx(1)
    assert (belief.joint >= 0).all()
    assert ((belief.solid >= 0) & (belief.solid <= 1)).all()
    assert ((belief.in_band() >= 0) & (belief.in_band() <= 1)).all()


def test_points_in_flight_change_no_belief(told: Told) -> None:
    search = Search(low=0.1, high=10, flip_rate=0.05)
    history = told("0.2 u, 1 p, 5 c")

    without = believe(history, (), search)
    with_points = believe(history, [0.21, 3.0], search)

    places = np.isin(with_points.axis, without.axis)
    # merging the cells that a point divides must give the same belief
    assert with_points.in_band()[places] == pytest.approx(without.in_band(), abs=1e-9)


def test_the_side_of_a_forming_space_shows_in_its_active_latents() -> None:
    search = Search(low=0.1, high=10)
    few, many = (
        believe(
            [Observation(weight=1, regime=Regime.FORMING, n_active=n, n_passive=16 - n)],
            (),
            search,
        )
        for n in (2, 14)
    )

    left_of_one = few.axis < 1

    assert few.in_band()[left_of_one].sum() > many.in_band()[left_of_one].sum()
