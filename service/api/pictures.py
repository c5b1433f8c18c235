"""Pictures that another process draws for a request."""

import logging
from collections.abc import Mapping, Sequence

from polar.errors import InvalidInput
from polar.records.pictures import PictureKind
from service.api.problems import Refused
from service.exit_codes import REFUSED
from service.short_processes import ShortProcesses

MEDIA_TYPES: Mapping[PictureKind, str] = {
    "png": "image/png",
    "svg": "image/svg+xml",
    "pdf": "application/pdf",
}

_log = logging.getLogger(__name__)


async def drawn(processes: ShortProcesses, command: Sequence[str], stdin: bytes = b"") -> bytes:
    """The picture that a process writes to stdout.

    Raises:
        InvalidInput: the process cannot draw this, and has said why.
        Refused: it took too long or failed.
    """
    try:
        ended = await processes.run(command, stdin=stdin)
    except TimeoutError:
        detail = f"drawing took longer than {processes.limit_s:g} s and was stopped"
        raise Refused(500, "drawing-too-long", detail) from None
    said = ended.said.strip()
    if ended.code == REFUSED and said:
        raise InvalidInput(said.splitlines()[-1])
    if ended.code:
        _log.error("a drawing ended with code %d: %s", ended.code, said)
        detail = (
            f"the drawing process ended with code {ended.code}; the log of the service has its "
            "messages"
        )
        raise Refused(500, "drawing-failed", detail)
    return ended.output
