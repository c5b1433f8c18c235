"""Hartigan's dip against samples by hand, against an older library, and by its properties."""

from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from jaxtyping import Float64

from polar.regime.dip_statistic import dip_statistic

#: Whole numbers, so that shifts and scales are exact, and many values are equal.
VALUES = arrays(np.float64, st.integers(4, 40), elements=st.integers(-20, 20).map(float))

#: Each with the dip that the library diptest 0.12 computed of it.
RECORDED: dict[str, tuple[Float64[np.ndarray, " n"], float]] = {
    "uneven": (np.array([0.0, 1.0, 2.5, 3.0]), 0.15),
    "two pairs": (np.array([0.0, 0.1, 0.9, 1.0]), 0.2222222222222222),
    "many equal": (
        np.array([1.0, 1, 2, 2, 2, 3, 3, 7, 7, 7, 7, 8, 9, 9]),
        0.16666666666666669,
    ),
    "equal at both ends": (np.array([0.0, 0, 0, 1, 2, 3, 4, 4, 4]), 0.16666666666666666),
    "a sine": (np.sin(np.arange(1000)), 0.062159046783984595),
    "powers": (np.arange(1, 501) ** 1.5 % 97, 0.017862282222883736),
    "cubes": ((np.arange(2000) ** 3 % 1009).astype(float), 0.015869565217391312),
    "hardly any": (np.modf(np.arange(5000) * 0.6180339887498949)[0] ** 2, 0.00026400182994019945),
    "as many as are tested": (np.sin(np.arange(72_000.0) ** 1.1), 0.060577445799384955),
}


@pytest.mark.parametrize(
    ("values", "dip"),
    [
        ([3.0], 0),
        ([0.0, 1.0], 1 / 4),
        ([0.0, 1.0, 5.0], 1 / 6),
        ([0.0, 1.0, 2.0, 3.0], 1 / 8),
        ([0.0, 0.0, 1.0, 1.0], 1 / 4),
        ([0.0, 0.0, 0.0, 1.0, 9.0, 9.0], 2 / 12),
        ([2.0, 2.0, 2.0, 2.0], 0),
    ],
)
def test_the_dip_of_a_few_values_is_known(values: list[float], dip: float) -> None:
    assert dip_statistic(np.array(values)) == pytest.approx(dip, abs=1e-15)


@pytest.mark.parametrize("name", RECORDED)
def test_the_dip_is_that_of_another_implementation(name: str) -> None:
    values, dip = RECORDED[name]

    assert dip_statistic(values) == pytest.approx(dip, abs=1e-14)


@given(VALUES)
def test_the_dip_is_at_least_half_a_step_and_at_most_a_quarter(
    values: Float64[np.ndarray, " n"],
) -> None:
    least = 0 if np.ptp(values) == 0 else 1 / (2 * len(values))

    assert least <= dip_statistic(values) <= 0.25


@given(
    VALUES,
    st.sampled_from([-1.0, 0.5, 4.0]),
    st.integers(-9, 9),
    st.randoms(),
)
def test_order_place_scale_and_direction_do_not_matter(
    values: Float64[np.ndarray, " n"], scale: float, shift: int, random: Random
) -> None:
    other = (scale * values + shift).tolist()
    random.shuffle(other)

    assert dip_statistic(np.array(other)) == pytest.approx(dip_statistic(values), abs=1e-14)


@given(VALUES, st.integers(2, 5))
def test_a_unimodal_shape_has_the_least_dip(
    values: Float64[np.ndarray, " n"], steepness: int
) -> None:
    """Quantiles of a density that only falls, of which each step is wider than the last."""
    falling = np.arange(len(values), dtype=float) ** steepness

    assert dip_statistic(falling) == pytest.approx(1 / (2 * len(values)), abs=1e-15)
