"""`python -m workers.training.findings_child NICENESS`: makes the findings of finished runs.

Each line of its stdin names the folder of a run. It answers on its stdout with the events of
`polar.complete`, one JSON line each, of which the last is the `Result`, or with a `Failure`. It
stays for the next folder, because what it imports takes longer than what it does with it.

It needs a session of its own. Where Linux has autogroups it divides the time of the processors
among sessions first, whatever the nice values of their processes, and each session has a nice
value, too.
"""

import logging
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import polar
from polar.records.events import Event
from service import logs
from workers.training.messages import Failure

#: The nice value of this process's session.
AUTOGROUP = Path("/proc/self/autogroup")

_log = logging.getLogger(__name__)


def main(niceness: int) -> None:
    """Answer to every folder until stdin ends."""
    os.nice(niceness)
    _be_nice_as_a_session(niceness)
    with os.fdopen(os.dup(1), "wb") as events:
        os.dup2(2, 1)  # what libraries print must not get between the events
        for line in sys.stdin:
            for event in _completed(Path(line.rstrip("\n"))):
                events.write(f"{event.model_dump_json()}\n".encode())
                events.flush()


def _be_nice_as_a_session(niceness: int) -> None:
    while True:
        try:
            AUTOGROUP.write_text(str(niceness))
        except BlockingIOError:  # the kernel grants one such request in a tenth of a second
            time.sleep(0.1)
        except OSError:  # there are no autogroups
            return
        else:
            return


def _completed(folder: Path) -> Iterator[Event | Failure]:
    try:
        yield from polar.complete(folder)
    except Exception as error:
        yield Failure.of(error)
        _log.exception("the findings in %s were not made", folder)


if __name__ == "__main__":
    logs.set_up()
    main(int(sys.argv[1]))
