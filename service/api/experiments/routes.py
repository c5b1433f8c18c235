"""/experiments: submit, list, look at, describe, follow, extend, cancel, delete."""

from collections.abc import AsyncIterator
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent

from service.api import submission
from service.api.dependencies import TAKES_SPEC, Reading, Service, Session, only_json
from service.api.door import needs, while_let_in
from service.api.event_stream import follow
from service.api.experiments import answers
from service.api.experiments.schemas import (
    ExperimentPage,
    ExperimentView,
    MoreSteps,
    NewExperiment,
    Plan,
)
from service.api.filtering import RunsWanted
from service.api.ids import DeletedExperiment, ExperimentId
from service.api.once import ONCE, Remembering
from service.api.paging import PageSize, Position, cut
from service.api.problems import refusals
from service.api.schemas import DeletionView, NewDescription
from service.storage import deletions, experiments, forms
from service.storage.descriptions import describe
from service.storage.tables import Experiment
from service.tokens import Scope

router = APIRouter(
    prefix="/experiments", tags=["experiments"], responses=refusals(503), route_class=Remembering
)


@router.post(
    "",
    status_code=202,
    dependencies=[*TAKES_SPEC, ONCE, needs(Scope.SUBMIT)],
    responses=refusals(400, 413, 415, 422),
)
async def submit(
    new: NewExperiment,
    session: Session,
    service: Service,
    response: Response,
    force: Annotated[bool, Query(description="Train all runs anew and share none.")] = False,
) -> ExperimentView:
    """Accept an experiment; runs that exist already are shared, the others are queued."""
    submitted = await submission.submit(
        session, service.queue, new.spec, force=force, said=new.said
    )
    return await answers.accepted(session, service.settings, response, submitted)


@router.post(
    "/validate",
    dependencies=[*TAKES_SPEC, needs(Scope.READ)],
    responses=refusals(400, 413, 415, 422),
)
async def validate(new: NewExperiment, session: Session) -> Plan:
    """Preview an experiment: its spec with all defaults, and the runs that exist already."""
    digest = await submission.dataset_digest(session, new.spec)
    return await answers.plan(session, new.spec, digest)


@router.get("", responses=refusals(422))
async def list_experiments(
    session: Reading, position: Position, wanted: RunsWanted, page_size: PageSize = 50
) -> ExperimentPage:
    """List experiments, newest first, a page at a time; filters that are given all hold."""
    rows = await experiments.page(session, size=page_size + 1, after=position, wanted=wanted)
    return await answers.experiment_page(session, *cut(rows, page_size))


@router.get("/{experiment_id}", responses=refusals(404, 409, 422))
async def get_experiment(
    experiment_id: ExperimentId, session: Reading, service: Service
) -> ExperimentView:
    """Show an experiment with the progress and the verdict of each run."""
    experiment = await experiments.get(session, experiment_id)
    return await answers.experiment_view(session, service.settings, experiment)


@router.patch(
    "/{experiment_id}",
    dependencies=[Depends(only_json), needs(Scope.SUBMIT)],
    responses=refusals(400, 404, 409, 413, 415, 422),
)
async def describe_experiment(
    experiment_id: ExperimentId, new: NewDescription, session: Session, service: Service
) -> ExperimentView:
    """Name, tag or annotate an experiment; what is left out stays as it is."""
    experiment = await describe(session, Experiment, experiment_id, **new.changes())
    return await answers.experiment_view(session, service.settings, experiment)


@router.post(
    "/{experiment_id}/cancel",
    dependencies=[ONCE, needs(Scope.STEER)],
    responses=refusals(404, 409, 422),
)
async def cancel_experiment(
    experiment_id: ExperimentId, session: Session, service: Service
) -> ExperimentView:
    """Cancel an experiment, and those of its runs that no other experiment wants."""
    experiment = await submission.cancel(session, experiment_id)
    return await answers.experiment_view(session, service.settings, experiment)


@router.delete(
    "/{experiment_id}", dependencies=[needs(Scope.ADMIN)], responses=refusals(404, 409, 422)
)
async def delete_experiment(experiment_id: DeletedExperiment, session: Session) -> DeletionView:
    """Delete an experiment, and those of its runs that no other experiment has, for good."""
    return DeletionView.model_validate(await deletions.delete_experiment(session, experiment_id))


@router.post(
    "/{experiment_id}/extend",
    status_code=202,
    dependencies=[Depends(only_json), ONCE, needs(Scope.SUBMIT)],
    responses=refusals(400, 404, 409, 413, 415, 422),
)
async def extend_experiment(
    experiment_id: ExperimentId,
    more: MoreSteps,
    session: Session,
    service: Service,
    response: Response,
) -> ExperimentView:
    """Accept an experiment whose runs go on from the finished runs of this one to more steps."""
    experiment = await experiments.get(session, experiment_id)
    finished = await experiments.runs_of(session, experiment.id)
    spec = submission.going_on(forms.experiment_spec(experiment.spec), finished, more.steps)
    spec = spec.model_copy(update={"name": experiment.name})  # it may have been renamed
    submitted = await submission.submit(session, service.queue, spec, force=False)
    return await answers.accepted(session, service.settings, response, submitted)


async def ids_of_runs(experiment_id: ExperimentId, session: Reading) -> list[UUID]:
    experiment = await experiments.get(session, experiment_id)
    return [run.id for run in await experiments.runs_of(session, experiment.id)]


@router.get(
    "/{experiment_id}/events",
    response_class=EventSourceResponse,
    responses=refusals(404, 409, 422),
)
async def experiment_events(
    run_ids: Annotated[list[UUID], Depends(ids_of_runs)], request: Request, service: Service
) -> AsyncIterator[ServerSentEvent]:
    """Stream the events of all runs of an experiment until the last run has ended.

    A watcher that reconnects is first sent the current state of each run again.
    """
    async for event in while_let_in(request, follow(service.looks, run_ids)):
        yield event
