"""The values of one searched field."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from polar.spec import Axis


@given(
    low=st.floats(1e-6, 1e3),
    factor=st.floats(1.001, 1e9),
    points=st.integers(min_value=2, max_value=50),
)
def test_every_point_of_a_grid_lies_between_its_ends(
    low: float, factor: float, points: int
) -> None:
    made = Axis(log_uniform=(low, low * factor), points=points).grid

    assert len(made) == points
    assert (made[0], made[-1]) == (low, low * factor)
    assert list(made) == sorted(made)


@pytest.mark.parametrize(
    ("axis", "ends", "size", "grid"),
    [
        ({"log_uniform": [1, 100]}, (1, 100), None, (1, 100)),
        ({"uniform": [0, 1], "points": 5}, (0, 1), 5, (0, 0.25, 0.5, 0.75, 1)),
        ({"integer": [-1, 2]}, (-1, 2), 4, (-1, 0, 1, 2)),
        ({"choices": ["b", 1, "a"]}, ("b", 1, "a"), 3, ("b", 1, "a")),
        ({"fixed": False}, (False,), 1, (False,)),
    ],
)
def test_an_axis_of_each_kind_has_ends_a_size_and_a_grid(
    axis: dict[str, Any], ends: tuple[object, ...], size: int | None, grid: tuple[object, ...]
) -> None:
    made = Axis.model_validate(axis)

    assert (made.ends, made.size, made.grid) == (ends, size, grid)
    assert made.is_continuous == ("uniform" in "".join(axis))


@pytest.mark.parametrize(
    ("axis", "words"),
    [
        ({}, "here: none"),
        ({"fixed": 1, "choices": [1]}, "here: choices, fixed"),
        ({"integer": [1, 3], "points": 3}, "points are of"),
        ({"uniform": [1, 1]}, "the first end must be below the second"),
        ({"log_uniform": [1e-38, 1]}, "it starts at 1e-37 or above"),
        ({"choices": [1, 1.0]}, "listed twice"),
        ({"fixed": 1e39}, "larger than any field allows"),
        ({"uniform": [0, 1], "points": 1}, "greater than or equal to 2"),
        ({"integer": [0, 10**15 + 1]}, "less than or equal to 1000000000000000"),
    ],
)
def test_what_is_no_axis_is_refused_with_the_reason(axis: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Axis.model_validate(axis)

    assert words in str(caught.value)
