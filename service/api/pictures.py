"""Pictures that another process draws for a request."""

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path

from fastapi import Request, Response

from polar.errors import InvalidInput
from polar.records.pictures import PictureKind
from service.api.dependencies import unless_gone
from service.api.problems import Refused
from service.exit_codes import REFUSED
from service.programs import Program, python
from service.short_processes import ShortProcesses

MEDIA_TYPES: Mapping[PictureKind, str] = {
    "png": "image/png",
    "svg": "image/svg+xml",
    "pdf": "application/pdf",
}
#: Suffixes of pictures that are drawn from their tables when somebody asks for them.
REDRAWN: Mapping[str, PictureKind] = {".svg": "svg", ".pdf": "pdf"}

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


async def redrawn(
    request: Request, processes: ShortProcesses, picture: Path, kind: PictureKind, there: str
) -> Response:
    """A stored figure, drawn once more as another kind of picture.

    Args:
        request: Whose drawing ends if its client goes away.
        processes: Draw figures.
        picture: The stored picture, in the folder `figures` beside the tables.
        kind: The kind of picture.
        there: Address of the stored picture.

    Raises:
        Refused: the tables do not give the figure, or drawing took too long or failed.
    """
    drawing = drawn(processes, python(Program.RUN_FIGURES, str(picture), kind))
    try:
        return Response(await unless_gone(request, drawing), media_type=MEDIA_TYPES[kind])
    except InvalidInput as error:
        detail = f"this figure cannot be drawn as {kind.upper()}: {error}; as PNG it is at {there}"
        raise Refused(404, "not-found", detail) from None
