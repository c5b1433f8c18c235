"""The datasets of this machine: where their files are, and their digest.

What is special about a dataset is said by its spec (`polar.spec.datasets`). This module imports
no numpy and no torch, so that an agent which only advertises its datasets loads neither.
"""

import gzip
import hashlib
import importlib.util
import os
import re
import stat
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import assert_never

from polar.data.places import GZIPPED, find, other_places, places
from polar.errors import DatasetCorrupt, DatasetError, DatasetMissing, InvalidInput
from polar.files import written_aside
from polar.folders import DATA_DIR_VARIABLE, cache_dir
from polar.folders import data_dir as folder
from polar.spec import own_images
from polar.spec.datasets import DATASETS
from polar.spec.sources import Added, Downloaded, Drawn, Packaged, Source, SourceFile

#: Bytes of files from which on their digest is remembered rather than taken at every call, which
#: takes 6 ms for so many.
LARGE = 10_000_000
#: A digest is not remembered of files that changed so shortly before: another change could get the
#: same time, because the clocks of file systems tick slowly.
SETTLED_S = 2.0
#: Bytes read at once.
CHUNK = 1 << 20


@dataclass(frozen=True)
class FileState:
    """What is seen of a file from outside; a change of what is in it changes this too."""

    path: str
    size: int
    inode: int
    modified_ns: int
    #: Time of the last change of the content or of what is said above; unlike the time of the
    #: modification it cannot be set, not even by a copy that keeps times.
    changed_ns: int

    @classmethod
    def of(cls, path: Path, status: os.stat_result) -> "FileState":
        """The state of a file by what `os.stat` has said of it."""
        place = str(path.absolute())
        return cls(place, status.st_size, status.st_ino, status.st_mtime_ns, status.st_ctime_ns)


def source(name: str, data_dir: Path | None = None) -> Source:
    """Where the images of a dataset come from.

    Raises:
        InvalidInput: there is no dataset of this name.
    """
    if name in DATASETS:
        return DATASETS[name].source
    if own_images.is_added(name, data_dir):
        return Added()
    raise InvalidInput(f"there is no dataset {name!r}; allowed: {', '.join(names(data_dir))}")


def names(data_dir: Path | None = None) -> tuple[str, ...]:
    """The published datasets, and those that were added to this machine."""
    return (*DATASETS, *own_images.on_this_machine(data_dir))


def downloads(name: str, data_dir: Path | None = None) -> tuple[SourceFile, ...]:
    """The files that a dataset is downloaded as, in the order of `files`; often none.

    Raises:
        InvalidInput: there is no dataset of this name.
    """
    match source(name, data_dir):
        case Downloaded(files):
            return files
        case Packaged() | Drawn() | Added():
            return ()
        case other:
            assert_never(other)


def files(name: str, data_dir: Path | None = None) -> tuple[Path, ...]:
    """The files of a dataset in their fixed order, whether or not they exist.

    Each file is searched for by itself, in the places of `polar.data.places`.

    Args:
        name: Such as `digits` or `mnist`.
        data_dir: As for `folder`; only downloaded datasets need one. Drawn ones have no files.

    Raises:
        InvalidInput: there is no dataset of this name.
        DatasetMissing: the package with the dataset is not installed.
    """
    match source(name, data_dir):
        case Downloaded(sought):
            return tuple(find(file, folder(data_dir)) for file in sought)
        case Packaged() as packaged:
            return (_inside_package(name, packaged),)
        case Added():
            within = own_images.folder_of(name, data_dir)
            return (within / own_images.IMAGES_FILE, within / own_images.FACTORS_FILE)
        case Drawn():
            return ()
        case other:
            assert_never(other)


def digest(name: str, data_dir: Path | None = None) -> str:
    """SHA-256 (hex) of the contents of a dataset's files, in their fixed order.

    Gzipped files count as what is inside, so that unpacking them changes nothing.

    Raises:
        DatasetMissing: a file is not there; the message says where it was searched for.
        DatasetCorrupt: a gzipped file cannot be unpacked.
        DatasetError: a file cannot be read.
    """
    if isinstance(drawn := source(name, data_dir), Drawn):
        return hashlib.sha256(f"polar {name} {drawn.version}".encode()).hexdigest()
    paths = files(name, data_dir)
    states = [_state_of(name, path, data_dir) for path in paths]
    return remembered(name, states, lambda: _hash(name, paths))


def remembered(of: str, states: Sequence[FileState], take: Callable[[], str]) -> str:
    """A digest of files, which is remembered until one of them changes if they are large.

    Args:
        of: What the digest is of besides their content, so that another one of the same files is
            not taken for it.
        states: The states of the files before the digest is taken.
        take: Takes the digest.
    """
    if sum(state.size for state in states) < LARGE:
        return take()
    try:
        known = cache_dir() / "digests" / hashlib.sha256(repr((of, states)).encode()).hexdigest()
    except DatasetError:  # there is no folder to remember it in
        return take()
    if (before := _recalled(known)) is not None:
        return before
    taken = take()
    if time.time_ns() - max(state.changed_ns for state in states) > SETTLED_S * 1e9:
        _remember(known, taken)
    return taken


def available(data_dir: Path | None = None) -> dict[str, str]:
    """Name and digest of every dataset whose files are on this machine.

    A dataset with a broken file still counts, because the run that reads it fails and says why.
    """
    found = {}
    for name in names(data_dir):
        try:
            found[name] = digest(name, data_dir)
        except (DatasetError, InvalidInput):  # InvalidInput if it was removed meanwhile
            continue
    return found


def read(name: str, path: Path) -> bytes:
    """The content of one file of a dataset, as its digest counts it.

    Raises:
        DatasetMissing: the file is not there.
        DatasetCorrupt: it cannot be unpacked.
        DatasetError: the file cannot be read.
    """
    return b"".join(_content(name, path))


def counts_as_stored(name: str, path: Path) -> bool:
    """Whether the bytes of a dataset's file count as they are stored; else what they unpack to.

    The file of a package always comes in one form, so that it is never unpacked.
    """
    return path.suffix != GZIPPED or isinstance(source(name), Packaged)


def refuse_special(name: str, path: Path, status: os.stat_result) -> None:
    """Refuses a path that is no regular file, such as a pipe, on which a reader would wait.

    A folder passes, because opening it fails with a clear reason.

    Raises:
        DatasetError: the path is neither a file nor a folder.
    """
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        raise DatasetError(f"dataset {name}: {path} is no regular file; put the file itself there")


def _inside_package(name: str, packaged: Packaged) -> Path:
    # find_spec looks for the package without importing it, which would load numpy
    spec = importlib.util.find_spec(packaged.module)
    if spec is None or not spec.submodule_search_locations:
        raise DatasetMissing(
            f"dataset {name}: it ships with {packaged.distribution}, which is not installed"
        )
    return Path(spec.submodule_search_locations[0], packaged.path)


def _state_of(name: str, path: Path, data_dir: Path | None) -> FileState:
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DatasetMissing(_where_it_is_not(name, path, data_dir)) from error
    except OSError as error:
        raise _unreadable(name, path, error) from error
    refuse_special(name, path, status)
    return FileState.of(path, status)


def _where_it_is_not(name: str, path: Path, data_dir: Path | None) -> str:
    missing = f"dataset {name}: there is no file {path}"
    if path.is_symlink():
        return f"{missing}: the link there leads nowhere"
    root = folder(data_dir)
    sought = next((file for file in downloads(name, data_dir) if path in places(file, root)), None)
    if sought is None:
        return missing
    option = "" if root == folder() else f" --data-dir {root}"
    return (
        f"{missing} (also searched for {other_places(sought)}); `polar data fetch {name}{option}` "
        f"downloads it, and {DATA_DIR_VARIABLE} or --data-dir names another folder"
    )


def _unreadable(name: str, path: Path, error: OSError) -> DatasetError:
    return DatasetError(f"dataset {name}: cannot read {path}: {error.strerror or error}")


def digest_of_files(paths: Iterable[Path]) -> str:
    """SHA-256 (hex) of the contents of files, in this order, as `digest` takes it.

    Raises:
        DatasetError: a file cannot be read.
    """
    return _hash("of files", paths)


def _hash(name: str, paths: Iterable[Path]) -> str:
    content = hashlib.sha256()
    for path in paths:
        for piece in _content(name, path):
            content.update(piece)
    return content.hexdigest()


def _content(name: str, path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") if counts_as_stored(name, path) else gzip.open(path) as file:
            while chunk := file.read(CHUNK):
                yield chunk
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise DatasetCorrupt(
            f"dataset {name}: cannot unpack {path}: {error}; remove it and fetch it again with "
            f"`polar data fetch {name}`, or rename it if it is unpacked already"
        ) from error
    except FileNotFoundError as error:
        raise DatasetMissing(f"dataset {name}: there is no file {path}") from error
    except OSError as error:
        raise _unreadable(name, path, error) from error


def _recalled(known: Path) -> str | None:
    """The digest that was remembered; none if the file is missing, damaged, or not a file."""
    try:
        # A pipe would keep its reader waiting for ever.
        content = known.read_bytes() if known.is_file() else b""
    except OSError:
        return None
    return content.decode() if re.fullmatch(rb"[0-9a-f]{64}", content) else None


def _remember(known: Path, digest: str) -> None:
    with suppress(OSError):  # the digest is then computed again next time
        known.parent.mkdir(parents=True, exist_ok=True)
        with written_aside(known) as aside:
            aside.write_text(digest, "ascii")
