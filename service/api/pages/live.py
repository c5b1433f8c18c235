"""Streams that tell a page when what it shows has changed, so that it fetches itself anew."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from uuid import UUID

from fastapi import APIRouter
from fastapi.sse import EventSourceResponse, ServerSentEvent
from sqlalchemy import Select, select

from service.api.dependencies import Parts, Service
from service.api.door import Door
from service.api.studies.events import standing_of
from service.storage.errors import DatabaseAway
from service.storage.pages import StudyStanding, standing_of_runs
from service.storage.tables import ExperimentRun, Run

router = APIRouter(prefix="/live", route_class=Door, include_in_schema=False)

#: Seconds between two looks for changes, after each of which a page is rendered anew.
POLL_S = 2.0

#: What changes whenever what a page shows changes.
Standing = StudyStanding | str | None


@router.get("/studies/{study_id}", response_class=EventSourceResponse)
async def study_changes(study_id: UUID, service: Service) -> AsyncIterator[ServerSentEvent]:
    async for event in _changes(lambda: standing_of(service, study_id)):
        yield event


@router.get("/experiments/{experiment_id}", response_class=EventSourceResponse)
async def experiment_changes(
    experiment_id: UUID, service: Service
) -> AsyncIterator[ServerSentEvent]:
    its_runs = select(ExperimentRun.run_id).where(ExperimentRun.experiment_id == experiment_id)
    async for event in _changes(lambda: _standing_of_runs(service, experiment_id, its_runs)):
        yield event


@router.get("/runs/{run_id}", response_class=EventSourceResponse)
async def run_changes(run_id: UUID, service: Service) -> AsyncIterator[ServerSentEvent]:
    itself = select(Run.id).where(Run.id == run_id)
    async for event in _changes(lambda: _standing_of_runs(service, run_id, itself)):
        yield event


async def _standing_of_runs(service: Parts, id: UUID, runs: Select[UUID]) -> Standing:
    return await service.reads.of(id, lambda session: standing_of_runs(session, runs))


async def _changes(look: Callable[[], Awaitable[Standing]]) -> AsyncIterator[ServerSentEvent]:
    """An event at the beginning and whenever the standing has changed since the last."""
    seen: Standing = None
    while True:
        try:
            now = await look()
        except DatabaseAway:
            now = seen
        if now != seen:
            seen = now
            yield ServerSentEvent(event="changed", raw_data="")
        await asyncio.sleep(POLL_S)
