"""The end of what the child of an attempt at a run has logged."""

import os
import stat
from pathlib import Path

from service.api.problems import Refused
from service.storage.artifacts import log_of
from service.storage.tables import Run

MOST_LINES = 10_000
#: Most bytes of a log that are read, from its end.
MOST_BYTES = 1024 * 1024


def read_log(artifacts: Path, run: Run, lines: int, attempt: int | None = None) -> str:
    """The last lines of the log of an attempt, by default the newest; empty if it said nothing.

    Raises:
        Refused: there was no such attempt, or its log is not in this artifact folder.
    """
    number = run.attempt if attempt is None else attempt
    if not 1 <= number <= run.attempt:
        had = f"attempts 1 to {run.attempt}" if run.attempt else "none, because no agent began it"
        raise Refused(404, "not-found", f"run {run.id} has no attempt {number}; allowed: {had}")
    try:
        text = _end_of(artifacts / log_of(run.id, number))
    except OSError:
        detail = (
            f"the log of attempt {number} at run {run.id} is not in the artifact folder of this "
            "service: an agent with a folder of its own keeps it there, and `polar clean` removes "
            "the logs of earlier attempts"
        )
        raise Refused(404, "not-found", detail) from None
    return "".join(text.splitlines(keepends=True)[-lines:])


def _end_of(path: Path) -> str:
    """What was written to a file last, from the beginning of a line on.

    Where the log lies the code of own models runs, too, so that something else than a file may lie
    there, which is neither followed nor waited for.
    """
    file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        about = os.fstat(file)
        if not stat.S_ISREG(about.st_mode):
            raise OSError("this is not a file")
        start = max(0, about.st_size - MOST_BYTES)
        content = os.pread(file, MOST_BYTES, start)
    finally:
        os.close(file)
    if start:
        content = content.partition(b"\n")[2]
    return content.decode(errors="replace")
