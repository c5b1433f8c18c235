import math
import re

import pytest
from pydantic import ValidationError

from polar.ranges import Search


def test_the_cells_of_an_axis_are_as_fine_as_wanted() -> None:
    decades = Search(low=0.01, high=100)
    exact = Search(low=1, high=16, factor=2)

    assert decades.cells == 97  # 4 / log10(1.1) = 96.6
    assert exact.cells == 4


@pytest.mark.parametrize(("low", "high"), [(1, 1), (2, 1)])
def test_a_search_without_length_is_refused(low: float, high: float) -> None:
    with pytest.raises(ValidationError, match=re.escape("allowed: low < high")):
        Search(low=low, high=high)


def test_a_search_of_too_many_cells_is_refused() -> None:
    with pytest.raises(ValidationError, match="9215 cells; allowed: at most 1000"):
        Search(low=0.01, high=100, factor=1.001)  # 9.2103 / 0.0009995 = 9214.9


def test_an_axis_may_be_longer_than_the_largest_float() -> None:
    assert Search(low=1e-300, high=1e300, factor=10).cells == 600


@pytest.mark.parametrize("low", [0, -1, math.nan, math.inf])
def test_a_log_axis_begins_above_zero(low: float) -> None:
    with pytest.raises(ValidationError):
        Search(low=low, high=100)


@pytest.mark.parametrize(
    ("max_steps", "budgets"),
    [
        (None, [2000]),
        (2000, [2000]),
        (8000, [2000, 4000, 8000]),
        (9000, [2000, 4000, 8000, 9000]),
        (3000, [2000, 3000]),
    ],
)
def test_budgets_double_up_to_the_last(max_steps: int | None, budgets: list[int]) -> None:
    search = Search(low=0.01, high=100, steps=2000, max_steps=max_steps)

    assert list(search.budgets) == budgets


def test_a_last_budget_below_the_first_is_refused() -> None:
    with pytest.raises(ValidationError, match="max_steps is 1999; allowed: at least steps"):
        Search(low=0.01, high=100, steps=2000, max_steps=1999)


@pytest.mark.parametrize(("seeds", "message"), [((), "at least 1"), ((1, 2, 1), "each seed once")])
def test_seeds_are_some_and_each_is_one_of_its_own(seeds: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Search(low=0.01, high=100, seeds=seeds)
