"""`python -m workers.training.findings_child NICENESS`: makes the findings of finished runs.

Each line of its stdin names the folder of a run. It answers on its stdout with the events of
`polar.complete`, one JSON line each, of which the last is the `Result`, or with a `Failure`. It
stays for the next folder, because what it imports takes longer than what it does with it.

It needs a session of its own, whose priority it lowers.
"""

import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import polar
from polar.records.events import Event
from service import logs
from service.processes import be_nice
from workers.training.messages import Failure

_log = logging.getLogger(__name__)


def main(niceness: int) -> None:
    """Answer to every folder until stdin ends."""
    be_nice(niceness)
    with os.fdopen(os.dup(1), "wb") as events:
        os.dup2(2, 1)  # what libraries print must not get between the events
        for line in sys.stdin:
            for event in _completed(Path(line.rstrip("\n"))):
                events.write(f"{event.model_dump_json()}\n".encode())
                events.flush()


def _completed(folder: Path) -> Iterator[Event | Failure]:
    try:
        yield from polar.complete(folder)
    except Exception as error:
        yield Failure.of(error)
        _log.exception("the findings in %s were not made", folder)


if __name__ == "__main__":
    logs.set_up()
    main(int(sys.argv[1]))
