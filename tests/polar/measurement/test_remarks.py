"""What a report says of unusual codes, and of what it sampled or left out."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polar.measurement import economy
from polar.measurement.measure import measure
from polar.records.latents import Regime
from polar.records.measurement import Measurement
from polar.regime import redundancy

N = 400
RNG = np.random.default_rng(0)
MEAN = RNG.normal(size=(N, 4)) * [1.0, 1.0, 0.01, 0.01]
#: The codes of a collapsed encoder, which computes in float32.
ROUNDED = np.where(RNG.random((N, 3)) < 0.5, 3.0000001, 3.0)
VARIANCE = np.tile([0.02, 0.02, 0.98, 0.97], (N, 1))


def remarks(*arguments: np.ndarray, **options: object) -> str:
    measured = measure(*arguments, **options)  # type: ignore[arg-type]
    assert measured.explanation.endswith(" ".join(measured.remarks))
    return " ".join(measured.remarks)


def test_usual_codes_have_no_remarks() -> None:
    assert measure(MEAN, VARIANCE, labels=np.arange(N) % 10).remarks == ()


def test_codes_wider_than_any_kernel_name_their_scale_and_a_sigma() -> None:
    said = remarks(1e6 * MEAN[:, :2], ruler="absolute")

    assert "2 of 2 latents are within 0.1 nats of ln n = 5.99, the most that 400 images" in said
    assert "a sigma of about 5e+05 would suit" in said  # std 1e6, as 1 to the default of 0.5


@settings(max_examples=5)
@given(power=st.integers(4, 12))
def test_the_sigma_that_is_named_resolves_the_codes(power: int) -> None:
    for scale in (10.0**power, 10.0**-power):
        measured = measure(scale * MEAN[:, :2], ruler="absolute")
        (said,) = measured.remarks
        sigma = float(said.partition("a sigma of about ")[2].split()[0])

        again = measure(scale * MEAN[:, :2], ruler="absolute", sigma=sigma)

        assert again.remarks == ()
        # a Gaussian of twice sigma has 1.7 nats; the sigma is rounded to one digit
        assert all(1.3 < latent.entropy_nats < 2.2 for latent in again.latents)


def test_tiny_codes_name_a_sigma_but_a_collapse_does_not() -> None:
    tiny = 1e-5 * MEAN[:, :2] / MEAN[:, :2].std(0)
    assert "No latent has a std above 1e-05" in remarks(tiny, ruler="absolute")
    assert remarks(tiny) == ""  # the scaled ruler resolves codes of any scale
    assert remarks(1e-5 * MEAN[:, :2], 1 - 0.01 * RNG.random((N, 2))) == ""
    assert "would suit" in remarks(1e-5 * MEAN, 1e-12 * VARIANCE)


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        ((MEAN[:, :1],), {}, "There is a single latent, hence no two groups"),
        ((RNG.normal(size=(6, 7)),), {}, r"more latents (7) than images (6)"),
        ((np.zeros((9, 2)),), {}, "All latents are constant: these codes say nothing"),
        ((np.full((9, 2), 0.1),), {}, "All latents are constant: these codes say nothing"),
        ((ROUNDED,), {}, "All latents are constant but for rounding: these codes say nothing"),
        ((ROUNDED,), {"ruler": "absolute"}, "All latents are constant but for rounding"),
        ((np.column_stack([1e7 + RNG.normal(size=N), MEAN]),), {}, "1 latent (0) is numerically"),
        ((MEAN * [1, 1, 1e-9, 0],), {}, "2 latents (2, 3) are numerically dead"),
        ((MEAN + 0.1 * (MEAN * 0 + 1) * [0, 0, 0, 1],), {}, ""),
        ((MEAN * [1, 1, 1, 0],), {"names": list("abcd")}, "1 latent (d) is numerically dead"),
        ((np.tile(MEAN[:, 2:3], 30) * [1] + np.zeros(30),), {"sigma": 0.01}, ""),
        ((MEAN, np.ones_like(MEAN)), {}, "All variances are 1, so that the variance tells no"),
        ((MEAN,), {"labels": np.zeros(N)}, "All images are of one class"),
        ((MEAN,), {"labels": np.arange(N)}, "There are 400 classes for 400 images, 1.0 images"),
    ],
)
def test_what_makes_numbers_mean_less_is_said(
    arguments: tuple[np.ndarray, ...], options: dict[str, object], words: str
) -> None:
    assert words in remarks(*arguments, **options)


def test_rounding_is_no_scale() -> None:
    # Under the scaled ruler it was divided by itself, and all latents looked active.
    measured = measure(ROUNDED)

    assert measured.verdict.regime is Regime.COLLAPSED
    assert (measured.verdict.n_active, measured.verdict.n_passive) == (0, 3)
    assert "a sigma of about" not in measured.explanation


def test_the_images_that_set_the_scale_are_said_first() -> None:
    # A single code of 1e38 makes all other latents passive.
    mean = MEAN.copy()
    mean[11, 3] = 1e38

    measured = measure(mean)

    assert measured.remarks[0].startswith("4 images of 400, those farthest out such as image 11")
    assert "instead of 4.99e+36" in measured.remarks[0]
    without = measure(np.delete(mean, 11, axis=0))
    assert (measured.verdict.n_active, without.verdict.n_active) == (0, 2)


def test_many_dead_latents_are_counted() -> None:
    said = remarks(np.hstack([MEAN[:, :1], np.zeros((N, 25))]))

    assert "25 latents (1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 15 more) are numerically dead" in said


def test_too_many_classes_leave_their_entropy_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(economy, "MOST_ENTROPIES_WITHIN_CLASSES", 39)

    measured = measure(MEAN, labels=np.arange(N) % 10)

    assert measured.entropy_given_label_nats is None
    assert "10 classes for 4 latents need more than 39 entropies" in measured.remarks[-1]


def test_more_actives_than_images_have_no_regression() -> None:
    measured = measure(RNG.normal(size=(20, 40)) * np.repeat([1.0, 0.01], 20))

    assert all(one.r_squared is None for one in measured.redundancy)
    assert "a regression on 20 actives fits any 20 images" in " ".join(measured.remarks)


def test_what_was_sampled_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(economy, "MOST_INFORMATION_IMAGES", 100)
    monkeypatch.setattr(redundancy, "MOST_REDUNDANCY_IMAGES", 200)
    monkeypatch.setattr(redundancy, "MOST_KERNELS", 20_000)

    measured = measure(MEAN, images=MEAN)

    assert measured.remarks == (
        "The information of images and latents is measured on 100 of 400 images.",
        "The information of the redundancy is measured on 200 of 400 images.",
        "The nearest active of each passive latent is measured on 100 of 400 images.",
    )
    assert all(latent.information_nats is not None for latent in measured.latents)


def test_information_in_parts_is_that_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = measure(MEAN, images=MEAN)
    monkeypatch.setattr(economy, "LATENTS_AT_ONCE", 3)

    parts = measure(MEAN, images=MEAN)

    for one, other in zip(whole.latents, parts.latents, strict=True):
        assert one.information_nats == pytest.approx(other.information_nats, abs=1e-6)  # float32


def test_a_measurement_from_before_remarks_is_read() -> None:
    fields = json.loads(measure(MEAN).model_dump_json())
    del fields["remarks"]

    assert Measurement.model_validate_json(json.dumps(fields)).remarks == ()


def test_the_parts_are_told_in_their_order() -> None:
    told: list[str] = []

    measured = measure(MEAN, images=MEAN, labels=np.arange(N) % 2, progress=told.append)

    assert measured == measure(MEAN, images=MEAN, labels=np.arange(N) % 2)
    assert told == [
        "information of images and latents",
        "entropies of 4 latents and 400 images",
        "thresholds, with resampled images",
        "criteria",
        "entropies within classes",
        "mixed latents",
        "redundancy",
        "sensitivity of the verdict",
    ]
