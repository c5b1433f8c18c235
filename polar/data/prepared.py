"""Large datasets on disk as they are trained on: one array of bytes, mapped into memory.

The images are stored in the order in which they are used. The array is never in memory as a
whole, and processes that train on the same images share the pages that are.
"""

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from polar.data.catalogue import CACHE_DIR_VARIABLE, cache_dir
from polar.data.unfinished import locked, put_in_place
from polar.errors import DatasetError
from polar.files import unfinished

#: Some rows of the dataset, and their images of shape (rows, side, side).
Block = tuple[Int64[np.ndarray, " rows"], UInt8[np.ndarray, "rows side side"]]


def prepared(name: str, n: int, side: int, blocks: Iterable[Block]) -> UInt8[Tensor, "n 1 s s"]:
    """The images of this name; they are made first unless they are on disk.

    Args:
        name: Name of the file without its ending. It says everything that decides the images.
        n: Number of images.
        side: Side of an image, in pixels.
        blocks: Yields each image once, in any order, with its place from 0 to n - 1.

    Raises:
        DatasetError: the images cannot be stored.
    """
    path = cache_dir() / f"{name}-{n}x{side}x{side}.npy"
    try:
        if not path.exists():
            _make(path, n, side, blocks)
        # copy-on-write, because torch warns of arrays that cannot be written to
        return torch.from_numpy(np.load(path, mmap_mode="c"))
    except (OSError, ValueError, EOFError) as error:
        raise _unusable(path, error) from error


def unkept(n: int, side: int, blocks: Iterable[Block]) -> UInt8[Tensor, "n 1 s s"]:
    """Images that are cheap to make again: they are on disk too, but vanish with the process.

    Args:
        n: Number of images.
        side: Side of an image, in pixels.
        blocks: As for `prepared`.

    Raises:
        DatasetError: the images cannot be stored.
    """
    folder = cache_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            start = _write(file, n, side, blocks)
            return torch.from_numpy(np.memmap(file, np.uint8, "c", start, (n, 1, side, side)))
    except OSError as error:
        raise _unusable(folder, error) from error


def _make(path: Path, n: int, side: int, blocks: Iterable[Block]) -> None:
    part = unfinished(path)
    with locked(part) as file:
        try:
            if path.exists():  # another process has made it meanwhile
                part.unlink()
                return
            file.truncate(0)  # a killed process may have left it unfinished
            _write(file, n, side, blocks)
            put_in_place(file, part, path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise


def _write(file: BinaryIO, n: int, side: int, blocks: Iterable[Block]) -> int:
    """Writes header and images, and returns the offset at which the images begin.

    They are written rather than mapped, because a mapping kills the process when the disk is full.
    """
    header = {"descr": "|u1", "fortran_order": False, "shape": (n, 1, side, side)}
    np.lib.format.write_array_header_1_0(file, header)
    start = file.tell()
    for places, images in blocks:
        for place, image in zip(places.tolist(), images, strict=True):
            file.seek(start + place * side**2)
            file.write(image.tobytes())
    file.flush()
    return start


def _unusable(path: Path, error: Exception) -> DatasetError:
    return DatasetError(
        f"the images {path} cannot be stored or read: {error}; {CACHE_DIR_VARIABLE} names "
        "another folder for them"
    )
