"""Our own sprites."""

import hashlib
import math
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from polar.data import catalogue, sprites
from polar.data.images import load
from polar.spec.datasets import SPRITES_VERSION, SpritesSpec

FACTORS = st.tuples(*(st.integers(0, size - 1) for size in sprites.GRID))
SIDES = st.sampled_from([32, 64])
#: The first example draws all stamps.
unhurried = settings(deadline=None)


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("POLAR_CACHE_DIR", str(folder))
    return folder


def index_of(factors: tuple[int, ...]) -> int:
    return int(np.ravel_multi_index(factors, sprites.GRID))


def draw(factors: tuple[int, ...], side: int = 64) -> np.ndarray:
    """Coverage of every pixel, 0 to 1."""
    return sprites.render(np.array([index_of(factors)]), side)[0] / 255


def centre(image: np.ndarray) -> tuple[float, float]:
    """Centre of mass from the left and from the top, in pixels."""
    edges = np.arange(len(image)) + 0.5
    mass = image.sum()
    return float((image.sum(0) * edges).sum() / mass), float((image.sum(1) * edges).sum() / mass)


def test_the_grid_is_that_of_dsprites() -> None:
    assert math.prod(sprites.GRID) == sprites.COUNT == 737_280
    assert tuple(SpritesSpec.factors.values()) == sprites.GRID


@given(factors=FACTORS)
def test_an_index_and_its_factors_belong_together(factors: tuple[int, ...]) -> None:
    found = sprites.factors_of(np.array([index_of(factors)]))

    assert tuple(found[0].tolist()) == factors


# The shapes at full scale, upright, with x, y in the middle: their areas by hand.
@pytest.mark.parametrize(
    ("shape", "area"),
    [(0, 19.2**2), (1, math.pi * 13 * 7), (2, 11.25**2 * (1 + math.pi / 4))],
)
@pytest.mark.parametrize("scale", range(6))
@pytest.mark.parametrize("side", [32, 64])
def test_a_shape_has_its_area_times_the_square_of_the_scale(
    shape: int, area: float, scale: int, side: int
) -> None:
    areas = [draw((shape, scale, turn, 16, 16), side).sum() * (64 / side) ** 2 for turn in (0, 3)]

    expected = area * (0.5 + 0.1 * scale) ** 2
    # an edge along the axes is off by at most 1/16 pixel: of the smallest square, 1.3 % a side
    assert areas == pytest.approx([expected, expected], rel=0.026)


@unhurried
@given(factors=FACTORS)
def test_the_centre_of_mass_moves_by_a_pixel_with_each_step(factors: tuple[int, ...]) -> None:
    x, y = factors[3:]

    found = centre(draw(factors))

    # the stamp's points are as symmetric as the shape only for right angles
    assert found == pytest.approx((16.5 + x, 16.5 + y), abs=0.05)


@unhurried
@given(factors=FACTORS)
def test_moving_a_sprite_changes_nothing_else(factors: tuple[int, ...]) -> None:
    shape, scale, orientation, x, y = factors

    image, corner = draw(factors), draw((shape, scale, orientation, 0, 0))

    assert (np.roll(corner, (y, x), axis=(0, 1)) == image).all()


@unhurried
@given(factors=FACTORS, side=SIDES)
def test_no_sprite_is_cut_off(factors: tuple[int, ...], side: int) -> None:
    image = draw(factors, side)
    border = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])

    # the largest square on its corner is 27.2 of a stamp's 33 pixels wide
    assert border.max() == 0
    assert image.max() == 1


@unhurried
@given(factors=FACTORS)
def test_a_small_image_is_the_mean_of_2x2_pixels(factors: tuple[int, ...]) -> None:
    small, large = draw(factors, 32), draw(factors, 64)

    means = large.reshape(32, 2, 32, 2).mean(axis=(1, 3))
    assert np.abs(small - means).max() * 255 <= 0.5 + 1e-9  # rounding to bytes


@pytest.mark.parametrize(("shape", "period"), [(0, 10), (1, 20), (2, 40)])
def test_an_orientation_repeats_by_the_symmetry_of_the_shape_alone(
    shape: int, period: int
) -> None:
    images = [draw((shape, 5, orientation, 16, 16)) for orientation in range(40)]

    for first in range(40):
        for second in range(first):
            same = bool((images[first] == images[second]).all())
            assert same == ((first - second) % period == 0)


def test_a_quarter_turn_is_clockwise() -> None:
    stamp = slice(16, 49)

    upright = draw((2, 5, 0, 16, 16))[stamp, stamp]
    turned = draw((2, 5, 10, 16, 16))[stamp, stamp]

    assert (np.rot90(upright, -1) == turned).all()


def test_edges_are_smooth() -> None:
    image = draw((1, 5, 3, 16, 16))

    assert ((image > 0) & (image < 1)).sum() > 40  # about the pixels of its outline of 65
    assert len(np.unique(image)) > 16


def test_pixels_change_with_the_version_only() -> None:
    # Runs are shared by the digest, which holds the version and not the pixels: whoever changes
    # these raises SPRITES_VERSION, and writes both here.
    indices = np.arange(0, sprites.COUNT, 1024)

    pixels = hashlib.sha256(sprites.render(indices, 64).tobytes()).hexdigest()

    assert (SPRITES_VERSION, pixels[:16]) == (1, "21d67664493cec40")


@unhurried
@given(absent=st.floats(0, 0.9), seed=st.integers(0, 100))
def test_the_absent_part_is_as_large_as_asked_for_and_black(absent: float, seed: int) -> None:
    indices = np.random.default_rng(seed).integers(0, sprites.COUNT, 2000)
    present = sprites.is_present(indices, absent)

    images = sprites.render(indices[:20], 32, absent)

    # five standard deviations of a fraction of 2,000
    assert 1 - present.mean() == pytest.approx(absent, abs=5 * np.sqrt(0.25 / 2000))
    assert (images.reshape(20, -1).max(axis=1) > 0).tolist() == present[:20].tolist()


@given(fewer=st.floats(0, 0.99), more=st.floats(0, 0.99))
def test_what_is_absent_from_a_part_is_absent_from_a_larger_one(fewer: float, more: float) -> None:
    fewer, more = sorted((fewer, more))
    indices = np.arange(0, sprites.COUNT, 777)

    assert not (sprites.is_present(indices, more) & ~sprites.is_present(indices, fewer)).any()


def test_absence_has_nothing_to_do_with_the_factors() -> None:
    indices = np.arange(sprites.COUNT)
    factors, present = sprites.factors_of(indices), sprites.is_present(indices, 0.25)

    for column, size in zip(factors.T, sprites.GRID, strict=True):
        fractions = np.bincount(column[present], minlength=size) / (sprites.COUNT / size)
        # five standard deviations of a fraction of 737,280 / size
        assert fractions == pytest.approx(0.75, abs=5 * np.sqrt(0.75 * 0.25 * size / 737_280))


@pytest.mark.parametrize("side", [32, 64])
def test_a_dataset_of_sprites_says_that_it_is_not_dsprites(side: int) -> None:
    spec = SpritesSpec.model_validate({"side": side, "images": 50, "absent": 0.3})

    dataset = load(spec)
    more = load(spec.model_copy(update={"images": 80}))

    assert "not the images of dSprites" in dataset.note
    assert dataset.images.shape == (50, 1, side, side)
    assert (dataset.images == more.images[:50]).all()
    assert (dataset.factors == more.factors[:50]).all()
    seen = dataset.images.flatten(1).amax(1) > 0
    assert 0 < seen.sum() < 50
    indices = np.ravel_multi_index(tuple(dataset.factors.numpy().T), sprites.GRID)
    assert (sprites.render(indices, side, 0.3) == dataset.images[:, 0].numpy()).all()


def test_sprites_are_kept_once_for_each_side_however_many_and_absent_they_are(cache: Path) -> None:
    for side in (32, 64):
        for images in (50, 60, 40):
            for absent in (0.0, 0.1, 0.9):
                load(SpritesSpec(images=images, side=side, absent=absent))

    stem = f"sprites-{catalogue.digest('sprites')[:16]}"
    assert sorted(os.listdir(cache)) == [
        f"{stem}-{end}.npy" for end in ("32x32", "64x64", "order")
    ]
