"""The files that runs produce as their results."""

from collections.abc import Collection, Sequence
from datetime import timedelta
from uuid import UUID

from sqlalchemy import delete, exists, func, select, tuple_
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from polar.records.events import LAST_STATE_FILE, MODEL_FILE, ArtifactSaved
from service.storage.errors import NotFound
from service.storage.states import FindingsState
from service.storage.tables import Artifact, FindingsRow, Run, Tracking

#: What is not kept for ever where the owner has set a time: the weights, alone and with all else
#: that a training goes on from.
WEIGHTS = (MODEL_FILE, LAST_STATE_FILE)
#: Most files that are removed in one transaction, which must not take long.
BATCH = 20


def log_of(run_id: UUID, attempt: int) -> str:
    """Where the log of an attempt at a run lies, relative to the artifact folder."""
    return f"runs/{run_id}/attempt-{attempt}/log.txt"


async def add(session: AsyncSession, run_id: UUID, attempt: int, saved: ArtifactSaved) -> None:
    """Store where a file of a run lies, relative to the artifact folder; the latest report counts.

    The caller has made sure that this attempt may write.
    """
    statement = insert(Artifact).values(
        run_id=run_id, name=saved.name, path=saved.path, attempt=attempt
    )
    await session.execute(
        statement.on_conflict_do_update(
            index_elements=[Artifact.run_id, Artifact.name],
            set_={"path": saved.path, "attempt": attempt},
        )
    )


async def artifacts_of(session: AsyncSession, run_id: UUID) -> Sequence[Artifact]:
    """The files of a run, by name."""
    query = select(Artifact).where(Artifact.run_id == run_id).order_by(Artifact.name)
    return (await session.scalars(query)).all()


async def runs_with(session: AsyncSession, name: str, run_ids: Collection[UUID]) -> set[UUID]:
    """Those of these runs that have a file of this name."""
    query = select(Artifact.run_id).where(Artifact.name == name, Artifact.run_id.in_(run_ids))
    return set(await session.scalars(query))


async def artifact_of(session: AsyncSession, run_id: UUID, name: str) -> Artifact:
    """One file of a run.

    Raises:
        NotFound: the run has no file of this name (yet).
    """
    artifact = await session.get(Artifact, (run_id, name))
    if artifact is None:
        raise NotFound("file of this run named", name)
    return artifact


async def outdated(
    session: AsyncSession, days: float, without: Collection[str]
) -> Sequence[Artifact]:
    """Some of the weights of runs that ended more than so many days ago, the oldest first.

    Weights stay until their findings are made, which includes findings that failed, because they
    may be asked for again, and until MLflow has its copy.

    Args:
        session: A transaction, in which the rows are locked.
        days: The time for which weights are kept.
        without: Paths that are left out.
    """
    is_needed = exists().where(
        FindingsRow.run_id == Run.id, FindingsRow.state != FindingsState.MADE
    )
    is_in_mlflow = exists().where(Tracking.run_id == Run.id, Tracking.complete)
    query = (
        select(Artifact)
        .join(Run, Run.id == Artifact.run_id)
        .where(
            Artifact.name.in_(WEIGHTS),
            Artifact.path.not_in(without),
            Run.finished_at < func.now() - timedelta(days=days),
            ~is_needed,
            is_in_mlflow,
        )
        .order_by(Run.finished_at)
        .limit(BATCH)
        .with_for_update(of=Artifact, skip_locked=True)
    )
    return (await session.scalars(query)).all()


async def forget(session: AsyncSession, files: Sequence[Artifact]) -> None:
    """Delete what is stored of files that are gone."""
    keys = [(file.run_id, file.name) for file in files]
    await session.execute(delete(Artifact).where(tuple_(Artifact.run_id, Artifact.name).in_(keys)))
