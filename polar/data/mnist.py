"""The 60,000 training images of MNIST, 28x28, padded with black to 32x32."""

import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Int64, UInt8
from torch import Tensor

from polar.data import catalogue
from polar.errors import DatasetCorrupt

SIDE = 28
PADDING = 2
CLASSES = 10
GZIP_MAGIC = b"\x1f\x8b"
#: Digest of the dataset whose files hold the published training images and labels.
PUBLISHED_DIGEST = "c5097fdd51cfdbe7695fd9df3612695696864b5c424f58d843ffdc5d335e9914"
#: The note on other images. They are not refused, because people have subsets of MNIST and
#: versions with corrected labels. Fashion-MNIST, KMNIST and EMNIST's digits have its labels and
#: its sizes.
NOTE = (
    "These are not the published training images of MNIST: other data under its names, such as "
    "Fashion-MNIST, KMNIST or EMNIST, or a changed copy."
)


def read(data_dir: Path | None = None) -> tuple[UInt8[Tensor, "n 1 32 32"], Int64[Tensor, " n"]]:
    """Images and labels 0 to 9, in the order of the files.

    Raises:
        DatasetMissing: a file is not there.
        DatasetCorrupt: a file is not the idx file that it should be.
    """
    images_path, labels_path = catalogue.files("mnist", data_dir)
    images = torch.from_numpy(read_idx(images_path, (SIDE, SIDE)))  # (n, 28, 28)
    labels = torch.from_numpy(read_idx(labels_path, ()))
    if len(images) != len(labels):
        raise DatasetCorrupt(
            f"dataset mnist: {images_path} has {len(images)} images, "
            f"{labels_path} has {len(labels)} labels; expected as many"
        )
    if len(labels) and labels.max() >= CLASSES:
        kinds = np.unique(labels)
        raise DatasetCorrupt(
            f"dataset mnist: {labels_path} has labels from {kinds.min()} to {kinds.max()}, "
            f"{len(kinds)} classes of {len(labels):,} images; allowed: 0 to {CLASSES - 1}. EMNIST "
            "has such labels in files of these names: put MNIST's there, or name another folder; "
            "`polar data fetch mnist` downloads them"
        )
    return F.pad(images, (PADDING,) * 4).unsqueeze(1), labels.long()


def read_idx(path: Path, item: tuple[int, ...]) -> np.ndarray:
    """An idx file of bytes, as an array of shape (n, *item).

    The header is the magic number (0, 0, 8 for bytes, number of dimensions) and the dimensions,
    each in four bytes, big-endian.

    Raises:
        DatasetMissing: the file is not there.
        DatasetCorrupt: its magic number, its dimensions or its length are wrong.
    """
    content = catalogue.read("mnist", path)
    n_dims = 1 + len(item)
    header = 4 + 4 * n_dims
    if len(content) < header:
        raise _corrupt(path, "length", f"{len(content)} bytes", f"a header of {header} bytes")
    magic, *dims = (int(word) for word in np.frombuffer(content[:header], ">u4"))
    if magic != 0x0800 + n_dims:
        hint = ", or .gz at the end of its name" if content.startswith(GZIP_MAGIC) else ""
        expected = f"0x{0x0800 + n_dims:08x}{hint}"
        raise _corrupt(path, "magic number", f"0x{magic:08x}", expected)
    if tuple(dims[1:]) != item:
        raise _corrupt(path, "dimensions", str(dims), str(["n", *item]))
    length = header + math.prod(dims)
    if len(content) != length:
        raise _corrupt(path, "length", f"{len(content)} bytes", f"{length} bytes for {dims}")
    # A bytearray, because torch warns of arrays that cannot be written to.
    return np.frombuffer(bytearray(content), np.uint8, offset=header).reshape(dims)


def note_on(digest: str) -> str:
    """The note on a dataset with this digest; empty for MNIST as it was published."""
    return "" if digest == PUBLISHED_DIGEST else NOTE


def _corrupt(path: Path, what: str, found: str, expected: str) -> DatasetCorrupt:
    return DatasetCorrupt(f"dataset mnist: {path} has {what} {found}; expected {expected}")
