"""What a home tells everybody: who holds it, where its API is, and how to recognise it."""

import fcntl
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO

DEFAULT_HOME = Path("~/.polar")


class HomeUnusable(Exception):
    """A home that cannot be found or read."""


@dataclass(frozen=True)
class PublishedApi:
    """The API of the stack that holds a home."""

    url: str
    #: What the API's health answer says, too; None where an earlier version runs.
    home_id: str | None


def home_of_environment(environment: Mapping[str, str] = os.environ) -> Path:
    """POLAR_HOME, or else the default."""
    return Path(environment.get("POLAR_HOME") or DEFAULT_HOME)


def find_api(home: Path) -> PublishedApi | None:
    """None if no stack runs in the home, also where a killed one left its `up.json`.

    Raises:
        HomeUnusable: the home or its `up.json` cannot be read.
    """
    try:
        home = home.expanduser()
        content = json.loads((home / "up.json").read_bytes())
        api = PublishedApi(content["api"], content.get("home_id"))
        return api if content["pid"] == holder(home) else None
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise HomeUnusable(f"cannot read {error.filename}: {error.strerror}") from error
    except RuntimeError as error:  # of expanduser
        raise HomeUnusable(f"there is no folder {home}: {error}") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise HomeUnusable(f"{home / 'up.json'} is not what `polar up` writes") from error


def holder(home: Path) -> int | None:
    """The process that holds the home now; None if nobody does."""
    try:
        with (home / "lock").open() as file:
            free = try_lock(file, fcntl.LOCK_SH)
            return None if free else int(file.read() or 0)
    except FileNotFoundError:
        return None


def try_lock(file: IO[str], kind: int) -> bool:
    try:
        fcntl.flock(file, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
