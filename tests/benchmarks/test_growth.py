"""Slopes and bends of costs that are known."""

import pytest

from benchmarks.growth import Growth

SIZES = (1, 10, 100, 1_000)


@pytest.mark.parametrize("power", [0.5, 1, 2])
def test_the_slope_of_a_power_is_the_power(power: float) -> None:
    growth = Growth("cost", "size", SIZES, [3 * size**power for size in SIZES], power)

    assert growth.slopes == pytest.approx([power] * 3)
    assert growth.bend is None


def test_a_fixed_cost_is_no_bend() -> None:
    growth = Growth("cost", "size", SIZES, [1 + size / 10 for size in SIZES])

    assert growth.slopes[0] < growth.slopes[-1] <= 1
    assert growth.bend is None


def test_a_cost_bends_where_a_larger_power_takes_over() -> None:
    growth = Growth("cost", "size", SIZES, [size + size**2 / 100 for size in SIZES])

    assert growth.bend == 10


def test_a_negligible_cost_does_not_bend() -> None:
    growth = Growth("cost", "size", SIZES, [1e-9 * size**2 for size in SIZES])

    assert growth.slopes == pytest.approx([2, 2, 2])
    assert growth.bend is None
