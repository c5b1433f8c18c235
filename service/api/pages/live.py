"""Streams that tell a page when what it shows has changed, so that it fetches itself anew."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from functools import partial
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent

from service.api.dependencies import Parts, Reading, Service
from service.api.door import Door, while_let_in
from service.api.ids import ExperimentId, RunId, StudyId
from service.api.pages.filtering import NO_FILTER, Filter, RunFilter, StudyFilter
from service.api.pages.lists import standing_of_list
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
    async for event in while_let_in(request, _changes_of(service, "studies", study_id)):
        yield event


@router.get("/experiments/{experiment_id}", response_class=EventSourceResponse)
async def experiment_changes(
    experiment_id: Annotated[UUID, Depends(existing_experiment)],
    request: Request,
    service: Service,
) -> AsyncIterator[ServerSentEvent]:
    async for event in while_let_in(request, _changes_of(service, "experiments", experiment_id)):
        yield event


@router.get("/runs/{run_id}", response_class=EventSourceResponse)
async def run_changes(
    run_id: Annotated[UUID, Depends(existing_run)], request: Request, service: Service
) -> AsyncIterator[ServerSentEvent]:
    async for event in while_let_in(request, _changes_of(service, "runs", run_id)):
        yield event


@router.get("/studies", response_class=EventSourceResponse)
async def studies_changes(
    filter: StudyFilter, request: Request, service: Service
) -> AsyncIterator[ServerSentEvent]:
    async for event in while_let_in(request, _changes_of_list(service, "studies", filter)):
        yield event


@router.get("/experiments", response_class=EventSourceResponse)
async def experiments_changes(
    filter: RunFilter, request: Request, service: Service
) -> AsyncIterator[ServerSentEvent]:
    async for event in while_let_in(request, _changes_of_list(service, "experiments", filter)):
        yield event


@router.get("/runs", response_class=EventSourceResponse)
async def runs_changes(
    filter: RunFilter, request: Request, service: Service
) -> AsyncIterator[ServerSentEvent]:
    async for event in while_let_in(request, _changes_of_list(service, "runs", filter)):
        yield event


@router.get("/agents", response_class=EventSourceResponse)
async def agents_changes(request: Request, service: Service) -> AsyncIterator[ServerSentEvent]:
    async for event in while_let_in(request, _changes_of_list(service, "agents", NO_FILTER)):
        yield event


def _changes_of(parts: Parts, kind: str, id: UUID) -> AsyncIterator[ServerSentEvent]:
    return _changes(partial(standing_of, parts, kind, id))


def _changes_of_list(parts: Parts, kind: str, filter: Filter) -> AsyncIterator[ServerSentEvent]:
    return _changes(partial(standing_of_list, parts, kind, filter))


async def _changes(look: Callable[[], Awaitable[Hashable]]) -> AsyncIterator[ServerSentEvent]:
    """An event at the beginning and whenever the standing has changed since the last."""
    seen: Hashable = None
    while True:
        try:
            now = await look()
        except DatabaseAway:
            now = seen
        if now != seen:
            seen = now
            yield ServerSentEvent(event="changed", raw_data="")
        await asyncio.sleep(POLL_S)
