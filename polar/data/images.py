"""A dataset in memory: images as bytes, always in the same order."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32, Int64, UInt8
from torch import Tensor

from polar.data import catalogue, digits, mnist
from polar.errors import DatasetCorrupt
from polar.spec import DatasetSpec


@dataclass(frozen=True)
class ImageDataset:
    """The images to train on; the first of them are the evaluation subset.

    They are in an order drawn once from the digest of the dataset, so that a smaller number of
    images is always contained in a larger one.
    """

    name: str
    #: SHA-256 (hex) of the dataset's files.
    digest: str
    #: Grey values, 0 to 255.
    images: UInt8[Tensor, "n 1 32 32"]
    labels: Int64[Tensor, " n"]


def load(spec: DatasetSpec, data_dir: Path | None = None) -> ImageDataset:
    """Read a dataset from this machine's disk.

    Args:
        spec: Which dataset, and how many of its images.
        data_dir: Folder of downloaded datasets; by default that of `POLAR_DATA_DIR`.

    Raises:
        DatasetMissing: its files are not there.
        DatasetCorrupt: its files are not what they should be, or hold too few images.
    """
    digest = catalogue.digest(spec.name, data_dir)
    images, labels = _READERS[spec.name](data_dir)
    if len(images) < spec.images:
        raise DatasetCorrupt(
            f"dataset {spec.name}: it has {len(images)} images, the spec asks for {spec.images}"
        )
    chosen = torch.from_numpy(_order(digest, len(images))[: spec.images])
    return ImageDataset(spec.name, digest, images[chosen], labels[chosen])


def as_pixels(images: UInt8[Tensor, "n 1 32 32"]) -> Float32[Tensor, "n 1 32 32"]:
    """Grey values 0 to 255 as pixels in [0, 1], laid out as the convolutions are fastest."""
    return images.to(torch.float32, memory_format=torch.channels_last).div_(255)


def _order(digest: str, n: int) -> np.ndarray:
    """The permutation of n images that belongs to a digest.

    Sorting raw bits: numpy promises the stream of a bit generator for all versions, but not what
    `permutation` makes of it.
    """
    return np.argsort(np.random.PCG64(int(digest, 16)).random_raw(n), kind="stable")


_READERS: dict[str, Callable[[Path | None], tuple[Tensor, Tensor]]] = {
    "digits": digits.read,
    "mnist": mnist.read,
}
