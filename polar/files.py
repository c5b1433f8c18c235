"""Files that appear in their place only when they are finished."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4


def unfinished(path: Path) -> Path:
    """Where several processes make the file of this path together, before it is put in place."""
    return path.with_name(f"{path.name}.part")


@contextmanager
def written_aside(path: Path, *, is_durable: bool = False) -> Iterator[Path]:
    """Yields where to write a file that gets its path when the block ends without an error.

    The place is new in each call, so that two processes that write the same file do not meet. If
    the process is killed meanwhile, an unfinished file with the ending `.part` stays there.

    Args:
        path: Where the file will be, in place of one that may be there.
        is_durable: As for `put_in_place`.
    """
    aside = path.with_name(f".{uuid4().hex}.part")  # short, however long the name of the file is
    try:
        yield aside
        put_in_place(aside, path, is_durable=is_durable)
    finally:
        aside.unlink(missing_ok=True)


def put_in_place(aside: Path, path: Path, *, is_durable: bool = False) -> None:
    """Gives a finished file or folder its path, at once.

    Args:
        aside: Where it was made, on the same file system.
        path: Where it belongs, in place of a file that may be there.
        is_durable: Whether a file's content and path have reached the disk when this returns,
            as is needed where the database or another file then says that it is there, such as
            for checkpoints, results and figures. What can be made again, such as a cache, need
            not wait for the disk. The files inside a folder must be durable already.
    """
    if is_durable:
        _sync(aside)
    os.replace(aside, path)
    if is_durable:
        _sync(path.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
