"""Whatever arrays `measure` is given, it returns finite numbers or refuses them with a reason."""

import json
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from polar.errors import InvalidInput, PolarError
from polar.measurement.measure import measure

RNG = np.random.default_rng(0)
MEAN = RNG.normal(size=(12, 3))
VARIANCE = RNG.uniform(0.1, 1.0, size=(12, 3))
ONE = np.zeros((12, 3), bool)
ONE[4, 2] = True

#: Where floats of some width end, or the kernel no longer sees anything.
EDGES = [
    *(0.0, -0.0, 1e-320, 1.4e-45, 1.2e-38, 1e-160, 1e-16, 1e-8, 65504.0),
    *(1e7, 4.9e14, 1e15, 3.4e38, 1e150, math.inf, math.nan),
]
edges = st.sampled_from(EDGES)
scales = st.sampled_from([1e-320, 1e-160, 1e-38, 1e-6, 0.1, 1.0, 3.0, 1e3, 1e6, 1e14, 1e38])


@st.composite
def hostile(draw: st.DrawFn, n: int, m: int, least: float) -> np.ndarray:
    """Numbers from `least` up to 3 on one scale or the usual one, and maybe an edge among them."""
    array: np.ndarray = draw(arrays.arrays(np.float64, (n, m), elements=st.floats(least, 3)))
    with np.errstate(all="ignore"):
        array = array * (draw(scales) if draw(st.integers(0, 3)) == 0 else 1.0)
    if draw(st.integers(0, 4)) == 0:
        array[draw(st.integers(0, n - 1)), draw(st.integers(0, m - 1))] = draw(edges)
    return array


@st.composite
def arguments(draw: st.DrawFn) -> dict[str, object]:
    n, m = draw(st.integers(3, 12)), draw(st.integers(1, 6))
    given: dict[str, object] = {"mean": draw(hostile(n, m, -3.0))}
    if draw(st.booleans()):
        given["variance"] = draw(hostile(n, m, 0.01))
        if draw(st.booleans()):
            given["prior_mean"] = draw(hostile(n, m, -3.0))
            given["prior_variance"] = draw(hostile(n, m, 0.01))
    if draw(st.booleans()):
        given["images"] = draw(hostile(n, 3, -3.0))
    if draw(st.booleans()):
        given["labels"] = draw(arrays.arrays(np.int64, n))
    if draw(st.booleans()):
        given["usage"] = draw(hostile(m, 1, -3.0))[:, 0]
    if draw(st.integers(0, 3)) == 0:
        given["sigma"] = draw(st.one_of(st.floats(1e-3, 1e3), edges))
    if draw(st.booleans()):
        given["ruler"] = draw(st.sampled_from(["scaled", "absolute"]))
    if draw(st.booleans()):
        given["tau_std"] = draw(edges)
    if draw(st.integers(0, 3)) == 0:
        given["renyi_alpha"] = draw(st.one_of(st.sampled_from([1.0, 2.0]), st.floats(0.5, 1100)))
    return given


def numbers_of(value: object) -> list[float]:
    if isinstance(value, dict):
        return [number for one in value.values() for number in numbers_of(one)]
    if isinstance(value, list):
        return [number for one in value for number in numbers_of(one)]
    return [value] if isinstance(value, float) else []


@settings(max_examples=40)  # each takes most of a second
@given(arguments())
def test_a_report_is_finite_or_refused(arguments: dict[str, object]) -> None:
    try:
        measured = measure(**arguments)  # type: ignore[arg-type]
    except PolarError:
        return  # any other error or warning fails the test

    numbers = numbers_of(json.loads(measured.model_dump_json()))
    assert numbers
    assert all(math.isfinite(number) for number in numbers)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (
            {"mean": np.where(ONE, 1e38, MEAN), "variance": VARIANCE},
            r"^mean in units of the ruler of latent 2 is beyond 1e\+15 sigma = 5e",
        ),
        (
            {"mean": np.where(ONE, 1e38, MEAN), "ruler": "absolute"},
            r"1 of 12 images, such as 1e\+38 in image 4",
        ),
        ({"mean": np.ma.masked_array(MEAN, ONE)}, "^mean is masked at latent 2 in image 4"),
        (
            {"variance": np.where(ONE, 1e-320, VARIANCE)},
            r"^variance of latent 2 is below 2.23e-308, where floats underflow.* in image 4",
        ),
        (
            {"variance": np.where(ONE, 0.0, VARIANCE).astype("f4")},
            r"^variance of latent 2 is 0 or negative in 1 of 12 images, such as 0.0 in image 4",
        ),
        (
            {
                "variance": VARIANCE,
                "prior_mean": 0 * MEAN,
                "prior_variance": np.where(ONE, 1e-307, VARIANCE),
                "mean": np.where(ONE, 1e14, MEAN),
            },
            r"^mean in units of the prior of latent 2 is not finite, or beyond .* in image 4",
        ),
        (
            {"variance": VARIANCE, "prior_mean": MEAN + 1, "prior_variance": 1e-33 * VARIANCE},
            r"^mean in units of the ruler of latent . is beyond 1e\+15 sigma",
        ),
        ({"mean": MEAN[:4]}, r"shape \(4, 3\), of which 4 is .*; allowed: at least 5 images"),
        ({"mean": np.zeros((5, 10_001))}, "allowed: up to 10,000 latents"),
        ({"mean": np.zeros((10_000_001, 1), "u1")}, "up to 10,000,000 numbers"),
        ({"images": np.ones((12, 3))}, "^images: all 12 samples of x are the same"),
        ({"sigma": 1e-200}, "sigma is 1e-200; allowed: 1e-100 to"),
        ({"tau_std": 1e101}, r"tau_std is 1e\+101; allowed: 0 to 1e\+100"),
        ({"labels": np.ma.masked_array(np.zeros(12), ONE[:, 2])}, "labels is masked at place 4"),
    ],
)
def test_what_cannot_be_measured_is_refused_with_latent_and_image(
    given: dict[str, np.ndarray], words: str
) -> None:
    with pytest.raises(InvalidInput, match=words):
        measure(**{"mean": MEAN, **given})  # type: ignore[arg-type]


def test_a_report_is_finite_where_means_are_large_and_variances_small() -> None:
    # A ratio of both, as the score of a criterion may be, leaves the range of floats.
    measured = measure(1e90 * MEAN, np.full_like(MEAN, 1e-300), sigma=1e90, tau_std=1e89)

    numbers = numbers_of(json.loads(measured.model_dump_json()))
    assert all(math.isfinite(number) for number in numbers)


def test_codes_of_1e38_are_measured_with_a_kernel_of_their_scale() -> None:
    large = measure(1e38 * MEAN, ruler="absolute", sigma=0.5e38, tau_std=0.134e38)

    entropies = [latent.entropy_nats for latent in measure(MEAN).latents]
    assert [latent.entropy_nats for latent in large.latents] == pytest.approx(entropies)


def test_codes_of_1e100_are_measured_by_both_rulers() -> None:
    scaled, usual = measure(1e100 * MEAN), measure(MEAN)

    assert [one.label for one in scaled.latents] == [one.label for one in usual.latents]
    # By the absolute ruler all images are alone.
    assert [one.entropy_nats for one in scaled.latents] == pytest.approx([math.log(12)] * 3)
