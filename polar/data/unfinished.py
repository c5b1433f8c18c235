"""Unfinished files: each is made next to its final place, by one process at a time."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedRandom
from pathlib import Path

from polar import files


@contextmanager
def locked(unfinished: Path) -> Iterator[BufferedRandom]:
    """Opens an unfinished file, with what is in it, while other processes wait.

    The lock ends with the process, so that a killed process blocks nobody.

    Raises:
        OSError: the file cannot be opened.
    """
    unfinished.parent.mkdir(parents=True, exist_ok=True)
    while True:
        with os.fdopen(os.open(unfinished, os.O_RDWR | os.O_CREAT, 0o666), "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            if _is(file, unfinished):
                yield file
                return


def put_in_place(file: BufferedRandom, unfinished: Path, path: Path) -> None:
    """Gives a finished file its final name once all of it is on disk."""
    file.flush()
    files.put_in_place(unfinished, path, is_durable=True)


def _is(file: BufferedRandom, unfinished: Path) -> bool:
    """Whether the file still has this name; the process that held the lock may have moved it."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), unfinished.stat())
    except FileNotFoundError:
        return False
