"""The logs of our processes: lines for people, or with POLAR_LOG_FORMAT=json an object a line."""

import json
import logging
import os
import sys
from contextvars import ContextVar
from datetime import UTC, datetime

#: The request that this task answers.
request_id: ContextVar[str | None] = ContextVar("request_id", default=None)

#: Ids that a record may carry: their names in lines for people, and in objects.
IDS = {"run": "run_id", "attempt": "attempt", "study": "study_id", "request": "request_id"}


def set_up(level: int = logging.INFO) -> None:
    """Write what this process logs to its stderr, in the form of the environment."""
    handler = logging.StreamHandler()
    handler.addFilter(_name_the_request)
    logging.basicConfig(level=level, handlers=[handler])
    for chatty in ("httpx", "procrastinate"):  # they log every request, and every job
        logging.getLogger(chatty).setLevel(logging.WARNING)
    if os.environ.get("POLAR_LOG_FORMAT") != "json":
        handler.setFormatter(Lines("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        return
    handler.setFormatter(Objects())
    logging.captureWarnings(capture=True)
    sys.excepthook = lambda *error: logging.getLogger().critical("ended by", exc_info=error)


class Lines(logging.Formatter):
    """Adds the ids that a record carries, as fields.

    Only the first line of a record begins at the margin, and what a terminal would obey is
    escaped: messages quote requests, which must not look like records nor change the screen.
    """

    def format(self, record: logging.LogRecord) -> str:
        ids = "".join(f" {name}={value}" for name, value in _ids_of(record).items())
        return "\n    ".join(map(_printable, (super().format(record) + ids).split("\n")))


class Objects(logging.Formatter):
    """Each record as one line of JSON; a traceback is a text in it."""

    def format(self, record: logging.LogRecord) -> str:
        said = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        ids = {IDS[name]: value for name, value in _ids_of(record).items()}
        trace = {"traceback": self.formatException(record.exc_info)} if record.exc_info else {}
        # half a surrogate pair, as in a path that a client sent, cannot be written as it is
        return json.dumps(said | ids | trace, default=str)


def _printable(line: str) -> str:
    if line.isprintable():
        return line
    return "".join(
        each if each.isprintable() or each == "\t" else ascii(each)[1:-1] for each in line
    )


def _ids_of(record: logging.LogRecord) -> dict[str, object]:
    known = {name: getattr(record, name, None) for name in IDS}
    return {name: value for name, value in known.items() if value is not None}


def _name_the_request(record: logging.LogRecord) -> bool:
    record.request = request_id.get()
    return True
