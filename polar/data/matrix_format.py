"""The matrix format of smallNORB: little-endian, a magic number, the dimensions, the values.

Reference: the dataset's page, https://cs.nyu.edu/~ylclab/data/norb-v1.0-small/
"""

import gzip
import math
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from io import BufferedIOBase
from pathlib import Path
from typing import Any

import numpy as np

from polar.errors import DatasetCorrupt, DatasetError, DatasetMissing

#: Type of the values, by magic number.
KINDS: dict[int, np.dtype[Any]] = {
    0x1E3D4C51: np.dtype("<f4"),
    0x1E3D4C53: np.dtype("<f8"),
    0x1E3D4C54: np.dtype("<i4"),
    0x1E3D4C55: np.dtype("u1"),
    0x1E3D4C56: np.dtype("<i2"),
}
#: Headers have room for at least this many dimensions.
LEAST_DIMS = 3
MOST_DIMS = 8


@dataclass(frozen=True)
class Matrix:
    """An open file, positioned after its header."""

    path: Path
    file: BufferedIOBase
    dtype: np.dtype
    shape: tuple[int, ...]

    def read(self, rows: int) -> np.ndarray:
        """The next rows of the first dimension.

        Raises:
            DatasetCorrupt: the file ends earlier.
        """
        shape = (rows, *self.shape[1:])
        wanted = math.prod(shape) * self.dtype.itemsize
        content = _read(self.path, self.file, wanted)
        if len(content) < wanted:
            raise _corrupt(self.path, f"it ends early: {len(content)} of {wanted} bytes are left")
        return np.frombuffer(content, self.dtype).reshape(shape)

    def refuse_rest(self) -> None:
        """Refuses a file with bytes after the values.

        Raises:
            DatasetCorrupt: there are more bytes.
        """
        if _read(self.path, self.file, 1):
            raise _corrupt(self.path, f"there are more bytes than its shape {self.shape} needs")


@contextmanager
def open_matrix(path: Path) -> Iterator[Matrix]:
    """Opens a matrix, which is gzipped if its name ends in `.gz`, and reads the header.

    Raises:
        DatasetMissing: there is no such file.
        DatasetCorrupt: its header is not that of a matrix.
        DatasetError: it cannot be read.
    """
    try:
        file = path.open("rb")
    except FileNotFoundError as error:
        raise DatasetMissing(f"dataset smallnorb: there is no file {path}") from error
    except OSError as error:
        raise DatasetError(f"dataset smallnorb: cannot read {path}: {error.strerror}") from error
    with file, gzip.open(file) if path.suffix == ".gz" else nullcontext(file) as content:
        yield _behind_the_header(path, content)


def read_matrix(path: Path, dtype: str, shape: tuple[int, ...]) -> np.ndarray:
    """Reads a complete matrix with values of this type and of this shape.

    Raises:
        DatasetMissing: there is no such file.
        DatasetCorrupt: type or shape differ, or the file is not complete.
    """
    with open_matrix(path) as matrix:
        expect(matrix, dtype, shape)
        values = matrix.read(shape[0])
        matrix.refuse_rest()
    return values


def expect(matrix: Matrix, dtype: str, shape: tuple[int, ...]) -> None:
    """Refuses a matrix with values of another type, or of another shape.

    Raises:
        DatasetCorrupt: type or shape differ.
    """
    if (matrix.dtype, matrix.shape) != (np.dtype(dtype), shape):
        found = f"{matrix.dtype} of shape {matrix.shape}"
        raise _corrupt(matrix.path, f"it holds {found}; expected {np.dtype(dtype)} of {shape}")


def _behind_the_header(path: Path, file: BufferedIOBase) -> Matrix:
    magic, n_dims = struct.unpack("<2I", _header(path, file, 8))
    if magic not in KINDS:
        known = ", ".join(f"0x{number:08x}" for number in KINDS)
        swapped = int.from_bytes(magic.to_bytes(4, "little"), "big")
        hint = "; it is big-endian, which smallNORB is not" if swapped in KINDS else ""
        raise _corrupt(path, f"magic number 0x{magic:08x}; allowed: {known}{hint}")
    if not 1 <= n_dims <= MOST_DIMS:
        raise _corrupt(path, f"{n_dims} dimensions; allowed: 1 to {MOST_DIMS}")
    stored = max(n_dims, LEAST_DIMS)
    dims = struct.unpack(f"<{stored}I", _header(path, file, 4 * stored))
    return Matrix(path, file, KINDS[magic], dims[:n_dims])


def _header(path: Path, file: BufferedIOBase, length: int) -> bytes:
    content = _read(path, file, length)
    if len(content) < length:
        raise _corrupt(path, f"its header ends after {len(content)} of {length} bytes")
    return content


def _read(path: Path, file: BufferedIOBase, length: int) -> bytes:
    try:
        return file.read(length)
    except (
        OSError,
        EOFError,
        zlib.error,
    ) as error:  # not a gzip stream, or one that is cut or damaged
        raise _corrupt(path, str(error)) from error


def _corrupt(path: Path, what: str) -> DatasetCorrupt:
    return DatasetCorrupt(f"dataset smallnorb: {path}: {what}")
