"""Reads pictures as people keep them: arrays of NumPy, folders of files, tables.

Every reader gives its pictures one at a time, so that more than fit into memory can be read.
"""

import csv
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from polar.data.pictures import Picture, Pictures, Value, decoded, has_no_colours, opened
from polar.data.torchvision_sets import TORCHVISION, of_torchvision
from polar.errors import DatasetCorrupt, InvalidInput

#: How an `.npy` file begins.
NPY = b"\x93NUMPY"
PICTURE_FILES = (".png", ".jpg", ".jpeg")
#: Names that the array of images has in files of several arrays, in the order of preference.
IMAGE_NAMES = ("images", "imgs", "image", "x", "X", "data")
#: Name of the factor that the folders of pictures are.
FOLDER = "folder"


def pictures(source: str, data_dir: Path) -> Pictures:
    """The pictures of a path, or of a dataset of torchvision.

    Args:
        source: A file of NumPy (`.npy`, `.npz`), a Parquet file, a folder of PNG and JPEG files,
            `torchvision:CLASS` or `torchvision:CLASS:SPLIT`.
        data_dir: Folder of datasets, into which torchvision downloads.

    Raises:
        InvalidInput: there are no pictures there that could be read.
        DatasetMissing: torchvision is not installed, or cannot download the dataset.
        DatasetCorrupt: a file is damaged.
    """
    if source.startswith(TORCHVISION):
        return of_torchvision(source.removeprefix(TORCHVISION), data_dir / "torchvision")
    path = Path(source)
    if path.is_dir():
        return _of_folder(path)
    if not path.is_file():
        raise InvalidInput(f"there is no file or folder {path}; allowed: {_allowed()}")
    readers = {".npy": _of_npy, ".npz": _of_npz, ".parquet": _of_parquet}
    if path.suffix.lower() not in readers:
        raise InvalidInput(f"images of {path} cannot be read; allowed: {_allowed()}")
    return readers[path.suffix.lower()](path)


def factors_of_table(path: Path, found: Pictures) -> dict[str, Sequence[Value]]:
    """The factors in a CSV file, whose first line names them.

    Where the first column holds the names of the pictures, its rows are joined to them by name;
    otherwise they belong to the pictures in order. A name is the path below the folder, or as much
    of it as names one picture only: its last part, or that without its ending.

    Raises:
        InvalidInput: the file is no table, has another number of rows, misses a picture, or has
            names in its first column that are not those of the pictures.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            header, *rows = csv.reader(file)
    except (OSError, ValueError, csv.Error) as error:  # ValueError: no header, or no text
        raise InvalidInput(f"the factors {path} cannot be read: {error}") from error
    if len(set(header)) < len(header):
        raise InvalidInput(f"{path} has the columns {', '.join(header)}; allowed: each name once")
    rows = [row for row in rows if row]
    if uneven := next((row for row in rows if len(row) != len(header)), None):
        raise InvalidInput(
            f"{path} has {len(header)} columns and a row of {len(uneven)}: {uneven}"
        )
    by_name = {row[0]: row[1:] for row in rows}
    known = next((each for each in _namings(found.names) if _are_meant(each, rows)), None)
    if known is not None:
        if missing := [name for name in known if name not in by_name]:
            raise InvalidInput(
                f"{path} has no row for {len(missing)} of {found.n} pictures, such as {missing[0]}"
                "; allowed: a first column that names every picture, or that names none"
            )
        rows, header = [by_name[name] for name in known], header[1:]
    elif found.names and rows and len(by_name) == len(rows) and _are_names(by_name):
        raise InvalidInput(
            f"the first column of {path} has names, such as {rows[0][0]}, and no picture has one "
            f"of them; allowed: names such as {found.names[0]}, or no such column"
        )
    if len(rows) != found.n:
        raise InvalidInput(
            f"{path} has {len(rows)} rows; allowed: {found.n}, one for each picture"
        )
    return {
        name: [_parsed(value) for value in column]
        for name, column in zip(header, zip(*rows, strict=True), strict=True)
    }


def _namings(names: Sequence[str]) -> Iterator[Sequence[str]]:
    """The ways to name the pictures in which every picture has a name of its own."""
    paths = [PurePosixPath(name) for name in names]
    for named in (
        names,
        [str(path.with_suffix("")) for path in paths],
        [path.name for path in paths],
        [path.stem for path in paths],
    ):
        if len(set(named)) == len(named):
            yield named


def _are_meant(names: Sequence[str], rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first column names pictures that have these names.

    Numbers are names only where they differ, because those that repeat are a factor.
    """
    column = [row[0] for row in rows]
    shared = set(names) & set(column)
    return bool(shared) and (_are_names(shared) or len(set(column)) == len(column))


def _are_names(values: Iterable[str]) -> bool:
    return all(isinstance(_parsed(value), str) for value in values)


def _allowed() -> str:
    return (
        "a file .npy, .npz or .parquet, a folder of .png and .jpg files, or torchvision:CLASS, "
        "such as torchvision:FashionMNIST"
    )


def _parsed(value: str) -> Value:
    """A number where the text is one, so that values are sorted as numbers."""
    for kind in (int, float):
        try:
            return kind(value)
        except ValueError:
            continue
    return value


def _of_npy(path: Path) -> Pictures:
    try:
        with path.open("rb") as file:
            if file.read(len(NPY)) != NPY:
                raise ValueError("it does not begin as one")
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise DatasetCorrupt(f"{path} is no file of NumPy: {error}") from error
    return _of_array(path, array, {})


def _of_npz(path: Path) -> Pictures:
    try:
        with path.open("rb") as content, np.load(content, allow_pickle=False) as file:
            read = {name: _plain_array(file, name) for name in file.files}
    except (OSError, ValueError, EOFError, BadZipFile) as error:
        raise DatasetCorrupt(f"{path} is no file of NumPy: {error}") from error
    arrays = {name: array for name, array in read.items() if array is not None}
    named = [name for name in IMAGE_NAMES if name in arrays and arrays[name].ndim >= 3]
    large = [name for name, array in arrays.items() if array.ndim >= 3]
    if not named and len(large) != 1:
        raise InvalidInput(
            f"{path} has the arrays {', '.join(arrays) or 'none'}; allowed: the images as "
            "`images`, or as the only array with at least 3 dimensions"
        )
    images = arrays.pop((named or large)[0])
    return _of_array(path, images, dict(_columns(arrays, len(images))))


def _plain_array(file: Any, name: str) -> NDArray[Any] | None:  # noqa: ANN401
    """An array, or None for one of objects, which would be read by running code in the file."""
    try:
        array = file[name]
    except ValueError:
        return None
    return array if isinstance(array, np.ndarray) else None


def _columns(arrays: Mapping[str, NDArray[Any]], n: int) -> Iterator[tuple[str, Sequence[Value]]]:
    """The arrays that have a value for each image, column by column."""
    for name, array in arrays.items():
        if array.ndim in (1, 2) and len(array) == n and array.dtype.kind in "biufUS":
            columns = array[:, None] if array.ndim == 1 else array
            for place, column in enumerate(columns.T):
                label = name if columns.shape[1] == 1 else f"{name}-{place}"
                yield label, [_plain(value) for value in column.tolist()]


def _plain(value: Any) -> Value:  # noqa: ANN401
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def _of_array(path: Path, array: NDArray[Any], factors: Mapping[str, Sequence[Value]]) -> Pictures:
    """Pictures of an array (n, h, w), (n, h, w, c) or (n, c, h, w)."""
    if array.ndim == 4 and array.shape[1] in (1, 3) and array.shape[3] not in (1, 3):
        array = array.transpose(0, 2, 3, 1)
    if array.ndim == 3:
        array = array[..., None]
    if array.ndim != 4 or array.shape[3] not in (1, 3) or len(array) == 0:
        raise InvalidInput(
            f"the images of {path} have shape {array.shape}; allowed: (n, side, side), or with 1 "
            "or 3 channels before or after the sides"
        )
    if array.dtype != np.uint8 and array.dtype.kind != "f":
        raise InvalidInput(
            f"the images of {path} are {array.dtype}; allowed: uint8, or floats from 0 to 1"
        )

    def each() -> Iterator[Picture]:
        for place, picture in enumerate(array):
            yield _as_bytes(f"image {place} of {path}", picture)

    return Pictures(len(array), each, factors)


def _as_bytes(what: str, picture: NDArray[Any]) -> Picture:
    if picture.dtype == np.uint8:
        return np.ascontiguousarray(picture)
    low, high = picture.min(), picture.max()
    if not (low >= 0 and high <= 1):
        raise InvalidInput(f"{what} has values from {low} to {high}; allowed: floats from 0 to 1")
    return np.round(picture.astype(np.float64) * 255).astype(np.uint8)


def _of_folder(folder: Path) -> Pictures:
    paths = sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in PICTURE_FILES and path.is_file()
    )
    if not paths:
        raise InvalidInput(f"the folder {folder} has no pictures; allowed: .png and .jpg files")
    names = [path.relative_to(folder).as_posix() for path in paths]
    folders = [path.parent.relative_to(folder).as_posix() for path in paths]
    is_grey = all(_is_grey(str(path), path) for path in paths)

    def each() -> Iterator[Picture]:
        return (decoded(str(path), path, is_grey=is_grey) for path in paths)

    return Pictures(len(paths), each, {FOLDER: folders} if set(folders) - {"."} else {}, names)


def _is_grey(what: str, file: Path | io.BytesIO) -> bool:
    with opened(what, file) as picture:
        return has_no_colours(picture)


def _of_parquet(path: Path) -> Pictures:
    import pyarrow.parquet as pq

    with _whole_parquet(path):
        table = pq.ParquetFile(path)
        fields = {field.name: field.type for field in table.schema_arrow}
    images = [name for name, kind in fields.items() if _holds_pictures(kind)]
    if len(images) != 1:
        raise InvalidInput(
            f"{path} has the columns {', '.join(fields)}, of which {len(images)} hold pictures; "
            "allowed: one column of the bytes of PNG or JPEG files"
        )
    (column,) = images
    others = [name for name, kind in fields.items() if name != column and _is_factor(kind)]

    def encoded() -> Iterator[tuple[str, io.BytesIO]]:
        place = 0
        with _whole_parquet(path):
            for batch in table.iter_batches(256, columns=[column]):
                for value in batch.column(0).to_pylist():
                    content = value["bytes"] if isinstance(value, dict) else value
                    yield f"row {place} of {path}", io.BytesIO(content or b"")
                    place += 1

    with _whole_parquet(path):
        factors = table.read(columns=others).to_pydict() if others else {}
    is_grey = all(_is_grey(what, file) for what, file in encoded())

    def each() -> Iterator[Picture]:
        return (decoded(what, file, is_grey=is_grey) for what, file in encoded())

    return Pictures(table.metadata.num_rows, each, factors)


@contextmanager
def _whole_parquet(path: Path) -> Iterator[None]:
    """Raises `DatasetCorrupt` where pyarrow cannot read a file."""
    import pyarrow as pa

    try:
        yield
    except (OSError, pa.ArrowException) as error:
        raise DatasetCorrupt(f"{path} is no Parquet file that can be read: {error}") from error


def _holds_pictures(kind: Any) -> bool:  # noqa: ANN401
    import pyarrow as pa

    if pa.types.is_struct(kind):
        return any(field.name == "bytes" for field in kind)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _is_factor(kind: Any) -> bool:  # noqa: ANN401
    import pyarrow as pa

    tests = (pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_string)
    return any(test(kind) for test in tests) or bool(pa.types.is_large_string(kind))
