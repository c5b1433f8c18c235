import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polar.regime.split import best_split

unhurried = settings(deadline=None)  # other processes may have the machine


def test_two_groups_are_split_between_them() -> None:
    split = best_split(np.array([1.5, 0.0, 1.7, 0.1]))

    assert split is not None
    assert (split.low_edge, split.high_edge, split.low_fraction) == (0.1, 1.5, 0.5)
    assert split.low_mean == pytest.approx(0.05)
    assert split.high_mean == pytest.approx(1.6)
    assert split.middle == pytest.approx(0.8)


def test_two_points_are_wholly_separable() -> None:
    split = best_split(np.array([0.0] * 9 + [1.0]))

    assert split is not None
    assert split.separability == pytest.approx(1.0)
    assert split.low_fraction == 0.9


def test_even_spacing_has_three_quarters_of_the_variance_between_the_halves() -> None:
    split = best_split(np.linspace(0, 1, 10_000))

    assert split is not None
    assert split.low_fraction == pytest.approx(0.5, abs=1e-3)
    assert split.separability == pytest.approx(0.75, abs=1e-6)  # 1 - 1 / n^2 of it


@pytest.mark.parametrize("values", [[], [1.0], [0.3, 0.3, 0.3]])
def test_what_is_all_alike_has_no_split(values: list[float]) -> None:
    assert best_split(np.array(values)) is None


@unhurried
@given(st.lists(st.integers(0, 20), min_size=2, max_size=9))
def test_no_other_split_has_more_variance_between_its_groups(values: list[int]) -> None:
    numbers = np.array(values, dtype=np.float64)
    split = best_split(numbers)

    def between(low: np.ndarray) -> float:
        apart = numbers[low].mean() - numbers[~low].mean()
        return float(low.mean() * (1 - low.mean()) * apart**2)

    masks = (np.array(mask) for mask in itertools.product([True, False], repeat=len(numbers)))
    most = max((between(mask) for mask in masks if mask.any() and not mask.all()), default=0.0)
    if split is None:
        assert most == 0
    else:
        # sums in another order differ in their last digits
        assert between(numbers <= split.low_edge) == pytest.approx(most, rel=1e-9)


def test_the_means_lie_within_their_groups_in_spite_of_rounding() -> None:
    split = best_split(np.array([0.0] * 7 + [2.4601387126021654]))

    assert split is not None
    assert (split.low_mean, split.high_mean) == (0.0, 2.4601387126021654)
