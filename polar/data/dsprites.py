"""dSprites: 737,280 white sprites on black, 64x64, one for each combination of the factors.

Reference: Matthey et al. (2017), https://github.com/google-deepmind/dsprites-dataset
"""

import zipfile
import zlib
from collections.abc import Iterator
from io import BufferedIOBase
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from polar.data import catalogue
from polar.data.order import order
from polar.data.prepared import Block, stored, stored_or_made
from polar.errors import DatasetCorrupt, DatasetMissing

#: Values of colour, shape, scale, orientation, x, y; the last varies fastest.
GRID = (1, 3, 6, 40, 32, 32)
COUNT = 737_280
SIDE = 64
#: Images read at once.
BLOCK = 4096
WHITE = 255


def read(
    images: int, side: int, digest: str, data_dir: Path | None = None
) -> tuple[UInt8[Tensor, "n 1 side side"], Int64[Tensor, "n 5"]]:
    """The first images in the order of the digest, with all factors but the colour.

    Raises:
        DatasetMissing: the file is not there.
        DatasetCorrupt: it is not dSprites.
    """
    (path,) = catalogue.files("dsprites", data_dir)
    name = f"dsprites-{digest[:16]}"
    rows = stored_or_made(f"{name}-order", lambda: torch.from_numpy(order(digest, COUNT)))
    chosen = rows[:images].numpy()
    places = np.full(COUNT, -1)
    places[chosen] = np.arange(images)
    pictures = stored(name, images, side, _blocks(path, places, side))
    return pictures, torch.from_numpy(factors_of(chosen))


def factors_of(indices: Int64[np.ndarray, " n"]) -> Int64[np.ndarray, "n 5"]:
    """Shape, scale, orientation, x and y of the images at these places of the file."""
    return np.stack(np.unravel_index(indices, GRID)[1:], axis=1).astype(np.int64)


def _check_classes(path: Path) -> None:
    with _open(path) as archive, _member(path, archive, "latents_classes.npy") as file:
        shape, dtype = _header(path, file, "latents_classes")
        if shape != (COUNT, len(GRID)) or dtype != np.dtype("<i8"):
            raise _corrupt(path, f"latents_classes is {dtype} of shape {shape}")
        content = _bytes(path, file, COUNT * len(GRID) * 8)
    classes = np.frombuffer(content, "<i8").reshape(shape)
    if not (classes == np.stack(np.unravel_index(np.arange(COUNT), GRID), axis=1)).all():
        raise _corrupt(path, f"latents_classes is not the grid {GRID} with the last one fastest")


def _blocks(path: Path, places: Int64[np.ndarray, " n"], side: int) -> Iterator[Block]:
    _check_classes(path)
    with _open(path) as archive, _member(path, archive, "imgs.npy") as file:
        shape, dtype = _header(path, file, "imgs")
        if shape != (COUNT, SIDE, SIDE) or dtype != np.uint8:
            raise _corrupt(path, f"imgs is {dtype} of shape {shape}")
        for first in range(0, COUNT, BLOCK):
            count = min(BLOCK, COUNT - first)
            content = _bytes(path, file, count * SIDE * SIDE)
            pixels = np.frombuffer(content, np.uint8).reshape(count, SIDE, SIDE)
            if pixels.max() > 1:
                raise _corrupt(path, f"imgs has the value {pixels.max()}; allowed: 0 and 1")
            wanted = places[first : first + count]
            yield wanted[wanted >= 0], _shrink(pixels[wanted >= 0], side)
        if _read(path, file, 1):  # reading to the end also verifies the checksum
            raise _corrupt(path, "imgs goes on behind its last image")


def _shrink(pixels: UInt8[np.ndarray, "n 64 64"], side: int) -> UInt8[np.ndarray, "n side side"]:
    """0 and 1 as 0 and 255; a smaller image has the means over squares of pixels."""
    factor = SIDE // side
    squares = pixels.reshape(-1, side, factor, side, factor).sum(axis=(2, 4), dtype=np.uint16)
    return np.rint(squares * (WHITE / factor**2)).astype(np.uint8)


def _open(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except FileNotFoundError as error:
        raise DatasetMissing(f"dataset dsprites: there is no file {path}") from error
    except (OSError, zipfile.BadZipFile) as error:
        raise _corrupt(path, str(error)) from error


def _member(path: Path, archive: zipfile.ZipFile, name: str) -> BufferedIOBase:
    try:
        return archive.open(name)  # type: ignore[return-value]  # a ZipExtFile is a BufferedIOBase
    except (KeyError, OSError, RuntimeError, zipfile.BadZipFile) as error:
        raise _corrupt(path, f"{name} is missing or damaged") from error


def _header(path: Path, file: BufferedIOBase, name: str) -> tuple[tuple[int, ...], np.dtype]:
    try:
        version = np.lib.format.read_magic(file)
        readers = {(1, 0): np.lib.format.read_array_header_1_0}
        read = readers.get(version, np.lib.format.read_array_header_2_0)
        shape, is_fortran, dtype = read(file)
    except (ValueError, zlib.error, zipfile.BadZipFile, EOFError) as error:
        raise _corrupt(path, f"{name}: {error}") from error
    if is_fortran:
        raise _corrupt(path, f"{name} is in Fortran's order")
    return shape, dtype


def _bytes(path: Path, file: BufferedIOBase, length: int) -> bytes:
    content = _read(path, file, length)
    if len(content) < length:
        raise _corrupt(path, f"it ends early: {len(content)} of {length} bytes")
    return content


def _read(path: Path, file: BufferedIOBase, length: int) -> bytes:
    try:
        return file.read(length)
    except (OSError, zlib.error, zipfile.BadZipFile, EOFError) as error:
        raise _corrupt(path, str(error)) from error


def _corrupt(path: Path, what: str) -> DatasetCorrupt:
    return DatasetCorrupt(f"dataset dsprites: {path}: {what}")
