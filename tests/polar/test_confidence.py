import pytest
from hypothesis import given
from hypothesis import strategies as st

from polar.confidence import half_width


def test_the_interval_of_two_values_is_students() -> None:
    # t of one degree of freedom is Cauchy's: 12.7062 at 97.5 %; s = sqrt(2), s / sqrt(2) = 1
    assert half_width([1.0, 3.0], confidence=0.95) == pytest.approx(12.706205, rel=1e-6)


def test_splits_of_the_same_images_widen_it() -> None:
    independent = half_width([0.0, 1.0, 2.0, 3.0], confidence=0.9)

    shared = half_width([0.0, 1.0, 2.0, 3.0], confidence=0.9, test_over_train=0.75)

    assert shared == pytest.approx(2 * independent, rel=1e-12)  # 1/4 + 3/4 is 4 times 1/4


@given(
    values=st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=20),
    confidence=st.floats(0.01, 0.99),
    shift=st.floats(-1e3, 1e3),
)
def test_it_is_not_negative_and_does_not_move_with_the_values(
    values: list[float], confidence: float, shift: float
) -> None:
    here = half_width(values, confidence=confidence)
    there = half_width([value + shift for value in values], confidence=confidence)

    assert here >= 0
    # rounding of values up to 1e6, times t, at most 70 here, which is that of 1 degree at 0.99
    assert there == pytest.approx(here, rel=1e-9, abs=1e-7)


def test_equal_values_have_no_width() -> None:
    assert half_width([0.5, 0.5, 0.5], confidence=0.95) == 0.0
