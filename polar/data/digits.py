"""The 1,797 handwritten digits that ship inside scikit-learn, 8x8, enlarged to 32x32."""

import gzip
import zlib
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float64, Int64, UInt8
from torch import Tensor

from polar.data import catalogue
from polar.errors import DatasetCorrupt

#: Largest grey value of the source, whose values start at 0.
WHITE = 16


def read(data_dir: Path | None = None) -> tuple[UInt8[Tensor, "n 1 32 32"], Int64[Tensor, " n"]]:
    """Images and their digits, 0 to 9, in the order of the file.

    Raises:
        DatasetMissing: scikit-learn, or the file inside it, is not there.
        DatasetCorrupt: the file is not a table of 64 grey values and a label.
    """
    (path,) = catalogue.files("digits", data_dir)
    table = torch.from_numpy(_table(path))
    return enlarge(table[:, :-1].reshape(-1, 1, 8, 8)), table[:, -1].long()


def enlarge(images: Float64[Tensor, "n 1 8 8"]) -> UInt8[Tensor, "n 1 32 32"]:
    """Grey values 0 to 16 at 8x8 as 0 to 255 at 32x32, bilinear.

    The result is exact in double precision, because the weights are eighths: no machine can round
    differently.
    """
    large = F.interpolate(images, size=(32, 32), mode="bilinear", align_corners=False)
    return (large * 255 / WHITE).round().to(torch.uint8)


def _table(path: Path) -> np.ndarray:
    content = catalogue.read("digits", path)
    try:
        lines = gzip.decompress(content).decode("ascii").splitlines()
        table = np.array([line.split(",") for line in lines], dtype=np.float64)
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise DatasetCorrupt(f"dataset digits: {path} is not a gzipped table: {error}") from error
    if table.shape[1:] != (65,) or not ((table >= 0) & (table <= WHITE)).all():
        raise DatasetCorrupt(
            f"dataset digits: {path} has shape {table.shape} and {table.min(initial=0):g} to "
            f"{table.max(initial=0):g}; expected shape (n, 65) and 0 to {WHITE}"
        )
    return table
