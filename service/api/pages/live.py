"""Streams that tell a page when what it shows has changed, so that it fetches itself anew."""

import asyncio
from collections.abc import AsyncIterator
from uuid import UUID

from fastapi import APIRouter, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent
from sqlalchemy import Select, select
from sqlalchemy.ext.asyncio import AsyncSession

from service.api.dependencies import Parts, Service
from service.api.door import Door, while_let_in
from service.api.shared_standings import POLL_S, Standing
from service.storage.errors import DatabaseAway
from service.storage.pages import standing
from service.storage.study_tables import Trial
from service.storage.tables import ExperimentRun, Run

router = APIRouter(prefix="/live", route_class=Door, include_in_schema=False)


@router.get("/studies/{study_id}", response_class=EventSourceResponse)
async def study_changes(
    study_id: UUID, request: Request, service: Service
) -> AsyncIterator[ServerSentEvent]:
    its_runs = (
        select(ExperimentRun.run_id)
        .join(Trial, Trial.experiment_id == ExperimentRun.experiment_id)
        .where(Trial.study_id == study_id)
    )
    events = _changes(service, study_id, its_runs, is_study=True)
    async for event in while_let_in(request, events):
        yield event


@router.get("/experiments/{experiment_id}", response_class=EventSourceResponse)
async def experiment_changes(
    experiment_id: UUID, request: Request, service: Service
) -> AsyncIterator[ServerSentEvent]:
    its_runs = select(ExperimentRun.run_id).where(ExperimentRun.experiment_id == experiment_id)
    async for event in while_let_in(request, _changes(service, experiment_id, its_runs)):
        yield event


@router.get("/runs/{run_id}", response_class=EventSourceResponse)
async def run_changes(
    run_id: UUID, request: Request, service: Service
) -> AsyncIterator[ServerSentEvent]:
    events = _changes(service, run_id, select(Run.id).where(Run.id == run_id))
    async for event in while_let_in(request, events):
        yield event


async def _changes(
    service: Parts, id: UUID, runs: Select[UUID], *, is_study: bool = False
) -> AsyncIterator[ServerSentEvent]:
    """An event at the beginning and whenever runs, or the study, have changed since the last."""

    async def look(session: AsyncSession) -> Standing:
        return await standing(session, runs, study_id=id if is_study else None)

    seen: Standing = ()
    while True:
        try:
            now = await service.standings.of(id, look)
        except DatabaseAway:
            now = seen
        if now != seen:
            seen = now
            yield ServerSentEvent(event="changed", raw_data="")
        await asyncio.sleep(POLL_S)
