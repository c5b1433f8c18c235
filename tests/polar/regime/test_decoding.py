import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from polar.errors import InvalidInput
from polar.regime.decoding import Decoding, Explained, explained

unhurried = settings(deadline=None)  # other processes may have the machine
LOSSES = arrays("float64", 6, elements=st.floats(-1e3, 1e3))


def of(*values: float) -> np.ndarray:
    return np.array(values, dtype=np.float64)


def test_r_and_its_error_have_the_values_of_their_definition() -> None:
    # gains 4, 2, 2, 4 of explainable 4, 4, 8, 8: R = 3 / 6
    found = explained(of(6, 8, 10, 8), of(10, 10, 12, 12), of(6, 6, 4, 4))

    # residuals gain - R explainable: 2, 0, -2, 0, of variance 2
    assert found.part == 0.5
    assert found.se == pytest.approx(math.sqrt(2 / 4) / 6, rel=1e-15)


def test_a_perfect_decoder_explains_everything() -> None:
    floor = of(1, 2, 3)

    assert explained(floor, of(5, 9, 4), floor) == Explained(1.0, 0.0)


def test_the_mean_image_explains_nothing() -> None:
    mean_image = of(5, 9, 4)

    assert explained(mean_image, mean_image, of(1, 2, 3)) == Explained(0.0, 0.0)


def test_worse_than_the_mean_image_is_negative_and_not_clamped() -> None:
    assert explained(of(20, 20), of(10, 10), of(0, 0)).part == -1.0


def test_rounding_cannot_lift_r_above_one() -> None:
    assert explained(of(0.999999, 2), of(5, 9), of(1, 2)).part == 1.0


def test_the_baseline_of_each_u_is_subtracted() -> None:
    # The model draws the mean image of each u: above the common mean image, nothing besides u.
    of_each_u, of_all = of(4, 4, 8, 8), of(9, 9, 9, 9)

    assert explained(of_each_u, of_each_u, of(0, 0, 0, 0)).part == 0.0
    assert explained(of_each_u, of_all, of(0, 0, 0, 0)).part == pytest.approx(1 / 3)


def test_the_error_is_the_one_that_resampled_images_have() -> None:
    rng = np.random.default_rng(0)
    explainable = rng.uniform(50, 150, 400)
    loss = 200 - explainable * rng.uniform(0.2, 0.8, 400) + rng.normal(0, 5, 400)
    mean_image, floor = np.full(400, 200.0), 200 - explainable

    found = explained(loss, mean_image, floor)

    rows = rng.integers(0, 400, (2000, 400))
    resampled = [explained(loss[row], mean_image[row], floor[row]).part for row in rows]
    # 2,000 resamples know a std to 1.6 %
    assert found.se == pytest.approx(np.std(resampled), rel=0.05)


@pytest.mark.parametrize("floor", [100.0, 100.00001, 99.99999])
def test_where_all_images_are_alike_nothing_is_explained(floor: float) -> None:
    assert explained(of(100), of(100), of(floor)) == Explained(0.0, 0.0)


def test_black_images_explain_nothing() -> None:
    assert explained(of(0, 0), of(0, 0), of(0, 0)) == Explained(0.0, 0.0)


def test_a_floor_above_the_mean_image_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"floor is 200.0 nats .*; allowed: at most the 100.0"):
        explained(of(150), of(100), of(200))


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("name", ["loss", "mean_image", "floor"])
def test_a_loss_that_is_not_finite_is_refused(name: str, bad: float) -> None:
    losses = {"loss": of(150, 150), "mean_image": of(200, 200), "floor": of(100, 100)}
    losses[name][1] = bad

    with pytest.raises(InvalidInput, match=f"^{name} .* not finite; allowed: finite"):
        explained(**losses)


@unhurried
@given(loss=LOSSES, floor=LOSSES, explainable=arrays("float64", 6, elements=st.floats(0, 1e3)))
def test_r_is_at_most_one_and_its_error_is_finite(
    loss: np.ndarray, floor: np.ndarray, explainable: np.ndarray
) -> None:
    found = explained(np.maximum(loss, floor), floor + explainable, floor)

    assert math.isfinite(found.part)
    assert found.part <= 1
    assert 0 <= found.se < math.inf


@unhurried
@given(loss=LOSSES, shift=st.floats(-1e3, 1e3), factor=st.sampled_from([0.125, 4.0]))
def test_r_knows_neither_the_zero_nor_the_unit_of_the_loss(
    loss: np.ndarray, shift: float, factor: float
) -> None:
    mean_image, floor = np.full(6, 2000.0), np.full(6, -1500.0)

    one = explained(loss, mean_image, floor)
    other = explained(factor * loss + shift, factor * mean_image + shift, factor * floor + shift)

    # rounding of sums of a few thousand
    assert other.part == pytest.approx(one.part, abs=1e-12)
    assert other.se == pytest.approx(one.se, abs=1e-12)


@pytest.mark.parametrize(
    ("part", "se", "nothing"),
    [
        (0.05, 0.02, False),
        (0.0499, 0.0, True),
        (0.4, 0.2, True),  # not above 0 by two standard errors
        (0.4, 0.1999, False),
        (-0.3, 0.001, True),
    ],
)
def test_a_model_explains_nothing_below_a_twentieth_or_within_two_errors_of_zero(
    part: float, se: float, nothing: bool
) -> None:
    decoding = Decoding(
        reconstruction_nats=1.0,
        explained=Explained(part, se),
        explained_by_prior=None,
        carried_by_actives=0.97,
        usage_nats=(1.0,),
    )

    assert decoding.explains_nothing is nothing
    assert decoding.sufficiency == (None if nothing else 0.97)
