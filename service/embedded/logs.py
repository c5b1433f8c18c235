"""The logs in the home of `polar up` stay small, although their writers keep them open.

A log that has grown is copied and then emptied: its writers append, so they go on at its new
beginning. What is written in the moment between the copy and the emptying is lost, which is a line
or two of tens of thousands.
"""

import contextlib
import shutil
from itertools import pairwise
from pathlib import Path

MOST_BYTES = 10 * 1024**2
#: How many earlier parts of a log are kept, as NAME.log.1, the newest, to NAME.log.3.
KEPT = 3


def rotate(folder: Path, most_bytes: int = MOST_BYTES) -> None:
    """Put aside what the grown logs of this folder hold; what cannot be put aside stays."""
    for log in folder.glob("*.log"):
        with contextlib.suppress(OSError):  # the disk is full, or the log has just gone
            if log.stat().st_size > most_bytes:
                _put_aside(log)


def _put_aside(log: Path) -> None:
    copy = log.with_suffix(".log.new")
    try:
        shutil.copy2(log, copy)
    except OSError:
        copy.unlink(missing_ok=True)
        raise
    parts = [log.with_suffix(f".log.{number}") for number in range(1, KEPT + 1)]
    for newer, older in reversed(list(pairwise(parts))):
        if newer.exists():
            newer.replace(older)
    copy.replace(parts[0])
    with log.open("r+b") as grown:  # last: whoever is killed before has lost nothing
        grown.truncate()
