"""Which files of runs nobody needs any more, as the rows of the runs say."""

from collections.abc import Collection, Iterable, Mapping, Set
from dataclasses import dataclass
from enum import StrEnum
from pathlib import PurePosixPath
from uuid import UUID

from sqlalchemy import exists, or_, select
from sqlalchemy.ext.asyncio import AsyncSession

from service.storage.runs import from_now
from service.storage.states import FindingsState
from service.storage.tables import Artifact, FindingsRow, Run

#: Folder of runs below the artifact folder, and what begins and is in the folder of an attempt.
RUNS, ATTEMPT, CHECKPOINTS = "runs", "attempt-", "checkpoints"
UNFINISHED = ".part"


class Needless(StrEnum):
    """Why nobody needs a file."""

    CHECKPOINT = "checkpoints of runs that have ended"
    ATTEMPT = "attempts before the last, of runs that have ended"
    UNFINISHED = "unfinished files of runs that have ended"
    NO_RUN = "files of runs that were deleted, or that no row knows"


@dataclass(frozen=True)
class RunFiles:
    """What decides which files of a run are needed."""

    #: The number of its last attempt, in whose folder its findings belong.
    attempt: int
    has_ended: bool
    #: Whether findings may be written, now or later.
    is_written: bool
    #: The paths of its artifacts below the artifact folder.
    artifacts: Set[str]


async def files_of(session: AsyncSession, run_ids: Collection[UUID]) -> dict[UUID, RunFiles]:
    """What decides about the files of these runs; those that no row knows are missing.

    List the files first: the row of a run is there before its files.
    """
    is_written = exists().where(
        FindingsRow.run_id == Run.id,
        or_(FindingsRow.state == FindingsState.TO_COME, FindingsRow.lease_until > from_now(0)),
    )
    query = select(Run.id, Run.attempt, Run.finished_at.is_not(None), is_written)
    rows = (await session.execute(query.where(Run.id.in_(run_ids)))).all()
    paths: dict[UUID, set[str]] = {row[0]: set() for row in rows}
    artifacts = select(Artifact.run_id, Artifact.path).where(Artifact.run_id.in_(run_ids))
    for run_id, path in await session.execute(artifacts):
        paths[run_id].add(path)
    return {
        id: RunFiles(attempt, has_ended, written, paths[id])
        for id, attempt, has_ended, written in rows
    }


def run_of(path: PurePosixPath) -> UUID | None:
    """The run to which a file below the artifact folder belongs; None for what is not a run's."""
    try:
        return UUID(path.parts[1]) if path.parts[0] == RUNS and len(path.parts) > 2 else None
    except ValueError:
        return None


def needless(
    paths: Iterable[PurePosixPath], runs: Mapping[UUID, RunFiles]
) -> dict[PurePosixPath, Needless]:
    """Those of these files below the artifact folder that nobody needs, and why.

    A run that has not ended needs all its files: it may go on from a checkpoint of any attempt.
    All others need their artifacts, among them the last states from which other runs go on, and
    what belongs to their last attempt, such as its log.
    """
    reasons = {}
    for path in paths:
        run_id = run_of(path)
        if run_id is not None and (why := _why(path, runs.get(run_id))):
            reasons[path] = why
    return reasons


def _why(path: PurePosixPath, run: RunFiles | None) -> Needless | None:
    if run is None:
        return Needless.NO_RUN
    if not run.has_ended or str(path) in run.artifacts:
        return None
    _, _, attempt, *below = path.parts
    if not attempt.startswith(ATTEMPT) or not below:
        return None
    if below[0] == CHECKPOINTS:
        return Needless.CHECKPOINT
    if run.is_written:
        return None
    if attempt != f"{ATTEMPT}{run.attempt}":
        return Needless.ATTEMPT
    return Needless.UNFINISHED if path.name.endswith(UNFINISHED) else None
