import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import isotonic_regression

from polar.figures.line_ends import spread


@settings(deadline=None)  # other processes may have the machine
@given(ends=st.lists(st.floats(0, 1), min_size=1, max_size=16).map(sorted))
def test_spread_heights_keep_their_order_distance_and_range(ends: list[float]) -> None:
    heights = spread(np.array(ends), gap=1 / 16, top=1.0)

    rounding = 1e-12
    assert heights.min() >= -rounding
    assert heights.max() <= 1 + rounding
    assert (np.diff(heights) >= 1 / 16 - rounding).all()


@settings(deadline=None)
@given(ends=st.lists(st.floats(10, 11), min_size=1, max_size=16).map(sorted))
def test_spread_heights_are_the_nearest_in_squares(ends: list[float]) -> None:
    heights = spread(np.array(ends), gap=0.1, top=100.0)

    offsets = 0.1 * np.arange(len(ends))
    nearest = isotonic_regression(np.array(ends) - offsets).x + offsets
    assert heights == pytest.approx(nearest, abs=1e-10)  # rounding


def test_heights_far_enough_apart_stay_where_they_are() -> None:
    heights = spread(np.array([0.1, 0.5, 0.9]), gap=0.1, top=1.0)

    assert heights == pytest.approx([0.1, 0.5, 0.9], abs=1e-12)  # rounding


def test_close_heights_move_apart_about_their_middle() -> None:
    heights = spread(np.array([0.5, 0.5]), gap=0.1, top=1.0)

    assert heights == pytest.approx([0.45, 0.55], abs=1e-12)  # rounding
