"""What our tables say that MLflow and Optuna have, to be compared with what they have."""

from collections.abc import Collection
from uuid import UUID

from sqlalchemy import delete, func, select, text
from sqlalchemy.ext.asyncio import AsyncSession

from service.storage.deletions import is_deleted
from service.storage.study_tables import Study, Trial
from service.storage.tables import Tracking
from service.storage.tracking_tables import StudyTracking, TrackingFailure, TrialTracking

#: The tables with the MLflow runs of runs, studies and trials. What has no row there is told anew.
_PLACES = (Tracking, StudyTracking, TrialTracking)


async def mlflow_runs(session: AsyncSession) -> set[str]:
    """The ids of the MLflow runs of all runs that are copied wholly, and of studies and trials."""
    of_runs = select(Tracking.mlflow_run_id).where(Tracking.complete, ~is_deleted(Tracking.run_id))
    ids = set(await session.scalars(of_runs))
    for place in (StudyTracking, TrialTracking):
        ids |= set(await session.scalars(select(place.mlflow_run_id)))
    return {id for id in ids if id is not None}


async def unfinished_mlflow_runs(session: AsyncSession) -> set[str]:
    """The ids of the MLflow runs of all runs of which MLflow is to have more.

    They have not ended, or their findings are to come.
    """
    query = select(Tracking.mlflow_run_id).where(~Tracking.complete, ~is_deleted(Tracking.run_id))
    return set(await session.scalars(query))


async def copy_anew(session: AsyncSession, mlflow_run_ids: Collection[str]) -> None:
    """Have the tracker copy anew what these MLflow runs, which are gone, stood for."""
    for place in _PLACES:
        await session.execute(delete(place).where(place.mlflow_run_id.in_(mlflow_run_ids)))


async def tracking_failures(session: AsyncSession) -> int:
    """How many runs and studies the tracker has tried in vain to copy."""
    return await session.scalar(select(func.count()).select_from(TrackingFailure)) or 0


async def trials_begun(session: AsyncSession) -> dict[UUID, int]:
    """How many trials Optuna must have of each study that has any, by the study's id."""
    query = select(Study.id, func.max(Trial.number) + 1).join(Trial).group_by(Study.id)
    return {row[0]: row[1] for row in await session.execute(query)}


async def connections(session: AsyncSession) -> tuple[int, int]:
    """How many connections the server of this database has, and how many it may have."""
    used = await session.scalar(text("select count(*) from pg_stat_activity"))
    most = await session.scalar(text("select current_setting('max_connections')::int"))
    return used or 0, most or 0
