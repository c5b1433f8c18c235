"""The folders of this machine in which datasets and what can be made again lie."""

import os
import tempfile
from contextlib import suppress
from pathlib import Path

from polar.errors import DatasetError

#: Environment variable with the folder of datasets; read at every call.
DATA_DIR_VARIABLE = "POLAR_DATA_DIR"
#: Environment variable with the folder of files that can be made again; read at every call.
CACHE_DIR_VARIABLE = "POLAR_CACHE_DIR"


def data_dir(given: Path | None = None) -> Path:
    """The folder of datasets, those that are downloaded and those of the user's own.

    Args:
        given: The folder, if the caller names one. Otherwise the environment variable
            `POLAR_DATA_DIR` names it; without that it is `data` in the folder of `cache_dir`.

    Raises:
        DatasetError: the user has no home, and no temporary folder either.
    """
    named = given or os.environ.get(DATA_DIR_VARIABLE)
    return _expanded(named) if named else cache_dir() / "data"


def cache_dir() -> Path:
    """The folder of files that can be made or fetched again: images, digests, downloads.

    Raises:
        DatasetError: the user has no home, and no temporary folder either.
    """
    if given := os.environ.get(CACHE_DIR_VARIABLE):
        return _expanded(given)
    return Path(os.environ.get("XDG_CACHE_HOME") or _users_cache(), "polar")


def _users_cache() -> Path:
    """`~/.cache`, or a temporary folder for users without a home that they may write to."""
    with suppress(RuntimeError):  # there is no home at all
        home = Path.home()
        if any(os.access(folder, os.W_OK) for folder in (home / ".cache", home)):
            return home / ".cache"
    temporary = Path(tempfile.gettempdir(), f"polar-cache-{os.getuid()}")
    try:
        temporary.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise DatasetError(
            f"{temporary} cannot be made: {error}; {CACHE_DIR_VARIABLE} names another folder"
        ) from error
    there = temporary.stat()  # whoever else may write there could change our images
    if {temporary.lstat().st_uid, there.st_uid} != {os.getuid()} or there.st_mode & 0o022:
        raise DatasetError(
            f"{temporary} is not ours alone; {CACHE_DIR_VARIABLE} names another folder"
        )
    return temporary


def _expanded(folder: Path | str) -> Path:
    """The folder with `~` replaced by the home of the user, or as it is for users without one."""
    return Path(os.path.expanduser(folder))
