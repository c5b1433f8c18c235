"""Homes: where a stack keeps its state, which process holds it, and how to find its API."""

import fcntl
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TypedDict

from polar.errors import InvalidInput

DEFAULT_HOME = Path("~/.polar")
#: File in the home with the token of its owner, for curl, too; only the owner can read it.
TOKEN_FILE = "token"


@dataclass(frozen=True)
class PublishedApi:
    """The API of the stack that holds a home."""

    url: str
    #: Identity of the home, which the API's health answer repeats.
    home_id: str


def home_of_environment(environment: Mapping[str, str] = os.environ) -> Path:
    """The home that POLAR_HOME names, or the default."""
    return Path(environment.get("POLAR_HOME") or DEFAULT_HOME)


def resolved_home(home: Path) -> Path:
    """The home of a stack as an absolute path without links.

    Raises:
        InvalidInput: as in `in_users_home`.
    """
    return in_users_home(home).resolve()


def in_users_home(path: Path) -> Path:
    """The path, with a leading `~` replaced by the user's home folder.

    Raises:
        InvalidInput: the user has no home folder, as in some containers.
    """
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise InvalidInput(
            f"{path} is in the home folder of a user who has none; set POLAR_HOME to the folder "
            "where Polar should keep its state"
        ) from error


def unusable(home: Path, error: OSError) -> str:
    """Message that says why a folder cannot be used as a home, and what to do."""
    return (
        f"{home} cannot be used as home: {error}. Set POLAR_HOME to a folder that you may write to"
    )


class UpJson(TypedDict):
    """The content of `up.json`, by which a stack says where it is."""

    api: str
    mlflow: str
    dashboard: str
    #: The supervisor's process.
    pid: int
    home_id: str
    #: The other processes by name.
    processes: dict[str, int]


def token_of(home: Path) -> str | None:
    """The token of the owner of this home; None if there is none, or somebody else owns it."""
    try:
        return (resolved_home(home) / TOKEN_FILE).read_text().strip()
    except (OSError, UnicodeDecodeError):
        return None


def find_api(home: Path) -> PublishedApi | None:
    """The API of the stack that runs in the home; None if none runs.

    Raises:
        InvalidInput: as in `read_published`.
    """
    content = read_published(home)
    return PublishedApi(content["api"], content["home_id"]) if content else None


def what_changes(home: Path) -> str | None:
    """Says that the stack of a home starts or stops at this moment; None if it does not.

    Raises:
        InvalidInput: as in `read_published`.
    """
    home = resolved_home(home)
    process = holder(home)
    if process is None or read_published(home):
        return None
    return f"the stack of {home} is starting or stopping (process {process})"


def read_published(home: Path) -> UpJson | None:
    """The content of `up.json` of the stack that runs in the home; None if none runs.

    A stack that was killed leaves the file behind but no longer holds its home.

    Raises:
        InvalidInput: the home or its `up.json` cannot be read, or an earlier version runs there.
    """
    home = in_users_home(home)
    if home.exists() and not home.is_dir():
        raise InvalidInput(f"{home} is a file; allowed: a folder, which POLAR_HOME names")
    try:
        content: UpJson = json.loads((home / "up.json").read_bytes())
        is_running = content["pid"] == holder(home)
        if is_running and not {"dashboard", "home_id"} <= content.keys():
            raise InvalidInput(
                f"the stack of {home} was started by an earlier version; stop it first by ending "
                f"its supervisor, process {content['pid']}"
            )
        return content if is_running else None
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise InvalidInput(unusable(home, error)) from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        if isinstance(error, InvalidInput):
            raise
        raise InvalidInput(
            f"{home / 'up.json'} is not what `polar up` writes; restart `polar up` to replace it"
        ) from error


def holder(home: Path) -> int | None:
    """Id of the process that holds the home now; None if no process does.

    Raises:
        InvalidInput: this user may not read the home.
    """
    try:
        with (home / "lock").open() as file:
            free = try_lock(file, fcntl.LOCK_SH)
            return None if free else int(file.read() or 0)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise InvalidInput(unusable(home, error)) from error


def try_lock(file: IO[str], kind: int) -> bool:
    """Lock the file if no one else holds it; returns whether it did. `kind` is as in `flock`."""
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
