"""Images that carry most of the scale of codes without a variance."""

import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polar.regime.codes import codes
from polar.regime.outliers import about_the_scale

N = 400
MEAN = np.random.default_rng(0).normal(size=(N, 4)) * [1.0, 1.0, 0.01, 0.01]


def with_outliers(size: float, images: int = 1) -> np.ndarray:
    mean = MEAN.copy()
    mean[7 : 7 + images, 1] = size
    return mean


def test_usual_codes_have_no_such_image() -> None:
    assert about_the_scale(codes(MEAN), "scaled") == ""


@pytest.mark.parametrize("size", [1e3, -1e3, 1e38, 1e150])
def test_an_image_far_out_is_named_with_both_scales(size: float) -> None:
    said = about_the_scale(codes(with_outliers(size)), "scaled")

    assert said.startswith("4 images of 400, those farthest out such as image 7, carry most")
    without, whole = re.findall(r"is (\S+) instead of (\S+), ", said)[0]
    # three of the Gaussian images are left out as well
    assert 0.9 < float(without) < 1.05
    # one of n numbers differs, by the size
    assert float(whole) == pytest.approx(abs(size) * math.sqrt(N - 1) / N, rel=0.005)


def test_a_set_of_few_images_leaves_one_out() -> None:
    said = about_the_scale(codes(with_outliers(1e3)[:50]), "scaled")

    assert said.startswith("1 image of 50, those farthest out such as image 7, carries most")


def test_an_image_that_alone_differs_leaves_constant_latents() -> None:
    mean = np.full((50, 2), 3.0)
    mean[4] = 5.0

    said = about_the_scale(codes(mean), "scaled")

    assert "such as image 4" in said
    assert "the largest std of a latent is 0 instead of 0.28." in said


def test_more_images_than_a_few_are_a_group_and_no_outliers() -> None:
    assert about_the_scale(codes(with_outliers(1e3, images=40)), "scaled") == ""


def test_only_codes_that_set_their_own_scale_have_such_images() -> None:
    mean = with_outliers(1e3)

    assert about_the_scale(codes(mean), "absolute") == ""
    assert about_the_scale(codes(mean, np.ones_like(mean)), "scaled") == ""
    assert about_the_scale(codes(np.full((50, 2), 3.0)), "scaled") == ""


@settings(deadline=None, max_examples=30)
@given(scale=st.floats(1e-100, 1e100), shift=st.floats(-10, 10), size=st.floats(0, 1e3))
def test_what_is_said_does_not_depend_on_scale_and_place(
    scale: float, shift: float, size: float
) -> None:
    mean = with_outliers(size)

    is_said = bool(about_the_scale(codes(mean), "scaled"))
    is_said_moved = bool(about_the_scale(codes(scale * (mean + shift)), "scaled"))

    shrinks = mean.std(0).max() / np.delete(mean, [7], 0).std(0).max()
    assert is_said == is_said_moved
    if not 1.7 < shrinks < 2.2:  # three more images are left out, which hardly matters
        assert is_said == (shrinks > 2)
