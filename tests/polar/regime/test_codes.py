import math
import re

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from polar.errors import InvalidInput
from polar.regime.codes import codes

ONES = np.ones((4, 3))
unhurried = settings(deadline=None)  # other processes may have the machine


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int64", "uint8"])
def test_numbers_of_any_kind_become_double_precision(dtype: str) -> None:
    of = codes(ONES.astype(dtype), ONES.astype(dtype))

    assert of.mean.dtype == np.float64
    assert of.variance is not None
    assert of.variance.dtype == np.float64


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32, torch.float64, torch.int32])
def test_tensors_become_arrays(dtype: torch.dtype) -> None:
    of = codes(torch.ones(4, 3, dtype=dtype, requires_grad=dtype.is_floating_point))

    np.testing.assert_array_equal(of.mean, ONES)
    assert of.mean.dtype == np.float64


@pytest.mark.parametrize("mean", [ONES.copy(), torch.ones(4, 3, dtype=torch.float64)])
def test_codes_do_not_change_with_the_array_they_came_from(
    mean: np.ndarray | torch.Tensor,
) -> None:
    of = codes(mean)

    mean[0, 0] = 7

    np.testing.assert_array_equal(of.mean, ONES)


def test_codes_relative_to_a_standard_prior_are_the_codes() -> None:
    of = codes(ONES, ONES)

    assert of.relative_to_prior() is of


def test_codes_relative_to_a_conditional_prior_are_in_its_units() -> None:
    of = codes(5 * ONES, 2 * ONES, prior_mean=ONES, prior_variance=4 * ONES).relative_to_prior()

    np.testing.assert_array_equal(of.mean, 2 * ONES)
    np.testing.assert_array_equal(of.variance, 0.5 * ONES)
    assert of.prior_mean is None


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (3,), (2, 2, 2), ()])
def test_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidInput, match=re.escape(f"mean of shape {shape}; allowed: (n, m)")):
        codes(np.zeros(shape))


def test_shapes_that_differ_are_refused_with_all_of_them() -> None:
    with pytest.raises(InvalidInput, match=r"'mean': \(4, 3\), 'variance': \(3, 4\)"):
        codes(ONES, ONES.reshape(3, 4))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e200])
@pytest.mark.parametrize("name", ["mean", "variance", "prior_mean", "prior_variance"])
def test_a_value_that_is_not_finite_is_refused_with_its_place(name: str, bad: float) -> None:
    arrays = dict.fromkeys(["mean", "variance", "prior_mean", "prior_variance"], ONES)
    arrays[name] = ONES.copy()
    arrays[name][1:3, 2] = bad

    with pytest.raises(InvalidInput, match=rf"^{name} of latent 2 .* in 2 of 4 images.*image 1"):
        codes(**arrays)


@pytest.mark.parametrize("bad", [0.0, -1.0])
@pytest.mark.parametrize("name", ["variance", "prior_variance"])
def test_a_variance_that_is_not_positive_is_refused(name: str, bad: float) -> None:
    arrays = dict.fromkeys(["mean", "variance", "prior_mean", "prior_variance"], ONES)
    arrays[name] = bad * ONES

    with pytest.raises(InvalidInput, match=f"^{name} of latent 0 is 0 or negative in 4 of 4"):
        codes(**arrays)


@pytest.mark.parametrize("half", ["prior_mean", "prior_variance"])
def test_half_of_a_conditional_prior_is_refused(half: str) -> None:
    with pytest.raises(InvalidInput, match="half of a conditional prior"):
        codes(ONES, ONES, **{half: ONES})


def test_a_conditional_prior_of_a_deterministic_model_is_refused() -> None:
    with pytest.raises(InvalidInput, match="a conditional prior without a variance"):
        codes(ONES, prior_mean=ONES, prior_variance=ONES)


@pytest.mark.parametrize(
    "values",
    [ONES.astype(bool), ONES.astype(complex), np.full((2, 2), "a"), torch.ones(2, 2).bool()],
)
def test_values_that_are_not_real_numbers_are_refused(values: np.ndarray | torch.Tensor) -> None:
    with pytest.raises(InvalidInput, match=r"^mean of .*; allowed: real numbers"):
        codes(values)


@unhurried
@given(scale=st.floats(1e-3, 1e3), shift=st.floats(-10, 10))
def test_a_posterior_that_is_its_prior_is_standard_relative_to_it(
    scale: float, shift: float
) -> None:
    mean, variance = shift * ONES, scale * ONES

    of = codes(mean, variance, mean, variance).relative_to_prior()

    np.testing.assert_array_equal(of.mean, 0 * ONES)
    np.testing.assert_array_equal(of.variance, ONES)


def test_the_absolute_ruler_leaves_codes_as_they_are() -> None:
    of = codes(5 * ONES, 2 * ONES, prior_mean=ONES, prior_variance=4 * ONES)

    assert of.in_units_of("absolute") is of


def test_the_scaled_ruler_takes_variational_codes_relative_to_their_prior() -> None:
    of = codes(5 * ONES, 2 * ONES, prior_mean=ONES, prior_variance=4 * ONES)

    np.testing.assert_array_equal(of.in_units_of("scaled").mean, 2 * ONES)
    assert codes(ONES, ONES).in_units_of("scaled").mean is not None


def test_the_scaled_ruler_takes_codes_without_a_variance_in_units_of_the_widest_latent() -> None:
    wide, narrow, constant = np.array([-3.0, 3.0] * 10), np.array([1.0, 2.0] * 10), np.ones(20)

    scaled = codes(np.column_stack([wide, narrow, 0.1 * constant])).in_units_of("scaled").mean

    # rounding of one division
    assert scaled.std(axis=0) == pytest.approx([1.0, 0.5 / 3, 0.0], rel=1e-15)
    np.testing.assert_array_equal(scaled[0], 0)
    np.testing.assert_array_equal(scaled[:, 2], 0)


def test_other_codes_can_be_taken_in_the_same_unit() -> None:
    some, others = codes(np.array([[-2.0], [2.0]])), codes(np.array([[8.0], [-2.0], [0.0]]))

    scaled = others.in_units_of("scaled", like=some).mean

    np.testing.assert_array_equal(scaled, [[5.0], [0.0], [1.0]])


def test_codes_that_are_all_constant_have_no_unit_and_stay_constant() -> None:
    np.testing.assert_array_equal(codes(0.1 * ONES).in_units_of("scaled").mean, 0 * ONES)


def test_codes_beyond_all_units_of_others_are_refused() -> None:
    small, large = codes(1e-200 * np.arange(3.0)[:, None]), codes(1e140 * np.ones((2, 1)))

    with pytest.raises(InvalidInput, match="mean in units of the largest std of latent 0 is not"):
        large.in_units_of("scaled", like=small)


@unhurried
@given(exponent=st.integers(-1000, 490), constant=st.floats(-1, 1))
def test_a_power_of_two_changes_no_digit_of_the_scaled_codes(
    exponent: int, constant: float
) -> None:
    varied = np.random.default_rng(0).integers(-100, 100, (50, 2)) * [1.0, 0.25]
    mean = np.column_stack([varied, np.full(50, constant)])

    scaled = codes(np.ldexp(varied, exponent)).in_units_of("scaled").mean

    np.testing.assert_array_equal(scaled, codes(mean).in_units_of("scaled").mean[:, :2])


@unhurried
@given(
    size=st.floats(1e-30, 1e30),
    ulps=st.lists(st.integers(-4, 4), min_size=5, max_size=50),
    sign=st.sampled_from([-1, 1]),
)
def test_rounding_of_32_bit_codes_is_no_scale(size: float, ulps: list[int], sign: int) -> None:
    value = np.float32(sign * size)
    noisy = value + np.array(ulps) * np.spacing(value)

    of = codes(noisy.astype(np.float32)[:, None])

    assert of.is_constant.all()
    np.testing.assert_array_equal(of.in_units_of("scaled").mean, 0)


def test_a_latent_that_is_rounding_sets_no_scale_for_the_others() -> None:
    varied, far = np.array([-0.25, 0.25] * 10), 1e7 + np.array([0.0, 1.0] * 10)

    scaled = codes(np.column_stack([varied, far])).in_units_of("scaled").mean

    assert scaled.std(axis=0) == pytest.approx([1.0, 0.0])


def test_codes_that_vary_by_more_than_rounding_keep_their_scale() -> None:
    varied = 3 + 1e-5 * np.array([0.0, 1.0] * 10)

    of = codes(varied[:, None])

    assert not of.is_constant.any()
    assert of.in_units_of("scaled").mean.std() == pytest.approx(1)
