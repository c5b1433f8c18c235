"""smallNORB: 48,600 grey images of toys, 96x96; the left camera, made smaller.

References: LeCun, Huang, Bottou (2004), https://doi.org/10.1109/CVPR.2004.1315150
"""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from PIL import Image
from torch import Tensor

from polar.data import catalogue
from polar.data.matrix_format import expect, open_matrix, read_matrix
from polar.data.order import order
from polar.data.prepared import Block, stored, stored_or_made
from polar.errors import DatasetCorrupt
from polar.spec.datasets import SPLIT_IMAGES, SmallNorbSpec

SIDE = 96
#: Numbers of values of the category, and of what `info` holds after the instance.
SIZES = SmallNorbSpec.factors
#: Images resized at once.
BLOCK = 500


def read(
    split: str, side: int, digest: str, data_dir: Path | None = None
) -> tuple[UInt8[Tensor, "n 1 side side"], Int64[Tensor, "n 4"]]:
    """Images and factors of a split, in the order of the digest.

    Raises:
        DatasetMissing: a file is not there.
        DatasetCorrupt: a file is not what it should be.
    """
    paths = catalogue.files("smallnorb", data_dir)
    splits = {"train": paths[:3], "test": paths[3:]}
    files = [splits[name] for name in splits if split in (name, "all")]
    n = len(files) * SPLIT_IMAGES
    stem = f"smallnorb-{digest[:16]}-{split}"

    def ordered_factors() -> Int64[Tensor, "n 4"]:
        factors = np.concatenate([_factors(category, info) for _, category, info in files])
        return torch.from_numpy(factors[order(digest, n)])

    factors = stored_or_made(f"{stem}-factors", ordered_factors)
    blocks = _blocks([images for images, _, _ in files], digest, side)
    return stored(stem, n, side, blocks), factors


def _factors(category: Path, info: Path) -> Int64[np.ndarray, "n 4"]:
    categories = read_matrix(category, "<i4", (SPLIT_IMAGES,))
    known = read_matrix(info, "<i4", (SPLIT_IMAGES, 4))
    azimuth, is_odd = np.divmod(known[:, 2], 2)
    factors = np.stack([categories, known[:, 1], azimuth, known[:, 3]], axis=1).astype(np.int64)
    beyond = (factors < 0) | (factors >= list(SIZES.values()))
    if beyond.any() or is_odd.any():
        raise DatasetCorrupt(
            f"dataset smallnorb: {category} and {info} have values beyond {SIZES} "
            "(azimuths are even numbers from 0 to 34)"
        )
    return factors


def _blocks(files: Sequence[Path], digest: str, side: int) -> Iterator[Block]:
    places = np.argsort(order(digest, len(files) * SPLIT_IMAGES))
    first = 0
    for path in files:
        with open_matrix(path) as matrix:
            expect(matrix, "u1", (SPLIT_IMAGES, 2, SIDE, SIDE))
            for _ in range(0, SPLIT_IMAGES, BLOCK):
                count = min(BLOCK, SPLIT_IMAGES - first % SPLIT_IMAGES)
                left = matrix.read(count)[:, 0]  # the right camera is the other one
                yield places[first : first + count], np.stack([_shrink(im, side) for im in left])
                first += count
            matrix.refuse_rest()


def _shrink(image: UInt8[np.ndarray, "96 96"], side: int) -> UInt8[np.ndarray, "side side"]:
    # Pillow resizes bytes within 0 to 255; its 32-bit integers would overshoot
    return np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.LANCZOS))
