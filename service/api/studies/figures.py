"""/studies/{id}/figures: pictures of a study, drawn on request by another process."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Path, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from polar.errors import InvalidInput
from polar.records.phases import LossEnvelope, Phases, StudyFigure
from polar.records.pictures import PictureKind
from polar.records.record import Record
from service.api.dependencies import Parts, Service, unless_gone
from service.api.door import Door
from service.api.ids import StudyId
from service.api.pictures import MEDIA_TYPES, drawn
from service.api.problems import Refused, refusals
from service.api.stored import Reader
from service.api.studies.models import envelope_of, read_solutions
from service.programs import Program, python
from service.storage import studies
from service.storage.phases import FIGURES, Gather, completed_of
from service.storage.study_tables import Study

router = APIRouter(
    route_class=Door,
    prefix="/studies/{study_id}/figures",
    tags=["studies"],
    responses=refusals(404, 409, 422, 503),
)


def figure_named(
    name: Annotated[str, Path(json_schema_extra={"enum": list(StudyFigure)})],
) -> StudyFigure:
    """The figure of this name; another name is an address at which there is nothing.

    Raises:
        Refused: no figure has this name.
    """
    try:
        return StudyFigure(name)
    except ValueError:
        detail = f"the figure {name} of a study is not known; allowed: {', '.join(StudyFigure)}"
        raise Refused(404, "not-found", detail) from None


@router.get("/{name}.{kind}", response_class=Response, responses=refusals(500))
async def get_figure(
    study_id: StudyId,
    figure: Annotated[StudyFigure, Depends(figure_named)],
    kind: PictureKind,
    request: Request,
    service: Service,
) -> Response:
    """Draw a figure of a study along its weight.

    - `phase_diagram`: verdict, active latents, P and R of trainings from scratch, and the range.
    - `hysteresis`: active latents and R of trainings from scratch and from inside the band.
    - `weight_by_steps`: the verdict of trainings at all their evaluations, and the edges at every
      budget.
    - `loss_envelope`: the loss of all known models of the study's problem, and the least of all.
    """
    content = await _content(study_id, figure, service)
    stdin = content.model_dump_json().encode()
    drawing = drawn(service.drawing, _command(figure, kind), stdin)
    return Response(await unless_gone(request, drawing), media_type=MEDIA_TYPES[kind])


async def _content(study_id: UUID, figure: StudyFigure, service: Parts) -> Record:
    gather = partial(_phases, FIGURES[figure]) if figure in FIGURES else _envelope
    try:
        async with service.database.reading() as session:  # it ends before they are drawn
            compute = await gather(session, await studies.get(session, study_id))
        return await asyncio.to_thread(compute)
    except InvalidInput as error:
        detail = f"study {study_id} has no {figure.replace('_', ' ')}: {error}"
        raise Refused(404, "not-found", detail) from None


async def _phases(gather: Gather, session: AsyncSession, study: Study) -> Callable[[], Phases]:
    trials = await studies.trials_of(session, study.id)
    spec = studies.spec_of(study)
    completed = completed_of(trials)
    found = Reader().readable("range", study.range)
    return lambda: gather(spec, found, completed)


async def _envelope(session: AsyncSession, study: Study) -> Callable[[], LossEnvelope]:
    solutions = await read_solutions(session, study)
    found = Reader().readable("range", study.range)
    return lambda: envelope_of(solutions.spec, found, solutions.page())


def _command(figure: StudyFigure, kind: PictureKind) -> list[str]:
    return python(Program.STUDY_FIGURES, figure, kind)
