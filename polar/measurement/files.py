"""Reads codes from files, and writes their measurement into files."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from pyarrow.parquet import ParquetFile
from torch import Tensor

from polar import figures
from polar.entropy.samples import Array
from polar.errors import InvalidInput
from polar.files import written_aside
from polar.measurement.tables import measurement_tables, representations_table
from polar.records.measurement import MEASUREMENT_FILE, Measurement
from polar.regime.arrays import as_array, as_float64
from polar.regime.codes import codes
from polar.regime.table import table_to_parquet

#: Bytes that an archive may inflate to: a few kB of zeros could fill any memory.
LARGEST_INFLATED = 2**30
NPY, ZIP, PARQUET, PICKLE = b"\x93NUMPY", b"PK\x03\x04", b"PAR1", b"\x80"
#: Bytes of a cell of a table when it is read; texts take more.
BYTES_OF_A_CELL = 8
ALLOWED = ".npy, .npz with one array, .pt with one tensor, .parquet, or .csv"


def load_array(path: Path) -> NDArray[Any]:
    """Reads an array of numbers or text, and never runs what a file may hold besides.

    Args:
        path: An `.npy` file, which is mapped, not read; an `.npz` archive of one array; a `.pt`
            file of torch with one tensor; a Parquet file, or a `.csv` file with or without a line
            of names, whose columns are those of the array. The content of the file decides which
            it is, not its name, except for `.csv`, which is text like any other.

    Raises:
        InvalidInput: there is no such file, or it is something else; the message says what.
    """
    if path.exists() and not path.is_file():  # reading a pipe would wait for ever
        raise InvalidInput(f"{path} is no regular file; allowed: {ALLOWED}")
    try:
        with path.open("rb") as file:
            start = file.read(len(NPY))
        if start == NPY:
            return np.load(path, mmap_mode="r", allow_pickle=False)
        if start.startswith(PARQUET):
            return _columns(path, _parquet(path))
        if start.startswith(ZIP):
            return _only_tensor(path) if _is_of_torch(path) else _only_array(path)
        if start.startswith(PICKLE):
            return _only_tensor(path)
        if path.suffix.lower() == ".csv":
            return _columns(path, _table(path))
    except FileNotFoundError:
        raise InvalidInput(f"there is no file {path}") from None
    except InvalidInput:
        raise
    except Exception as why:  # errors of files, archives, compression and Python's tokenizer
        raise InvalidInput(f"{path} is not an array of numbers or text: {why}") from why
    raise InvalidInput(f"{path} is no file of NumPy; allowed: {ALLOWED}")


def _is_of_torch(path: Path) -> bool:
    """Whether an archive is one of torch's; refuses those that inflate without end."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
    _refuse_if_large(path, sum(member.file_size for member in members))
    return any(member.filename.endswith("/data.pkl") for member in members)


def _only_tensor(path: Path) -> NDArray[Any]:
    content = torch.load(path, map_location="cpu", weights_only=True)
    tensors = content if isinstance(content, dict) else {"": content}
    if len(tensors) != 1:
        names = ", ".join(map(str, tensors)) or "none"
        raise InvalidInput(f"{path} holds {len(tensors)} tensors ({names}); allowed: one")
    (tensor,) = tensors.values()
    if not isinstance(tensor, Tensor):
        raise InvalidInput(f"{path} holds a {type(tensor).__name__}; allowed: a tensor")
    _refuse_if_large(path, tensor.numel() * tensor.element_size())  # a view can repeat its numbers
    return as_array(str(path), tensor)


def _parquet(path: Path) -> pd.DataFrame:
    """The table of a Parquet file; equal values take no room in it, so that few bytes are many."""
    with ParquetFile(path) as file:
        cells = file.metadata.num_rows * file.metadata.num_columns
        _refuse_if_large(path, cells * BYTES_OF_A_CELL)
        return file.read().to_pandas()


def _refuse_if_large(path: Path, size: int) -> None:
    if size > LARGEST_INFLATED:
        raise InvalidInput(
            f"{path} inflates to {size:,} bytes; allowed: up to {LARGEST_INFLATED:,}, or .npy"
        )


def _table(path: Path) -> pd.DataFrame:
    """The table of a CSV file; its first line is one of names unless it has only numbers."""
    first = pd.read_csv(path, header=None, nrows=1)
    is_of_numbers = all(dtype.kind in "iuf" for dtype in first.dtypes)
    return pd.read_csv(path, header=None if is_of_numbers else 0)


def _columns(path: Path, table: pd.DataFrame) -> NDArray[Any]:
    """A table as an array of numbers (n, columns), or its only column as an array (n,)."""
    if table.shape[1] == 1:
        return table.iloc[:, 0].to_numpy()
    others = [name for name, kind in table.dtypes.items() if kind.kind not in "iuf"]
    if others:
        raise InvalidInput(
            f"{path} has columns that are no numbers: {', '.join(map(str, others))}; allowed: "
            "numbers in all columns, or only one column"
        )
    return table.to_numpy()


def _only_array(path: Path) -> NDArray[Any]:
    with np.load(path, allow_pickle=False) as arrays:
        if len(arrays.files) != 1:
            names = ", ".join(arrays.files) or "none"
            raise InvalidInput(f"{path} holds {len(arrays.files)} arrays ({names}); allowed: one")
        array: NDArray[Any] | bytes = arrays[arrays.files[0]]
    if isinstance(array, bytes):  # what NumPy returns for a member that is no array
        raise InvalidInput(f"{path} holds no array; allowed: {ALLOWED}")
    return array


def refuse_measured(folder: Path) -> None:
    """Refuses a folder that has a measurement already, which new files would mix with.

    Raises:
        InvalidInput: it has one.
    """
    if (folder / MEASUREMENT_FILE).exists():
        raise InvalidInput(f"{folder} has a measurement already; allowed: another folder")


def save_measurement(
    measurement: Measurement,
    folder: Path,
    mean: Tensor | Array,
    variance: Tensor | Array | None = None,
    *,
    usage: Tensor | Array | None = None,
) -> list[Path]:
    """Writes a measurement as tables, figures and `measurement.json`, which comes last.

    The same arguments give the same bytes. Every file is either whole or not there.

    Args:
        measurement: The measurement of these codes.
        folder: Where `latents.parquet` and the other tables (see `measurement_tables`) and
            `figures/*.png` go, each figure with its numbers next to it; made if need be.
        mean: The mean representation that was measured, shape (n, m).
        variance: The variances of the posteriors, shape (n, m); none for a deterministic model.
        usage: Rise of the reconstruction loss when a latent is set to its mean, shape (m,).

    Returns:
        The paths of all files.

    Raises:
        InvalidInput: mean, variance or usage have another shape than those that were measured; or
            the folder has a measurement already, which the new files would mix with.
    """
    refuse_measured(folder)
    measured = codes(mean, variance)
    if measured.mean.shape != (measurement.images, len(measurement.latents)):
        raise InvalidInput(
            f"mean of shape {measured.mean.shape}; "
            f"allowed: ({measurement.images}, {len(measurement.latents)}), as was measured"
        )
    tables = measurement_tables(measurement)
    drawn = {**tables, "representations": representations_table(measured, measurement)}
    if usage is not None:
        nats = as_float64("usage", usage)
        drawn["usage"] = pd.DataFrame({"latent": range(len(nats)), "usage_nats": nats})
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{name}.parquet" for name in tables]
    for table, path in zip(tables.values(), paths, strict=True):
        table_to_parquet(table, path)
    tau = measurement.verdict.tau_nats
    paths += figures.save_figures(drawn, tau, folder / "figures")
    return [*paths, save_json(measurement, folder)]


def save_json(measurement: Measurement, folder: Path) -> Path:
    """Writes `measurement.json` into a folder; the file is complete and on disk, or not there."""
    path = folder / MEASUREMENT_FILE
    with written_aside(path, is_durable=True) as aside:
        aside.write_text(measurement.model_dump_json(indent=2) + "\n", "utf-8")
    return path
