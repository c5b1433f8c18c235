"""A dataset in memory or mapped into it: images as bytes, always in the same order."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TypeAlias, assert_never

import numpy as np
import torch
from jaxtyping import Float32, Int64, UInt8
from torch import Tensor

from polar.data import catalogue, digits, dsprites, mnist, own_images, smallnorb, sprites
from polar.data.order import order
from polar.data.prepared import stored_or_made
from polar.errors import DatasetCorrupt, DatasetError
from polar.spec.datasets import (
    DatasetSpec,
    DigitsSpec,
    DSpritesSpec,
    MnistSpec,
    OwnImagesSpec,
    SmallNorbSpec,
    SpritesSpec,
)

Factors: TypeAlias = Int64[Tensor, "n f"]


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
    #: Values of pixels, 0 to 255, grey or in three colours. Large datasets are mapped from disk,
    #: so do not change all of them.
    images: UInt8[Tensor, "n c side side"]
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
    digest = catalogue.digest(spec.label, data_dir)
    note = ""
    match spec:
        case DigitsSpec():
            images, factors = _kept(spec.label, digest, lambda: _labelled(*digits.read(data_dir)))
        case MnistSpec():
            images, factors = _kept(spec.label, digest, lambda: _labelled(*mnist.read(data_dir)))
            note = mnist.note_on(digest)
        case SmallNorbSpec():
            images, factors = smallnorb.read(spec.split, spec.side, digest, data_dir)
        case DSpritesSpec():
            images, factors = dsprites.read(spec.images, spec.side, digest, data_dir)
        case SpritesSpec():
            images, factors = sprites.read(spec.images, spec.side, spec.absent, digest)
            note = sprites.NOTE
        case OwnImagesSpec():
            if digest != spec.digest:
                raise DatasetError(
                    f"dataset {spec.added}: it has digest {digest} here; the spec asks for "
                    f"{spec.digest}"
                )
            images, factors = _kept(
                spec.label, digest, lambda: _as_tensors(*own_images.read(spec.added, data_dir))
            )
            note = own_images.note_on(spec.added, data_dir)
        case _:
            assert_never(spec)
    n = spec.images
    if len(images) < n:
        raise DatasetCorrupt(
            f"dataset {spec.label}: it has {len(images)} images, the spec asks for {n}"
        )
    return ImageDataset(spec.label, digest, note, images[:n], factors[:n])


def as_pixels(images: UInt8[Tensor, "n c side side"]) -> Float32[Tensor, "n c side side"]:
    """Values 0 to 255 as pixels in [0, 1], in the layout of the fastest convolutions."""
    return images.to(torch.float32, memory_format=torch.channels_last).div_(255)


def _as_tensors(
    images: UInt8[np.ndarray, "n c side side"], factors: Int64[np.ndarray, "n f"]
) -> tuple[UInt8[Tensor, "n c side side"], Factors]:
    return torch.from_numpy(images), torch.from_numpy(factors)


def _labelled(
    images: UInt8[Tensor, "n c side side"], labels: Int64[Tensor, " n"]
) -> tuple[UInt8[Tensor, "n c side side"], Factors]:
    return images, labels.unsqueeze(1)


def _kept(
    name: str, digest: str, read: Callable[[], tuple[UInt8[Tensor, "n c side side"], Factors]]
) -> tuple[UInt8[Tensor, "n c side side"], Factors]:
    """Images and factors in the order of the digest; they are read unless they are on disk so."""

    @cache
    def ordered() -> tuple[UInt8[Tensor, "n c side side"], Factors]:
        images, factors = read()
        rows = torch.from_numpy(order(digest, len(images)))
        return images[rows], factors[rows]

    stem = f"{name}-{digest[:16]}"
    return (
        stored_or_made(f"{stem}-images", lambda: ordered()[0]),
        stored_or_made(f"{stem}-factors", lambda: ordered()[1]),
    )
