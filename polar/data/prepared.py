"""Datasets on disk as they are trained on: arrays that are mapped into memory.

Images and factors are stored in the order in which they are used. A run maps them in milliseconds,
no array is in memory as a whole, and processes that train on the same images share the pages that
are.

The last bytes of a file are the SHA-256 of its name, the science version and all bytes before. So
a file that is damaged, comes from elsewhere or was made by other code is noticed, and made again.
Large files are read for this only once (see `catalogue.remembered`).
"""

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from jaxtyping import Int64, UInt8
from torch import Tensor

from polar.data.catalogue import CHUNK, FileState, remembered
from polar.data.unfinished import locked, put_in_place
from polar.errors import DatasetError
from polar.files import unfinished
from polar.folders import CACHE_DIR_VARIABLE, cache_dir
from polar.spec import SCIENCE_VERSION

#: Some rows of the dataset, and their images of shape (rows, side, side).
Block = tuple[Int64[np.ndarray, " rows"], UInt8[np.ndarray, "rows side side"]]
#: Bytes of the digest at the end of a file.
DIGEST = 64


def stored(name: str, n: int, side: int, blocks: Iterable[Block]) -> UInt8[Tensor, "n 1 s s"]:
    """The first images of this name; they are made first unless they are on disk.

    A file holds as many as any run has asked for, because the first of many are the same as few:
    runs of different numbers of images do not fill the disk.

    Args:
        name: With the side it says everything that decides the images but their number.
        n: Number of images.
        side: Side of an image, in pixels.
        blocks: Yields each image once, in any order, with its place from 0 to n - 1.

    Raises:
        DatasetError: the images cannot be stored.
    """
    path = cache_dir() / f"{name}-{side}x{side}.npy"
    try:
        return _mapped(path, lambda file: _write(file, n, side, blocks), n)[:n]
    except OSError as error:
        raise _unusable(path, error) from error


def stored_or_made(name: str, make: Callable[[], Tensor]) -> Tensor:
    """The array of this name; it is made first unless it is on disk.

    Args:
        name: Name of the file without its ending. It says everything that decides the array.
        make: Makes the array, at every call where it cannot be stored.
    """
    try:
        return _mapped(cache_dir() / f"{name}.npy", lambda file: np.save(file, make().numpy()))
    except (OSError, DatasetError):  # an error of `make` itself is raised again
        return make()


def stored_for_now(n: int, side: int, blocks: Iterable[Block]) -> UInt8[Tensor, "n 1 s s"]:
    """Images that are cheap to make again: they are on disk too, but vanish with the process.

    Args:
        n: Number of images.
        side: Side of an image, in pixels.
        blocks: As for `stored`.

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


def _mapped(path: Path, write: Callable[[BinaryIO], object], least: int = 0) -> Tensor:
    if not _has(path, least):
        _make(path, write, least)
    # copy-on-write, because torch warns of arrays that cannot be written to
    return torch.from_numpy(np.load(path, mmap_mode="c"))


def _has(path: Path, least: int) -> bool:
    """Whether the file is there, is as `_make` makes it, and has at least so many rows."""
    if not (path.is_file() or path.is_dir()):  # opening a pipe would wait for ever
        return False
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return False
    with file:
        state = FileState.of(path, os.fstat(file.fileno()))
        size = state.size - DIGEST
        digest = remembered(_identity(path.name), [state], lambda: _digest(file, path.name, size))
        file.seek(max(size, 0))
        is_whole = file.read() == digest.encode()
    return is_whole and len(np.load(path, mmap_mode="r")) >= least


def _make(path: Path, write: Callable[[BinaryIO], object], least: int) -> None:
    part = unfinished(path)
    with locked(part) as file:
        try:
            if _has(path, least):  # another process has made it meanwhile
                part.unlink()
                return
            file.truncate(0)  # a killed process may have left it unfinished
            write(file)
            size = file.seek(0, os.SEEK_END)
            digest = _digest(file, path.name, size)
            file.seek(size)
            file.write(digest.encode())
            put_in_place(file, part, path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise


def _digest(file: BinaryIO, name: str, size: int) -> str:
    """SHA-256 (hex) of a file: of its name, the science version, and its first bytes."""
    digest = hashlib.sha256(_identity(name).encode())
    file.seek(0)
    while size > 0 and (piece := file.read(min(CHUNK, size))):
        digest.update(piece)
        size -= len(piece)
    return digest.hexdigest()


def _identity(name: str) -> str:
    """What a file is digested with besides its bytes, so that no other is taken for it."""
    return f"{name} of science version {SCIENCE_VERSION}\n"


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
