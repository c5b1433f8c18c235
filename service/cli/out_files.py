"""The file that `--out` names: it is replaced as a whole, or stays as it is."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from polar.errors import InvalidInput
from polar.files import written_aside


def refuse_special(out: Path) -> None:
    """Refuse a device, a pipe or a folder, which a file must never replace.

    Raises:
        InvalidInput: there is something at this path that is not a regular file.
    """
    if os.path.exists(out) and not os.path.isfile(out):
        raise InvalidInput(
            f"{out} is not a regular file; allowed for --out: a file, or a new name"
        )


@contextmanager
def replacing(out: Path) -> Iterator[Path]:
    """Yields where to write a file that gets the path `out` when the block ends without an error.

    Raises:
        InvalidInput: `out` is not a regular file, or cannot be written.
    """
    try:
        refuse_special(out)
        with written_aside(out.resolve()) as aside:  # a link stays, and its target is replaced
            yield aside
    except OSError as error:
        raise InvalidInput(f"cannot write {out}: {error.strerror}") from error
