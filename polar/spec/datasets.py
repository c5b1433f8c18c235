"""Which images to train on: one class says all that is known of a dataset without opening it.

A factor is what a dataset knows of an image. `polar.data` has a module for each dataset, which
reads or draws its images.
"""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Literal, NamedTuple, get_args

from pydantic import ConfigDict, Field

from polar.spec.fields import FEWEST_IMAGES, Digest, Integer, SpecPart
from polar.spec.own_images import AddedName, Channels, Factors, OwnSide
from polar.spec.sources import Downloaded, Drawn, Packaged, Source, SourceFile

#: Factors of dSprites and of our sprites: names and numbers of values.
SPRITE_FACTORS = {"shape": 3, "scale": 6, "orientation": 40, "x": 32, "y": 32}
#: Images of each official split of smallNORB.
SPLIT_IMAGES = 24_300
#: How the names of smallNORB's files begin, by split.
NORB_STEMS = {
    "train": "smallnorb-5x46789x9x18x6x2x96x96-training",
    "test": "smallnorb-5x01235x9x18x6x2x96x96-testing",
}
#: By split and kind of file: images, categories, other factors. TensorFlow Datasets has the same.
_NORB_SHA256 = {
    ("train", "dat"): "5ffd6272a07d32695ee1082a26a41a93a37aab8c28da047f8c34ed348d214873",
    ("train", "cat"): "2784e542c1922060691090952b6cd6278879a216c90f81476f0f00256d42cdaa",
    ("train", "info"): "de7eb932ebe7a4ee16217fead60660d0eb3d23632c2f4d1c51f88c501c17bf32",
    ("test", "dat"): "cf7104eed3e51174d2f65b66d1e5878b9da233b886f161b0d88f4510ba2c7474",
    ("test", "cat"): "ecaf6d5bb8c3bc5eab9cf0258f6d2198dd474e016e374836fc097f2e5ff509ff",
    ("test", "info"): "16adf314226327ee006d1a44db8cfef52773c06c829951d5653a9f6f310248a2",
}
#: Name of the dataset in specs that train on images of the user's own.
OWN = "images"
DSPRITES_FILE = "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz"
#: Raised whenever a pixel of the sprites changes.
SPRITES_VERSION = 1
#: Side of the images, in pixels.
Side = Literal[32, 64]


class ImageShape(NamedTuple):
    """The shape of an image as arrays have it, without the second side."""

    #: 1 for grey images, 3 for colours.
    channels: int
    #: Side in pixels.
    side: int

    @property
    def values(self) -> int:
        """Number of values of an image, as many for each pixel as there are channels."""
        return self.channels * self.side**2


class PublishedSpec(SpecPart):
    """What all published datasets share, and those that Polar draws; they are grey."""

    #: Each factor and the number of its values, in the order of the columns of the factors.
    factors: ClassVar[dict[str, int]]
    #: Where the images come from.
    source: ClassVar[Source]
    #: Defaults of other parts of a spec; they replace the defaults of their classes.
    defaults: ClassVar[Mapping[str, Mapping[str, object]]] = {}

    name: str

    @property
    def label(self) -> str:
        """The name by which machines offer the dataset and people know it."""
        return self.name

    @property
    def is_fetched(self) -> bool:
        """Whether `polar data fetch` has to get the files first."""
        return isinstance(self.source, Downloaded)


def _mnist(name: str, packed: str, unpacked: str) -> SourceFile:
    folders = ("MNIST/raw", "mnist/raw", "MNIST", "mnist", "raw", ".")
    names = (name, name.replace("-idx", ".idx"))  # as some programs for Windows unpack them
    hosts = (
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    )
    urls = tuple(f"{host}{name}.gz" for host in hosts)
    return SourceFile(folders, names, urls, f"sha256:{packed}", f"sha256:{unpacked}")


def _norb(split: str, kind: str, sha256: str) -> SourceFile:
    folders = ("smallnorb", "small_norb", "smallNORB", ".")
    name = f"{NORB_STEMS[split]}-{kind}.mat"
    url = f"https://cs.nyu.edu/~ylclab/data/norb-v1.0-small/{name}.gz"
    return SourceFile(folders, (name,), (url,), f"sha256:{sha256}")


class DigitsSpec(PublishedSpec):
    """The 1,797 handwritten digits that ship inside scikit-learn, upscaled to 32x32."""

    side: ClassVar[Side] = 32
    factors: ClassVar[dict[str, int]] = {"digit": 10}
    source: ClassVar[Source] = Packaged("sklearn", "scikit-learn", "datasets/data/digits.csv.gz")
    defaults: ClassVar[Mapping[str, Mapping[str, object]]] = {
        "model": {"latent_dim": 16},
        "training": {"batch_size": 64},
    }

    name: Literal["digits"] = "digits"
    #: Number of images to train on; fewer than all are a fixed subset.
    images: Integer = Field(1797, ge=FEWEST_IMAGES, le=1797)


class MnistSpec(PublishedSpec):
    """The 60,000 training images of MNIST, padded to 32x32."""

    side: ClassVar[Side] = 32
    factors: ClassVar[dict[str, int]] = {"digit": 10}
    # The checksums of the gzipped files are those of TensorFlow Datasets.
    source: ClassVar[Source] = Downloaded(
        (
            _mnist(
                "train-images-idx3-ubyte",
                "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
                "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            ),
            _mnist(
                "train-labels-idx1-ubyte",
                "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
                "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            ),
        )
    )
    defaults: ClassVar[Mapping[str, Mapping[str, object]]] = {"model": {"latent_dim": 16}}

    name: Literal["mnist"] = "mnist"
    #: Number of images to train on; fewer than all are a fixed subset.
    images: Integer = Field(60_000, ge=FEWEST_IMAGES, le=60_000)


class SmallNorbSpec(PublishedSpec):
    """smallNORB: toys under 9 elevations, 18 azimuths and 6 lightings; the left camera."""

    factors: ClassVar[dict[str, int]] = {
        "category": 5,
        "elevation": 9,
        "azimuth": 18,
        "lighting": 6,
    }
    source: ClassVar[Source] = Downloaded(
        tuple(_norb(*file, sha256) for file, sha256 in _NORB_SHA256.items())
    )

    name: Literal["smallnorb"] = "smallnorb"
    #: One of the official splits, which share no toys, or both together.
    split: Literal["all", "train", "test"] = "all"
    side: Side = 64
    #: Number of images to train on; fewer than all are a fixed subset.
    images: Integer = Field(SPLIT_IMAGES, ge=FEWEST_IMAGES, le=2 * SPLIT_IMAGES)


class DSpritesSpec(PublishedSpec):
    """dSprites: 737,280 white sprites, one for each combination of the factors."""

    factors: ClassVar[dict[str, int]] = SPRITE_FACTORS
    # The authors published no checksum; eight public loaders check this sum.
    source: ClassVar[Source] = Downloaded(
        (
            SourceFile(
                ("dsprites", "dSprites", "dsprites-dataset", "."),
                (DSPRITES_FILE,),
                (
                    # the last commit to the repository, of 2017
                    "https://github.com/google-deepmind/dsprites-dataset/raw/"
                    f"fa310c66517cfc1939d77fe17c725154efc97127/{DSPRITES_FILE}",
                    "https://raw.githubusercontent.com/google-deepmind/dsprites-dataset/master/"
                    f"{DSPRITES_FILE}",
                ),
                "md5:7da33b31b13a06f4b04a70402ce90c2e",
                may_be_gzipped=False,
            ),
        )
    )

    name: Literal["dsprites"] = "dsprites"
    side: Side = 64
    #: Number of images to train on; fewer than all are a fixed subset.
    images: Integer = Field(100_000, ge=FEWEST_IMAGES, le=737_280)


class SpritesSpec(PublishedSpec):
    """Sprites drawn by Polar on the factor grid of dSprites: needs no download."""

    factors: ClassVar[dict[str, int]] = SPRITE_FACTORS
    source: ClassVar[Source] = Drawn(SPRITES_VERSION)

    name: Literal["sprites"] = "sprites"
    side: Side = 64
    #: Fraction of the images without a sprite, which makes some latents mixed.
    absent: float = Field(0.0, strict=True, ge=0, lt=1)
    #: Number of images to train on; fewer than all are a fixed subset.
    images: Integer = Field(100_000, ge=FEWEST_IMAGES, le=737_280)


class OwnImagesSpec(SpecPart):
    """Images of the user's own, which `polar data add` has added to the machines of the agents.

    Whoever writes a spec names them; the other fields are filled in with what is known of them.
    """

    model_config = ConfigDict(json_schema_extra={"required": ["name", "added"]})

    name: Literal["images"] = "images"
    #: The name under which they were added.
    added: AddedName
    #: SHA-256 (hex) of the images and of their factors' values.
    digest: Digest
    side: OwnSide
    #: 1 for grey images, 3 for colours.
    channels: Channels
    #: Each factor and the number of its values, in the order of the columns of the factors.
    factors: Factors
    #: Number of images to train on; fewer than all are a fixed subset.
    images: Integer = Field(ge=FEWEST_IMAGES)

    @property
    def label(self) -> str:
        """The name by which machines offer the dataset and people know it."""
        return self.added

    @property
    def is_fetched(self) -> bool:
        """Whether `polar data fetch` has to get the files first."""
        return False


_Published = DigitsSpec | MnistSpec | SmallNorbSpec | DSpritesSpec | SpritesSpec
DatasetSpec = Annotated[_Published | OwnImagesSpec, Field(discriminator="name")]

#: Every published dataset by its name.
DATASETS: dict[str, type[PublishedSpec]] = {
    kind.model_fields["name"].default: kind for kind in get_args(_Published)
}


def shape_of(dataset: DatasetSpec) -> ImageShape:
    """The shape of every image of a dataset; published ones are grey."""
    channels = dataset.channels if isinstance(dataset, OwnImagesSpec) else 1
    return ImageShape(channels, dataset.side)
