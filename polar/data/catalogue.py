"""Where the files of each dataset are, and their digest.

Imports no numpy and no torch: an agent that only advertises its datasets has neither loaded.
"""

import hashlib
import importlib.util
import os
from collections.abc import Callable
from pathlib import Path

from polar.errors import DatasetError, DatasetMissing, InvalidInput

#: Environment variable with the folder of downloaded datasets; read at every call.
DATA_DIR_VARIABLE = "POLAR_DATA_DIR"


def files(name: str, data_dir: Path | None = None) -> tuple[Path, ...]:
    """The files of a dataset in their fixed order, whether or not they exist.

    Args:
        name: Such as `digits` or `mnist`.
        data_dir: Folder of downloaded datasets, in torchvision's layout; by default that of the
            environment variable `POLAR_DATA_DIR`. The digits ship with scikit-learn and need none.

    Raises:
        InvalidInput: there is no dataset of this name.
        DatasetMissing: the dataset needs a folder and none was named.
    """
    if name not in _FILES:
        raise InvalidInput(f"there is no dataset {name!r}; allowed: {', '.join(_FILES)}")
    return _FILES[name](data_dir)


def digest(name: str, data_dir: Path | None = None) -> str:
    """SHA-256 (hex) of the contents of a dataset's files, in their fixed order.

    Raises:
        DatasetMissing: a file is not there.
        DatasetError: a file cannot be read.
    """
    content = hashlib.sha256()
    for path in files(name, data_dir):
        content.update(read(name, path))
    return content.hexdigest()


def available(data_dir: Path | None = None) -> dict[str, str]:
    """Name and digest of every dataset whose files are on this machine.

    A broken file still counts: the run that reads it fails with the reason.
    """
    found = {}
    for name in _FILES:
        try:
            found[name] = digest(name, data_dir)
        except DatasetError:
            continue
    return found


def read(name: str, path: Path) -> bytes:
    """The content of one file of a dataset.

    Raises:
        DatasetMissing: the file is not there.
        DatasetError: the file cannot be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise DatasetMissing(f"dataset {name}: there is no file {path}") from error
    except OSError as error:
        raise DatasetError(f"dataset {name}: cannot read {path}: {error.strerror}") from error


def _digits(_data_dir: Path | None) -> tuple[Path, ...]:
    # find_spec finds the package without importing it: no numpy.
    sklearn = importlib.util.find_spec("sklearn")
    if sklearn is None or not sklearn.submodule_search_locations:
        raise DatasetMissing("dataset digits: it ships with scikit-learn, which is not installed")
    return (Path(sklearn.submodule_search_locations[0], "datasets", "data", "digits.csv.gz"),)


def _mnist(data_dir: Path | None) -> tuple[Path, ...]:
    folder = data_dir or os.environ.get(DATA_DIR_VARIABLE)
    if not folder:
        raise DatasetMissing(
            f"dataset mnist: no data folder was named; set {DATA_DIR_VARIABLE} or give --data-dir "
            "to a folder with MNIST/raw/train-images-idx3-ubyte (or --download to fetch it)"
        )
    raw = Path(folder, "MNIST", "raw")
    return (raw / "train-images-idx3-ubyte", raw / "train-labels-idx1-ubyte")


_FILES: dict[str, Callable[[Path | None], tuple[Path, ...]]] = {"digits": _digits, "mnist": _mnist}
