"""Files that are either whole or not there."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def part_of(path: Path) -> Path:
    """Where the file of this path is made, until it is whole and moved into its place."""
    return path.with_name(f"{path.name}.part")


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """Where to write a file that gets its path when the block has ended without an error.

    Half a file stays beside it, where nobody reads it, if the process is killed meanwhile.
    """
    part = part_of(path)
    yield part
    os.replace(part, path)
