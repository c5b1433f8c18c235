"""The end of what the child of an attempt at a run has logged."""

import codecs
import os
import stat
from pathlib import Path
from typing import NamedTuple

from service.api.problems import Refused
from service.storage.artifacts import log_of
from service.storage.tables import Run

MOST_LINES = 10_000
#: Most bytes of a log that are read, from its end.
MOST_BYTES = 1024 * 1024


class Part(NamedTuple):
    """A part of the log of an attempt."""

    attempt: int
    text: str
    #: The place in the file, in bytes, at which it ends.
    end: int


def last_lines(text: str, lines: int) -> str:
    return "".join(text.splitlines(keepends=True)[-lines:])


def read_on(artifacts: Path, run: Run, after: int | None, attempt: int | None) -> Part:
    """What an attempt, by default the newest, has logged after this place, or else last.

    Raises:
        Refused: there was no such attempt, or its log is not in this artifact folder.
    """
    number = run.attempt if attempt is None else attempt
    if not 1 <= number <= run.attempt:
        had = f"attempts 1 to {run.attempt}" if run.attempt else "none, because no agent began it"
        raise Refused(404, "not-found", f"run {run.id} has no attempt {number}; allowed: {had}")
    try:
        return Part(number, *_part_of(artifacts / log_of(run.id, number), after))
    except OSError:
        detail = (
            f"the log of attempt {number} at run {run.id} is not in the artifact folder of this "
            "service: an agent with a folder of its own keeps it there, and `polar clean` removes "
            "the logs of earlier attempts"
        )
        raise Refused(404, "not-found", detail) from None


def _part_of(path: Path, after: int | None) -> tuple[str, int]:
    """What was written to a file after this place, or else last, from the beginning of a line on.

    Where the log lies the code of own models runs, too, so that something else than a file may lie
    there, which is neither followed nor waited for.
    """
    file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        about = os.fstat(file)
        if not stat.S_ISREG(about.st_mode):
            raise OSError("this is not a file")
        last = max(0, about.st_size - MOST_BYTES)
        start = last if after is None else min(after, about.st_size)
        content = os.pread(file, MOST_BYTES, start)
    finally:
        os.close(file)
    end = start + len(content)
    if start and after is None:
        content = content.partition(b"\n")[2] or content  # the last line may be longer
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    text = decoder.decode(content)
    half_a_character, _ = decoder.getstate()  # it belongs to the next part
    return text, end - len(half_a_character)
