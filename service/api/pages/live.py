"""Streams that tell a page when what it shows has changed, so that it fetches itself anew."""

import asyncio
from collections.abc import AsyncIterator, Hashable
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent

from service.api.dependencies import Parts, Reading, Service
from service.api.door import Door, while_let_in
from service.api.ids import ExperimentId, RunId, StudyId
from service.api.pages.refreshing import standing_of
from service.storage import experiments, runs, studies
from service.storage.errors import DatabaseAway

router = APIRouter(prefix="/live", route_class=Door, include_in_schema=False)

#: Seconds between two looks for changes.
POLL_S = 2.0


async def existing_study(study_id: StudyId, session: Reading) -> UUID:
    return (await studies.get(session, study_id)).id


async def existing_experiment(experiment_id: ExperimentId, session: Reading) -> UUID:
    return (await experiments.get(session, experiment_id)).id


async def existing_run(run_id: RunId, session: Reading) -> UUID:
    return (await runs.get(session, run_id)).id


@router.get("/studies/{study_id}", response_class=EventSourceResponse)
async def study_changes(
    study_id: Annotated[UUID, Depends(existing_study)], request: Request, service: Service
) -> AsyncIterator[ServerSentEvent]:
    async for event in while_let_in(request, _changes(service, "studies", study_id)):
        yield event


@router.get("/experiments/{experiment_id}", response_class=EventSourceResponse)
async def experiment_changes(
    experiment_id: Annotated[UUID, Depends(existing_experiment)],
    request: Request,
    service: Service,
) -> AsyncIterator[ServerSentEvent]:
    async for event in while_let_in(request, _changes(service, "experiments", experiment_id)):
        yield event


@router.get("/runs/{run_id}", response_class=EventSourceResponse)
async def run_changes(
    run_id: Annotated[UUID, Depends(existing_run)], request: Request, service: Service
) -> AsyncIterator[ServerSentEvent]:
    async for event in while_let_in(request, _changes(service, "runs", run_id)):
        yield event


async def _changes(parts: Parts, kind: str, id: UUID) -> AsyncIterator[ServerSentEvent]:
    """An event at the beginning and whenever the standing has changed since the last."""
    seen: Hashable = None
    while True:
        try:
            now = await standing_of(parts, kind, id)
        except DatabaseAway:
            now = seen
        if now != seen:
            seen = now
            yield ServerSentEvent(event="changed", raw_data="")
        await asyncio.sleep(POLL_S)
