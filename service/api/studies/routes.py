"""/studies: submit, list, look at, describe, follow, steer, export, delete."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent

from polar.errors import InvalidInput
from polar.records.ranges import StudyRange
from service.api import links, submission
from service.api.dependencies import TAKES_SPEC, Reading, Service, Session, only_json
from service.api.door import needs, while_let_in
from service.api.filtering import StudiesWanted
from service.api.ids import DeletedStudy, StudyId
from service.api.once import ONCE, Remembering
from service.api.paging import ModelPlace, PageSize, Position, cut
from service.api.problems import Refused, refusals
from service.api.schemas import DeletionView, NewDescription
from service.api.studies import answers, events, export
from service.api.studies.models import read_solutions
from service.api.studies.schemas import (
    Extension,
    Front,
    NewStudy,
    StudyModels,
    StudyPage,
    StudyPlan,
    StudyView,
    TrialPage,
)
from service.storage import deletions, studies, study_extensions
from service.storage.descriptions import describe
from service.storage.study_tables import Study
from service.tokens import Scope

router = APIRouter(
    prefix="/studies", tags=["studies"], responses=refusals(503), route_class=Remembering
)


@router.post(
    "",
    status_code=202,
    dependencies=[*TAKES_SPEC, ONCE, needs(Scope.SUBMIT)],
    responses=refusals(400, 413, 415, 422),
)
async def submit_study(
    new: NewStudy, session: Session, service: Service, response: Response
) -> StudyView:
    """Accept a study; its first trials begin within seconds."""
    study = await submission.submit_study(session, new.spec, new.said)
    response.headers["Location"] = links.to_study(study.id)
    return await answers.study_view(session, service.settings, study)


@router.post(
    "/validate",
    dependencies=[*TAKES_SPEC, needs(Scope.READ)],
    responses=refusals(400, 413, 415, 422),
)
async def validate_study(new: NewStudy, session: Session) -> StudyPlan:
    """Preview a study: its spec with all defaults, its trials and runs, and how long they take."""
    digest = await submission.dataset_digest_of_study(session, new.spec)
    return await answers.study_plan(session, new.spec, digest)


@router.get("", responses=refusals(422))
async def list_studies(
    session: Reading, position: Position, wanted: StudiesWanted, page_size: PageSize = 50
) -> StudyPage:
    """List studies, newest first, a page at a time; filters that are given all hold."""
    rows = await studies.page(session, size=page_size + 1, after=position, wanted=wanted)
    return await answers.study_page(session, *cut(rows, page_size))


@router.get("/{study_id}", responses=refusals(404, 409, 422))
async def get_study(study_id: StudyId, session: Reading, service: Service) -> StudyView:
    """Show a study: its state and its best trial."""
    study = await studies.get(session, study_id)
    return await answers.study_view(session, service.settings, study)


@router.patch(
    "/{study_id}",
    dependencies=[Depends(only_json), needs(Scope.SUBMIT)],
    responses=refusals(400, 404, 409, 413, 415, 422),
)
async def describe_study(
    study_id: StudyId, new: NewDescription, session: Session, service: Service
) -> StudyView:
    """Name, tag or annotate a study; what is left out stays as it is."""
    study = await describe(session, Study, study_id, **new.changes())
    return await answers.study_view(session, service.settings, study)


async def existing(study_id: StudyId, session: Reading) -> UUID:
    return (await studies.get(session, study_id)).id


@router.get(
    "/{study_id}/events", response_class=EventSourceResponse, responses=refusals(404, 409, 422)
)
async def study_events(
    study_id: Annotated[UUID, Depends(existing)], request: Request, service: Service
) -> AsyncIterator[ServerSentEvent]:
    """Stream the study as `GET /studies/{study_id}` shows it, now and after every change.

    Each event is named `study`. The last event shows how the study has ended.
    """
    async for event in while_let_in(request, events.follow(service, study_id)):
        yield event


@router.get("/{study_id}/trials", responses=refusals(404, 409, 422))
async def list_trials(
    study_id: StudyId,
    session: Reading,
    page_token: Annotated[int | None, Query(ge=0, lt=2**31)] = None,
    page_size: PageSize = 50,
) -> TrialPage:
    """List the trials of a study by number, a page at a time."""
    study = await studies.get(session, study_id)
    trials = await studies.page_of_trials(session, study.id, size=page_size + 1, after=page_token)
    return answers.trial_page(trials, page_size)


@router.get(
    "/{study_id}/trials.{kind}", response_class=Response, responses=refusals(404, 409, 422)
)
async def export_trials(study_id: StudyId, kind: export.Kind, session: Reading) -> Response:
    """Send all trials in one file, for a spreadsheet (csv) or a program (parquet)."""
    study = await studies.get(session, study_id)
    spec = studies.spec_of(study)
    table = export.table_of(spec, await studies.trials_of(session, study_id))
    content = await asyncio.to_thread(export.written, kind, table)
    return Response(content, media_type=export.KINDS[kind])


@router.get("/{study_id}/pareto", responses=refusals(404, 409, 422))
async def get_front(study_id: StudyId, session: Reading) -> Front:
    """List the trials that no other trial dominates; with one objective, the best trial."""
    return await answers.front(session, await studies.get(session, study_id))


@router.get("/{study_id}/range", responses=refusals(404, 409, 422))
async def get_range(study_id: StudyId, session: Reading) -> StudyRange:
    """Show where the latent space is clean or polarised, as far as the study has found out."""
    return answers.study_range(await studies.get(session, study_id))


@router.get("/{study_id}/models", responses=refusals(404, 409, 422))
async def list_models(
    study_id: StudyId, service: Service, place: ModelPlace, page_size: PageSize = 50
) -> StudyModels:
    """List all known models of the study's problem by weight: what each pays, and what beats it.

    Each model is compared with all that are known, on whatever page they are.
    """
    try:
        async with service.database.reading() as session:  # it ends before they are compared
            solutions = await read_solutions(session, await studies.get(session, study_id))
    except InvalidInput as error:
        detail = f"study {study_id} has no models to compare: {error}"
        raise Refused(404, "not-found", detail) from None
    return await asyncio.to_thread(solutions.page, page_size, place)


@router.post(
    "/{study_id}/pause", dependencies=[ONCE, needs(Scope.STEER)], responses=refusals(404, 409, 422)
)
async def pause_study(study_id: StudyId, session: Session, service: Service) -> StudyView:
    """Pause a study: it begins no new trials, and trials in flight go on."""
    study = await studies.pause(session, study_id)
    return await answers.study_view(session, service.settings, study)


@router.post(
    "/{study_id}/resume",
    dependencies=[ONCE, needs(Scope.STEER)],
    responses=refusals(404, 409, 422),
)
async def resume_study(study_id: StudyId, session: Session, service: Service) -> StudyView:
    """Resume a paused study."""
    study = await studies.resume(session, study_id)
    return await answers.study_view(session, service.settings, study)


@router.post(
    "/{study_id}/cancel",
    dependencies=[ONCE, needs(Scope.STEER)],
    responses=refusals(404, 409, 422),
)
async def cancel_study(study_id: StudyId, session: Session, service: Service) -> StudyView:
    """Cancel a study, and those runs of its trials in flight that nobody else wants."""
    study = await submission.cancel_study(session, study_id)
    return await answers.study_view(session, service.settings, study)


@router.delete("/{study_id}", dependencies=[needs(Scope.ADMIN)], responses=refusals(404, 409, 422))
async def delete_study(study_id: DeletedStudy, session: Session) -> DeletionView:
    """Delete a study, its trials, and those of their runs that nobody else has, for good."""
    return DeletionView.model_validate(await deletions.delete_study(session, study_id))


@router.post(
    "/{study_id}/extend",
    dependencies=[Depends(only_json), ONCE, needs(Scope.STEER)],
    responses=refusals(400, 404, 409, 413, 415, 422),
)
async def extend_study(
    study_id: StudyId, extension: Extension, session: Session, service: Service
) -> StudyView:
    """Add trials, steps, seeds or longer trainings, even after the end; no run is repeated."""
    study = await study_extensions.extend(session, study_id, **extension.model_dump())
    return await answers.study_view(session, service.settings, study)


@router.post(
    "/{study_id}/retry-failed",
    dependencies=[ONCE, needs(Scope.STEER)],
    responses=refusals(404, 409, 422),
)
async def retry_failed_trials(study_id: StudyId, session: Session, service: Service) -> StudyView:
    """Try the points of failed trials again; nothing else is repeated."""
    study = await study_extensions.retry_failed(session, study_id)
    return await answers.study_view(session, service.settings, study)
