"""Specs of datasets: their names, their factors, and how many images each has."""

import math

import pytest
from pydantic import ValidationError

from polar.spec import DATASETS, DSpritesSpec, SmallNorbSpec, SpritesSpec
from polar.spec.datasets import SPLIT_IMAGES, SPRITE_FACTORS

FEWEST_IMAGES = 5
MOST_IMAGES = {
    "digits": 1797,
    "mnist": 60_000,
    "smallnorb": 48_600,
    "dsprites": 737_280,
    "sprites": 737_280,
}


def test_every_dataset_is_listed_by_its_name() -> None:
    assert {name: kind.model_validate({}).name for name, kind in DATASETS.items()} == {
        name: name for name in DATASETS
    }
    assert set(MOST_IMAGES) <= set(DATASETS)


@pytest.mark.parametrize(("name", "most"), MOST_IMAGES.items())
def test_a_dataset_has_no_more_images_than_there_are(name: str, most: int) -> None:
    kind = DATASETS[name]

    assert kind.model_validate({"images": most}).model_dump()["images"] == most
    assert kind.model_validate({"images": FEWEST_IMAGES}).model_dump()["images"] == FEWEST_IMAGES
    for wrong in (most + 1, FEWEST_IMAGES - 1):
        with pytest.raises(ValidationError):
            kind.model_validate({"images": wrong})


def test_sprites_are_one_image_for_each_combination_of_the_factors() -> None:
    assert math.prod(SPRITE_FACTORS.values()) == MOST_IMAGES["sprites"]
    assert DSpritesSpec.factors == SpritesSpec.factors == SPRITE_FACTORS


def test_smallnorb_is_ten_toys_of_each_category_in_two_parts() -> None:
    toys = 10

    images = toys * math.prod(SmallNorbSpec.factors.values())

    assert images == 2 * SPLIT_IMAGES


@pytest.mark.parametrize("absent", [-0.1, 1.0])
def test_a_sprite_is_missing_from_a_part_of_the_images(absent: float) -> None:
    with pytest.raises(ValidationError):
        SpritesSpec(absent=absent)

    assert SpritesSpec(absent=0.99).absent == 0.99


def test_only_datasets_of_files_are_fetched() -> None:
    are_fetched = {name: DATASETS[name].model_validate({}).is_fetched for name in MOST_IMAGES}

    assert are_fetched == {
        "digits": False,
        "mnist": True,
        "smallnorb": True,
        "dsprites": True,
        "sprites": False,
    }
