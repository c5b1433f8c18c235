"""smallNORB's matrix format, on bytes written here."""

import gzip
import struct
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from polar.data.matrix_format import open_matrix, read_matrix
from polar.errors import DatasetCorrupt, DatasetMissing

#: As the dataset's page lists them.
MAGIC = {
    "<f4": 0x1E3D4C51,
    "<f8": 0x1E3D4C53,
    "<i4": 0x1E3D4C54,
    "u1": 0x1E3D4C55,
    "<i2": 0x1E3D4C56,
}


def matrix(values: np.ndarray, order: Literal["<", ">"] = "<") -> bytes:
    """A file of these values; headers have room for at least three dimensions."""
    dims = [*values.shape, *[1] * (3 - values.ndim)]
    code = MAGIC[values.dtype.str if values.dtype.itemsize > 1 else "u1"]
    header = struct.pack(f"{order}{2 + len(dims)}I", code, values.ndim, *dims)
    return header + values.astype(values.dtype.newbyteorder(order)).tobytes()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "some.mat"


@pytest.mark.parametrize("dtype", sorted(MAGIC))
@pytest.mark.parametrize("shape", [(5,), (4, 2), (2, 3, 4), (2, 2, 3, 3)])
def test_every_kind_of_value_and_number_of_dimensions_is_read(
    dtype: str, shape: tuple[int, ...], path: Path
) -> None:
    values = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    path.write_bytes(matrix(values))

    read = read_matrix(path, dtype, shape)

    assert (read == values).all()
    assert read.dtype == np.dtype(dtype)


def test_a_gzipped_matrix_is_read_as_it_is(tmp_path: Path) -> None:
    values = np.arange(6, dtype="<i4").reshape(2, 3)
    packed = tmp_path / "some.mat.gz"
    packed.write_bytes(gzip.compress(matrix(values)))

    assert (read_matrix(packed, "<i4", (2, 3)) == values).all()


def test_rows_are_read_in_pieces(path: Path) -> None:
    values = np.arange(12, dtype="u1").reshape(6, 2)
    path.write_bytes(matrix(values))

    with open_matrix(path) as opened:
        pieces = [opened.read(4), opened.read(2)]
        opened.refuse_rest()

    assert (np.concatenate(pieces) == values).all()


def test_a_big_endian_file_is_refused_as_such(path: Path) -> None:
    path.write_bytes(matrix(np.arange(3, dtype="<i4"), order=">"))

    with pytest.raises(DatasetCorrupt, match=r"0x544c3d1e; allowed: .*it is big-endian"):
        read_matrix(path, "<i4", (3,))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "header ends after 0 of 8 bytes"),
        (struct.pack("<2I", 0x1E3D4C52, 1), "magic number 0x1e3d4c52"),
        (struct.pack("<2I", 0x1E3D4C55, 0), "0 dimensions; allowed: 1 to 8"),
        (struct.pack("<2I", 0x1E3D4C55, 2**31), "2147483648 dimensions"),
        (struct.pack("<4I", 0x1E3D4C55, 1, 4, 1), "header ends after 8 of 12 bytes"),
    ],
)
def test_a_broken_header_is_refused(content: bytes, message: str, path: Path) -> None:
    path.write_bytes(content)

    with pytest.raises(DatasetCorrupt, match=message):
        read_matrix(path, "u1", (4,))


@given(kept=st.integers(0, 43))
def test_a_file_cut_anywhere_is_refused(
    kept: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("cut") / "some.mat"
    content = matrix(np.arange(6, dtype="<i4").reshape(2, 3))
    assert len(content) == 44
    path.write_bytes(content[:kept])

    with pytest.raises(DatasetCorrupt, match="ends"):
        read_matrix(path, "<i4", (2, 3))


def test_a_gzip_stream_that_is_cut_damaged_or_none_is_refused(tmp_path: Path) -> None:
    packed = tmp_path / "some.mat.gz"
    whole = gzip.compress(matrix(np.arange(60_000, dtype="<i4")))

    damaged = whole[:1000] + bytes(1000) + whole[2000:]

    for content in (whole[:-20], damaged, b"no gzip at all, but text"):
        packed.write_bytes(content)
        with pytest.raises(DatasetCorrupt, match=r"some\.mat\.gz"):
            read_matrix(packed, "<i4", (60_000,))


def test_more_bytes_than_the_shape_needs_are_refused(path: Path) -> None:
    path.write_bytes(matrix(np.arange(3, dtype="<i4")) + b"\0")

    with pytest.raises(DatasetCorrupt, match=r"more bytes than its shape \(3,\) needs"):
        read_matrix(path, "<i4", (3,))


def test_another_matrix_is_refused_with_what_was_expected(path: Path) -> None:
    path.write_bytes(matrix(np.arange(3, dtype="<i4")))

    with pytest.raises(DatasetCorrupt, match=r"int32 of shape \(3,\); expected uint8 of \(3,\)"):
        read_matrix(path, "u1", (3,))


def test_a_missing_file_is_missing(path: Path) -> None:
    with pytest.raises(DatasetMissing, match=r"there is no file .*some\.mat"):
        read_matrix(path, "u1", (3,))
