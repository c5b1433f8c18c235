"""The files that runs produce as their results."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncSession

from polar.records.events import ArtifactSaved
from service.storage.errors import NotFound
from service.storage.tables import Artifact


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


async def artifact_of(session: AsyncSession, run_id: UUID, name: str) -> Artifact:
    """One file of a run.

    Raises:
        NotFound: the run has no file of this name (yet).
    """
    artifact = await session.get(Artifact, (run_id, name))
    if artifact is None:
        raise NotFound("file of this run named", name)
    return artifact
