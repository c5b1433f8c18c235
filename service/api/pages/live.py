"""Streams that tell a page when what it shows has changed, so that it fetches itself anew."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Depends, Request
from fastapi.sse import EventSourceResponse, ServerSentEvent

from service.api.dependencies import Reading, Service
from service.api.door import Door, while_let_in
from service.api.ids import ExperimentId, RunId, StudyId
from service.api.pages.filtering import NO_FILTER, RunFilter, StudyFilter
from service.api.pages.lists import standing_of_list
from service.api.pages.refreshing import standing_of
from service.storage import experiments, runs, studies
from service.storage.errors import DatabaseAway

router = APIRouter(prefix="/live", route_class=Door, include_in_schema=False)

#: Seconds between two looks for changes.
POLL_S = 2.0

#: Gives words that change whenever what a page shows changes.
Look = Callable[[], Awaitable[Hashable]]
#: The dependency of a route that says what it looks at, and refuses what does not exist.
Dependency = Callable[..., Look | Awaitable[Look]]


def stream(path: str) -> Callable[[Dependency], Dependency]:
    """Add a route that sends an event whenever what the decorated dependency looks at changes."""

    def add(look_of: Dependency) -> Dependency:
        @router.get(path, response_class=EventSourceResponse)
        async def changes(
            look: Annotated[Look, Depends(look_of)], request: Request
        ) -> AsyncIterator[ServerSentEvent]:
            async for event in while_let_in(request, _changes(look)):
                yield event

        return look_of

    return add


@stream("/studies/{study_id}")
async def of_study(study_id: StudyId, session: Reading, service: Service) -> Look:
    return partial(standing_of, service, "studies", (await studies.get(session, study_id)).id)


@stream("/experiments/{experiment_id}")
async def of_experiment(experiment_id: ExperimentId, session: Reading, service: Service) -> Look:
    experiment = await experiments.get(session, experiment_id)
    return partial(standing_of, service, "experiments", experiment.id)


@stream("/runs/{run_id}")
async def of_run(run_id: RunId, session: Reading, service: Service) -> Look:
    return partial(standing_of, service, "runs", (await runs.get(session, run_id)).id)


@stream("/studies")
async def of_studies(filter: StudyFilter, service: Service) -> Look:
    return partial(standing_of_list, service, "studies", filter)


@stream("/experiments")
async def of_experiments(filter: RunFilter, service: Service) -> Look:
    return partial(standing_of_list, service, "experiments", filter)


@stream("/runs")
async def of_runs(filter: RunFilter, service: Service) -> Look:
    return partial(standing_of_list, service, "runs", filter)


@stream("/agents")
async def of_agents(service: Service) -> Look:
    return partial(standing_of_list, service, "agents", NO_FILTER)


async def _changes(look: Look) -> AsyncIterator[ServerSentEvent]:
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
