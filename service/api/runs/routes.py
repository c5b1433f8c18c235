"""/runs: list, look at, describe, follow, extend, cancel, delete."""

from collections.abc import AsyncIterator
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Header, Request, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent

from service.api import submission
from service.api.dependencies import Reading, Service, Session, only_json
from service.api.door import needs, while_let_in
from service.api.event_stream import follow
from service.api.experiments import answers as experiments
from service.api.experiments.schemas import ExperimentView, MoreSteps
from service.api.filtering import RunsWanted
from service.api.ids import DeletedRun, RunId
from service.api.once import ONCE, Remembering
from service.api.paging import PageSize, Position, cut
from service.api.problems import refusals
from service.api.runs import answers
from service.api.runs.schemas import RunPage, RunView
from service.api.schemas import DeletionView, NewDescription
from service.storage import deletions, forms, runs, showing
from service.storage.descriptions import describe
from service.storage.tables import Run
from service.tokens import Scope

router = APIRouter(
    prefix="/runs", tags=["runs"], responses=refusals(404, 409, 422, 503), route_class=Remembering
)


@router.get("")
async def list_runs(
    session: Reading, position: Position, wanted: RunsWanted, page_size: PageSize = 50
) -> RunPage:
    """List runs, newest first, a page at a time; filters that are given all hold."""
    rows = await showing.page_of_runs(session, size=page_size + 1, after=position, wanted=wanted)
    return answers.run_page(*cut(rows, page_size))


@router.get("/{run_id}")
async def get_run(run_id: RunId, session: Reading, service: Service) -> RunView:
    """Show a run: its state, its history, and its result in numbers and words."""
    run = await runs.get(session, run_id)
    return await answers.run_view(session, service.settings, run)


@router.patch(
    "/{run_id}",
    dependencies=[Depends(only_json), needs(Scope.SUBMIT)],
    responses=refusals(400, 409, 413, 415),
)
async def describe_run(
    run_id: RunId, new: NewDescription, session: Session, service: Service
) -> RunView:
    """Name, tag or annotate a run, whoever else has it; what is left out stays as it is."""
    run = await describe(session, Run, run_id, **new.changes())
    return await answers.run_view(session, service.settings, run)


@router.post("/{run_id}/cancel", dependencies=[ONCE, needs(Scope.STEER)])
async def cancel_run(run_id: RunId, session: Session, service: Service) -> RunView:
    """Cancel a run even if several experiments want it; its agent stops it within seconds."""
    run = await submission.cancel_run(session, run_id)
    return await answers.run_view(session, service.settings, run)


@router.delete("/{run_id}", dependencies=[needs(Scope.ADMIN)])
async def delete_run(run_id: DeletedRun, session: Session) -> DeletionView:
    """Delete a run that only one experiment has, and an experiment without other runs, too."""
    return DeletionView.model_validate(await deletions.delete_run(session, run_id))


@router.post(
    "/{run_id}/extend",
    status_code=202,
    dependencies=[Depends(only_json), ONCE, needs(Scope.SUBMIT)],
    responses=refusals(400, 413, 415),
)
async def extend_run(
    run_id: RunId,
    more: MoreSteps,
    session: Session,
    service: Service,
    response: Response,
) -> ExperimentView:
    """Accept an experiment whose run goes on from this finished run to more steps."""
    run = await runs.get(session, run_id)
    spec = submission.going_on(forms.experiment_spec(run.spec), [run], more.steps)
    submitted = await submission.submit(session, service.queue, spec, force=False)
    return await experiments.accepted(session, service.settings, response, submitted)


@router.post("/{run_id}/rerun", status_code=202, dependencies=[ONCE, needs(Scope.SUBMIT)])
async def rerun(
    run_id: RunId, session: Session, service: Service, response: Response
) -> ExperimentView:
    """Accept an experiment that tries a failed or cancelled run again, with its spec and seed.

    Its tag `repeats` names the run. If another run of this spec and seed is queued, running or
    has succeeded, it is shared.
    """
    run = await runs.get(session, run_id)
    submitted = await submission.repeat(session, service.queue, run)
    return await experiments.accepted(session, service.settings, response, submitted)


async def existing(run_id: RunId, session: Reading) -> UUID:
    return (await runs.get(session, run_id)).id


@router.get("/{run_id}/events", response_class=EventSourceResponse)
async def run_events(
    run_id: Annotated[UUID, Depends(existing)],
    request: Request,
    service: Service,
    last_event_id: Annotated[int | None, Header(ge=-1, lt=2**63)] = None,
) -> AsyncIterator[ServerSentEvent]:
    """Stream the state of a run, and every change of state, queue place, progress and evaluations.

    The `id` of an evaluation event is its step: a watcher that reconnects with it as
    `Last-Event-ID` misses no evaluation. The last event is the final state.
    """
    events = follow(service.looks, [run_id], last_event_id)
    async for event in while_let_in(request, events):
        yield event
