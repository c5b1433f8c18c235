"""/runs/{run_id}/log: what the process printed that trains a run."""

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Query

from service.api.dependencies import Service, Session
from service.api.door import Door
from service.api.ids import RunId
from service.api.problems import refusals
from service.api.runs.schemas import RunLog
from service.storage import runs
from service.storage.cleaning import ATTEMPT, LOG_FILE, RUNS

router = APIRouter(
    route_class=Door,
    prefix="/runs/{run_id}",
    tags=["runs"],
    responses=refusals(404, 409, 422, 503),
)

#: Most bytes of one answer; whoever names no place gets as many from the end.
MOST_BYTES = 64 * 1024


@router.get("/log")
async def get_log(
    run_id: RunId,
    session: Session,
    service: Service,
    attempt: Annotated[
        int | None, Query(ge=1, lt=2**31, description="An attempt; by default the newest.")
    ] = None,
    after: Annotated[
        int | None, Query(ge=0, lt=2**63, description="`end` of an earlier answer, to go on.")
    ] = None,
) -> RunLog:
    """Show what an attempt at a run has printed: its end, or what follows an earlier answer."""
    run = await runs.get(session, run_id)
    number = run.attempt if attempt is None else attempt
    folder = service.settings.artifacts / RUNS / str(run.id) / f"{ATTEMPT}{number}"
    text, end = await asyncio.to_thread(_part, folder / LOG_FILE, after, run.state.is_final)
    return RunLog(run_id=run.id, attempt=number, state=run.state, text=text, end=end)


def _part(path: Path, after: int | None, has_ended: bool) -> tuple[str, int]:
    """Whole lines of a log, and the place where they end; nothing where there is no log."""
    with suppress(FileNotFoundError, NotADirectoryError), path.open("rb") as log:
        size = log.seek(0, 2)
        start = max(0, size - MOST_BYTES) if after is None else min(after, size)
        log.seek(start)
        part = log.read(MOST_BYTES)
        if after is None and start > 0:  # it begins within a line
            cut = part.find(b"\n") + 1
            start, part = start + cut, part[cut:]
        is_all = start + len(part) >= size
        if not (has_ended and is_all):  # the last line may still be written, or go on
            part = part[: part.rfind(b"\n") + 1] or (b"" if is_all else part)
        return part.decode(errors="replace"), start + len(part)
    return "", after or 0
