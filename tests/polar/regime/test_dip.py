import math
from itertools import pairwise

import numpy as np
import pytest

from benchmarks.dip_table import PROBABILITIES, SIZES, quantiles
from polar.errors import InvalidInput
from polar.regime.dip import TABLE, dip_of, dip_p_value, dip_test


@pytest.mark.parametrize("smaller", [1, 3, 8])
def test_the_dip_of_two_points_is_half_the_share_of_the_smaller(smaller: int) -> None:
    found = dip_of([0.0] * (16 - smaller) + [1.5] * smaller)

    assert found is not None
    assert found.dip == pytest.approx(smaller / 32)


def test_even_numbers_have_the_least_dip() -> None:
    dip, p_value = dip_test(np.linspace(0, 1, 50))

    assert dip == pytest.approx(1 / 100)  # 1 / 2n
    assert p_value > 0.99


@pytest.mark.parametrize("values", [[4.0, 5.0, 6.0, 7.0], [1.1, 1.2, 1.3, 1.4]])
def test_rounding_is_no_evidence(values: list[float]) -> None:
    found = dip_of(values)

    assert found is not None
    assert found.p_value == 1.0


@pytest.mark.parametrize(("m", "smallest"), [(4, 2), (8, 3), (16, 4), (32, 6)])
def test_the_smallest_group_that_can_be_seen_is_said(m: int, smallest: int) -> None:
    just = dip_of([0.0] * (m - smallest) + [1.5] * smallest)
    less = dip_of([0.0] * (m - smallest + 1) + [1.5] * (smallest - 1))

    assert just is not None
    assert less is not None
    assert just.smallest_group == smallest
    assert just.p_value < 0.05 <= less.p_value


def test_more_values_than_the_table_has_are_tested_by_their_quantiles() -> None:
    even, two = np.linspace(0, 1, 100_000), np.repeat([0.0, 1.0], [75_000, 25_000])

    assert dip_test(even)[1] > 0.99
    # a quarter of 72,000, give or take one
    assert dip_test(np.random.default_rng(0).permutation(two))[0] == pytest.approx(0.125, abs=1e-5)


def test_two_clear_groups_are_evidence() -> None:
    rng = np.random.default_rng(0)

    found = dip_of([*rng.uniform(0, 0.2, 10), *rng.uniform(1.3, 1.8, 6)])

    assert found is not None
    assert found.p_value < 0.01


def test_equal_entropies_are_no_evidence() -> None:
    found = dip_of([0.7] * 8)

    assert found is not None
    assert (found.dip, found.p_value) == (0.0, 1.0)


@pytest.mark.parametrize("m", [0, 1, 2, 3])
def test_fewer_than_four_latents_have_no_dip(m: int) -> None:
    assert dip_of([0.0, 1.0, 2.0][:m]) is None


def test_scale_and_shift_do_not_matter() -> None:
    values = np.random.default_rng(0).normal(size=64)

    # multiples of powers of two are exact, sums are not
    assert dip_test(8 * values) == dip_test(values)
    assert dip_test(values + 3)[0] == pytest.approx(dip_test(values)[0], rel=1e-9)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_entropies_that_are_not_finite_are_refused(bad: float) -> None:
    with pytest.raises(InvalidInput, match="allowed: finite"):
        dip_of([0.0, 1.0, bad, 2.0])


@pytest.mark.parametrize(
    ("n", "rarer", "p_value"),
    [
        (8, 2, 0.2112),
        (16, 3, 0.2502),
        (16, 4, 0.0212),
        (32, 5, 0.1135),
        (32, 6, 0.0191),
        (128, 13, 0.0159),
        (1000, 35, 0.0393),
        (10_000, 110, 0.0454),
    ],
)
def test_p_values_are_those_of_another_simulation(n: int, rarer: int, p_value: float) -> None:
    """Those of the library diptest 0.12, which interpolates between other sizes and quantiles."""
    assert dip_p_value(rarer / (2 * n), n) == pytest.approx(p_value, abs=0.005)


def test_the_smallest_groups_are_those_of_another_simulation() -> None:
    """The first sizes at which one more latent is needed, by diptest 0.12."""
    smallest: dict[int, int] = {}
    for m in range(4, 65):
        found = dip_of([0.0] * m)
        assert found is not None
        assert found.smallest_group is not None
        smallest.setdefault(found.smallest_group, m)

    assert smallest == {2: 4, 3: 7, 4: 12, 5: 19, 6: 28, 7: 38, 8: 50, 9: 64}


def test_p_values_fall_from_one_to_zero() -> None:
    falling = [dip_p_value(dip, 50) for dip in np.linspace(0.005, 0.25, 200)]

    assert falling[0] == 1
    assert falling[-1] == 0
    assert all(more >= less for more, less in pairwise(falling))


def test_the_table_is_what_its_program_simulates() -> None:
    """One quantile, from fewer samples; 2,000 of them miss the middle by 0.005 or so."""
    lines = [line.split(",") for line in TABLE.read_text().splitlines()]
    row, median = 1 + SIZES.index(16), PROBABILITIES.index(0.5)

    assert [int(line[0]) for line in lines[1:]] == list(SIZES)
    assert [float(each) for each in lines[0][1:]] == list(PROBABILITIES)
    assert quantiles(16, 2000)[median] == pytest.approx(float(lines[row][1 + median]), abs=0.01)
