"""Where the files of each dataset are, and their digest.

Imports no numpy and no torch: an agent that only advertises its datasets has neither loaded.
"""

import gzip
import hashlib
import importlib.util
import os
import tempfile
import zlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from polar.errors import DatasetCorrupt, DatasetError, DatasetMissing, InvalidInput

#: Environment variable with the folder of downloaded datasets; read at every call.
DATA_DIR_VARIABLE = "POLAR_DATA_DIR"

#: Environment variable with the folder for what can be made again; read at every call.
CACHE_DIR_VARIABLE = "POLAR_CACHE_DIR"
#: Bytes from which on a digest is remembered rather than taken at every call.
LARGE = 100_000_000

#: The official parts of smallNORB, by the spec's names, and how their files begin.
NORB_PARTS = {
    "train": "smallnorb-5x46789x9x18x6x2x96x96-training",
    "test": "smallnorb-5x01235x9x18x6x2x96x96-testing",
}
DSPRITES = "dsprites_ndarray_co1sh3sc6or40x32y32_64x64.npz"
#: Of the sprites that Polar draws; raised whenever a pixel changes.
SPRITES_VERSION = 1
#: Bytes read at once.
CHUNK = 1 << 20


def names() -> tuple[str, ...]:
    """Of all datasets."""
    return tuple(_FILES)


def check_name(name: str) -> None:
    """Refuses what is no dataset.

    Raises:
        InvalidInput: there is no dataset of this name.
    """
    if name not in _FILES:
        raise InvalidInput(f"there is no dataset {name!r}; allowed: {', '.join(_FILES)}")


def files(name: str, data_dir: Path | None = None) -> tuple[Path, ...]:
    """The files of a dataset in their fixed order, whether or not they exist.

    Args:
        name: Such as `digits` or `mnist`.
        data_dir: Folder of downloaded datasets, MNIST in torchvision's layout; by default that of
            the environment variable `POLAR_DATA_DIR`. The digits ship with scikit-learn and need
            none; the sprites are drawn and have no files.

    Raises:
        InvalidInput: there is no dataset of this name.
        DatasetMissing: the dataset needs a folder and none was named.
    """
    check_name(name)
    return _FILES[name](data_dir)


def digest(name: str, data_dir: Path | None = None) -> str:
    """SHA-256 (hex) of the contents of a dataset's files, in their fixed order.

    Gzipped files count as what is inside, so that unpacking them changes nothing. The digest of
    large files is remembered with their sizes and times of change.

    Raises:
        DatasetMissing: a file is not there.
        DatasetError: a file cannot be read.
    """
    if name == "sprites":
        return sprites_digest()
    paths = files(name, data_dir)
    looks = [_look_of(name, path) for path in paths]
    if sum(size for _, size, _ in looks) < LARGE:
        return _hash(name, paths)
    known = cache_dir() / "digests" / hashlib.sha256(repr(looks).encode()).hexdigest()
    remembered = _text(known)
    if remembered is None:
        remembered = _hash(name, paths)
        _remember(known, remembered)
    return remembered


def cache_dir() -> Path:
    """The folder for prepared images and remembered digests; nothing in it is needed."""
    if given := os.environ.get(CACHE_DIR_VARIABLE):
        return _expanded(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or _users_cache(), "polar")


def _users_cache() -> Path:
    """`~/.cache`, or a temporary folder of users who have no home that they may write to."""
    with suppress(RuntimeError):  # there is no home at all
        home = Path.home()
        if any(os.access(folder, os.W_OK) for folder in (home / ".cache", home)):
            return home / ".cache"
    temporary = Path(tempfile.gettempdir(), f"polar-cache-{os.getuid()}")
    with suppress(FileExistsError):
        temporary.mkdir(mode=0o700)
    if temporary.lstat().st_uid != os.getuid():  # somebody else's, who could change our images
        raise DatasetError(f"{temporary} is not ours; {CACHE_DIR_VARIABLE} names another folder")
    return temporary


def _expanded(folder: Path | str) -> Path:
    """With the home of the user in the place of a `~`, which stays where there is none."""
    return Path(os.path.expanduser(folder))


def sprites_digest() -> str:
    """SHA-256 (hex) of what decides the sprites, which have no files."""
    return hashlib.sha256(f"polar sprites {SPRITES_VERSION}".encode()).hexdigest()


def norb_files(part: str, data_dir: Path | None = None) -> tuple[Path, Path, Path]:
    """Images, categories and other factors of one part of smallNORB; unpacked ones first."""
    images, category, info = (
        _unpacked_or_gzipped(_folder("smallnorb", data_dir) / f"{NORB_PARTS[part]}-{kind}.mat")
        for kind in ("dat", "cat", "info")
    )
    return images, category, info


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
    raw = _folder("MNIST", data_dir) / "raw"
    return (raw / "train-images-idx3-ubyte", raw / "train-labels-idx1-ubyte")


def _smallnorb(data_dir: Path | None) -> tuple[Path, ...]:
    return tuple(path for part in NORB_PARTS for path in norb_files(part, data_dir))


def _dsprites(data_dir: Path | None) -> tuple[Path, ...]:
    return (_folder("dsprites", data_dir) / DSPRITES,)


def _sprites(_data_dir: Path | None) -> tuple[Path, ...]:
    return ()


def _folder(name: str, data_dir: Path | None) -> Path:
    folder = data_dir or os.environ.get(DATA_DIR_VARIABLE)
    if not folder:
        raise DatasetMissing(
            f"dataset {name.lower()}: no data folder was named; set {DATA_DIR_VARIABLE} or give "
            f"--data-dir to a folder with {name}/ in it (or `polar data fetch {name.lower()}`)"
        )
    return _expanded(folder) / name


def _unpacked_or_gzipped(path: Path) -> Path:
    gzipped = path.with_name(f"{path.name}.gz")
    return gzipped if gzipped.exists() and not path.exists() else path


def _look_of(name: str, path: Path) -> tuple[str, int, int]:
    try:
        stat = path.stat()
    except FileNotFoundError as error:
        raise DatasetMissing(f"dataset {name}: there is no file {path}") from error
    except OSError as error:
        raise DatasetError(f"dataset {name}: cannot read {path}: {error.strerror}") from error
    return str(path.absolute()), stat.st_size, stat.st_mtime_ns


def _hash(name: str, paths: Iterable[Path]) -> str:
    content = hashlib.sha256()
    for path in paths:
        is_packed = name == "smallnorb" and path.suffix == ".gz"
        try:
            with gzip.open(path) if is_packed else path.open("rb") as file:
                while chunk := file.read(CHUNK):
                    content.update(chunk)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise DatasetCorrupt(f"dataset {name}: cannot unpack {path}: {error}") from error
        except OSError as error:
            reason = error.strerror or error
            raise DatasetError(f"dataset {name}: cannot read {path}: {reason}") from error
    return content.hexdigest()


def _text(known: Path) -> str | None:
    try:
        return known.read_text("ascii")
    except OSError:
        return None


def _remember(known: Path, digest: str) -> None:
    with suppress(OSError):  # without it, the digest is taken again next time
        known.parent.mkdir(parents=True, exist_ok=True)
        part = known.with_name(f"{known.name}.{os.getpid()}")
        part.write_text(digest, "ascii")
        os.replace(part, known)


_FILES: dict[str, Callable[[Path | None], tuple[Path, ...]]] = {
    "digits": _digits,
    "mnist": _mnist,
    "smallnorb": _smallnorb,
    "dsprites": _dsprites,
    "sprites": _sprites,
}
