"""Which images to train on. All datasets are grey; a factor is what is known of an image."""

from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import Field

from polar.spec.part import FEWEST_IMAGES, SpecPart, Whole

#: Factors of dSprites and of our sprites: names and numbers of values.
SPRITE_FACTORS = {"shape": 3, "scale": 6, "orientation": 40, "x": 32, "y": 32}
#: Images of each official part of smallNORB.
SPLIT_IMAGES = 24_300
#: Side of the images, in pixels.
Side = Literal[32, 64]


class ImagesSpec(SpecPart):
    """What all datasets share."""

    #: Names of the factors and numbers of their values, in the order of the table's columns.
    factors: ClassVar[dict[str, int]]
    #: Defaults of other parts of a spec, which stand in for those of their classes.
    defaults: ClassVar[dict[str, dict[str, Any]]] = {}
    #: Whether its files have to be fetched; the others ship with packages or are drawn.
    is_fetched: ClassVar[bool] = False

    name: str


class DigitsSpec(ImagesSpec):
    """The 1,797 handwritten digits that ship inside scikit-learn, upscaled to 32x32."""

    side: ClassVar[Side] = 32
    factors: ClassVar[dict[str, int]] = {"digit": 10}
    defaults: ClassVar[dict[str, dict[str, Any]]] = {
        "model": {"latent_dim": 16},
        "training": {"batch_size": 64},
    }

    name: Literal["digits"] = "digits"
    #: How many images to train on; a fixed subset of them when fewer than all.
    images: Whole = Field(1797, ge=FEWEST_IMAGES, le=1797)


class MnistSpec(ImagesSpec):
    """The 60,000 training images of MNIST, padded to 32x32."""

    is_fetched: ClassVar[bool] = True
    side: ClassVar[Side] = 32
    factors: ClassVar[dict[str, int]] = {"digit": 10}
    defaults: ClassVar[dict[str, dict[str, Any]]] = {"model": {"latent_dim": 16}}

    name: Literal["mnist"] = "mnist"
    #: How many images to train on; a fixed subset of them when fewer than all.
    images: Whole = Field(60_000, ge=FEWEST_IMAGES, le=60_000)


class SmallNorbSpec(ImagesSpec):
    """smallNORB: toys under 9 elevations, 18 azimuths and 6 lightings; the left camera."""

    is_fetched: ClassVar[bool] = True
    factors: ClassVar[dict[str, int]] = {
        "category": 5,
        "elevation": 9,
        "azimuth": 18,
        "lighting": 6,
    }

    name: Literal["smallnorb"] = "smallnorb"
    #: The official split, which holds out toys, or both parts together.
    split: Literal["all", "train", "test"] = "all"
    side: Side = 64
    #: How many images to train on; a fixed subset of them when fewer than all.
    images: Whole = Field(SPLIT_IMAGES, ge=FEWEST_IMAGES, le=2 * SPLIT_IMAGES)


class DSpritesSpec(ImagesSpec):
    """dSprites: 737,280 white sprites, one for each combination of the factors."""

    is_fetched: ClassVar[bool] = True
    factors: ClassVar[dict[str, int]] = SPRITE_FACTORS

    name: Literal["dsprites"] = "dsprites"
    side: Side = 64
    #: How many images to train on; a fixed subset of them when fewer than all.
    images: Whole = Field(100_000, ge=FEWEST_IMAGES, le=737_280)


class SpritesSpec(ImagesSpec):
    """Sprites drawn by Polar on the factor grid of dSprites: needs no download."""

    factors: ClassVar[dict[str, int]] = SPRITE_FACTORS

    name: Literal["sprites"] = "sprites"
    side: Side = 64
    #: Part of the images from which the sprite is missing, which plants mixed latents.
    absent: float = Field(0.0, strict=True, ge=0, lt=1)
    #: How many images to train on; a fixed subset of them when fewer than all.
    images: Whole = Field(100_000, ge=FEWEST_IMAGES, le=737_280)


_AnyDataset = DigitsSpec | MnistSpec | SmallNorbSpec | DSpritesSpec | SpritesSpec
DatasetSpec = Annotated[_AnyDataset, Field(discriminator="name")]

#: Every kind of dataset by its name.
DATASETS: dict[str, type[ImagesSpec]] = {
    kind.model_fields["name"].default: kind for kind in get_args(_AnyDataset)
}
