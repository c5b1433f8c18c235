"""A dataset in memory or mapped into it: images as bytes, always in the same order."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeAlias, assert_never

import torch
from jaxtyping import Float32, Int64, UInt8
from torch import Tensor

from polar.data import catalogue, digits, dsprites, mnist, smallnorb, sprites
from polar.data.order import order
from polar.data.prepared import stored_or_made
from polar.errors import DatasetCorrupt
from polar.spec.datasets import (
    DatasetSpec,
    DigitsSpec,
    DSpritesSpec,
    MnistSpec,
    SmallNorbSpec,
    SpritesSpec,
)

Labels: TypeAlias = Int64[Tensor, " n"]


@dataclass(frozen=True)
class ImageDataset:
    """The images to train on; the first of them are the evaluation subset.

    They are in an order drawn once from the digest of the dataset, so that few images are always
    contained in more.
    """

    name: str
    #: SHA-256 (hex) of the dataset's files.
    digest: str
    #: A remark that results must carry; empty where there is nothing to remark.
    note: str
    #: Grey values, 0 to 255. Large datasets are mapped from disk, so do not change all of them.
    images: UInt8[Tensor, "n 1 side side"]
    #: Values of the factors, from 0, in the order of the spec's `factors`.
    factors: Int64[Tensor, "n f"]


def load(spec: DatasetSpec, data_dir: Path | None = None) -> ImageDataset:
    """Read a dataset from this machine's disk, or draw it.

    Args:
        spec: Which dataset, and how many of its images.
        data_dir: Folder of downloaded datasets, by default `catalogue.folder`.

    Raises:
        DatasetMissing: its files are not there.
        DatasetCorrupt: its files are not what they should be, or hold too few images.
        DatasetError: its images are too large for memory and cannot be stored on disk.
    """
    digest = catalogue.digest(spec.name, data_dir)
    note = ""
    match spec:
        case DigitsSpec():
            images, factors = _kept(spec.name, digest, lambda: digits.read(data_dir))
        case MnistSpec():
            images, factors = _kept(spec.name, digest, lambda: mnist.read(data_dir))
            note = mnist.note_on(digest)
        case SmallNorbSpec():
            images, factors = smallnorb.read(spec.split, spec.side, digest, data_dir)
        case DSpritesSpec():
            images, factors = dsprites.read(spec.images, spec.side, digest, data_dir)
        case SpritesSpec():
            images, factors = sprites.read(spec.images, spec.side, spec.absent, digest)
            note = sprites.NOTE
        case _:
            assert_never(spec)
    n = spec.images
    if len(images) < n:
        raise DatasetCorrupt(
            f"dataset {spec.name}: it has {len(images)} images, the spec asks for {n}"
        )
    return ImageDataset(spec.name, digest, note, images[:n], factors[:n])


def as_pixels(images: UInt8[Tensor, "n 1 side side"]) -> Float32[Tensor, "n 1 side side"]:
    """Grey values 0 to 255 as pixels in [0, 1], in the layout of the fastest convolutions."""
    return images.to(torch.float32, memory_format=torch.channels_last).div_(255)


def _kept(
    name: str, digest: str, read: Callable[[], tuple[UInt8[Tensor, "n 1 side side"], Labels]]
) -> tuple[UInt8[Tensor, "n 1 side side"], Int64[Tensor, "n 1"]]:
    """Images and labels in the order of the digest; they are read unless they are on disk so."""

    @cache
    def ordered() -> tuple[UInt8[Tensor, "n 1 side side"], Int64[Tensor, "n 1"]]:
        images, labels = read()
        rows = torch.from_numpy(order(digest, len(images)))
        return images[rows], labels[rows].unsqueeze(1)

    stem = f"{name}-{digest[:16]}"
    return (
        stored_or_made(f"{stem}-images", lambda: ordered()[0]),
        stored_or_made(f"{stem}-factors", lambda: ordered()[1]),
    )
