"""/studies/{id}/figures: pictures of a study, drawn on request by another process."""

import logging
from collections.abc import Callable
from typing import Literal
from uuid import UUID

from fastapi import APIRouter, Request, Response

from polar.errors import InvalidInput
from polar.records.phases import Phases
from polar.records.ranges import StudyRange
from polar.spec import StudySpec
from service.api.dependencies import Service, unless_gone
from service.api.problems import Refused, refusals
from service.api.short_processes import ShortProcesses
from service.api.stored import Reader
from service.api.studies.phases import Completed, hysteresis_of, phases_of
from service.programs import Program, python
from service.storage import studies
from service.storage.states import TrialState

router = APIRouter(
    prefix="/studies/{study_id}/figures", tags=["studies"], responses=refusals(404, 422, 503)
)

Kind = Literal["png", "svg", "pdf"]

KINDS: dict[Kind, str] = {"png": "image/png", "svg": "image/svg+xml", "pdf": "application/pdf"}

_log = logging.getLogger(__name__)


@router.get("/phase_diagram.{kind}", response_class=Response, responses=refusals(409, 500))
async def get_phase_diagram(
    study_id: UUID, kind: Kind, request: Request, service: Service
) -> Response:
    """Draw verdict, active latents, P and R of trainings by the swept field, and the range."""
    return await _figure(study_id, "phase_diagram", kind, phases_of, request, service)


@router.get("/hysteresis.{kind}", response_class=Response, responses=refusals(409, 500))
async def get_hysteresis(
    study_id: UUID, kind: Kind, request: Request, service: Service
) -> Response:
    """Draw active latents and R of trainings from scratch and from inside the band, by weight."""
    return await _figure(study_id, "hysteresis", kind, hysteresis_of, request, service)


async def _figure(
    study_id: UUID,
    name: str,
    kind: Kind,
    gather: Callable[[StudySpec, StudyRange | None, Completed], Phases],
    request: Request,
    service: Service,
) -> Response:
    async with service.database.transaction() as session:  # it ends before the drawing begins
        study = await studies.get(session, study_id)
        trials = await studies.trials_of(session, study_id, TrialState.COMPLETED)
    spec = studies.spec_of(study)
    reader = Reader()
    study_range = reader.readable("range", study.range)
    completed = [(trial.point, reader.readable("measured", trial.measured)) for trial in trials]
    try:
        phases = gather(spec, study_range, completed)
    except InvalidInput as error:
        detail = f"study {study_id} has no {name.replace('_', ' ')}: {error}"
        raise Refused(404, "not-found", detail) from None
    picture = await unless_gone(request, _drawn(service.drawing, phases, name, kind))
    return Response(picture, media_type=KINDS[kind])


async def _drawn(processes: ShortProcesses, phases: Phases, name: str, kind: Kind) -> bytes:
    content = phases.model_dump_json().encode()
    try:
        ended = await processes.run(_command(name, kind), stdin=content)
    except TimeoutError:
        detail = f"drawing took longer than {processes.limit_s:g} s and was stopped"
        raise Refused(500, "drawing-too-long", detail) from None
    if ended.code:
        _log.error("a drawing ended with code %d: %s", ended.code, ended.said.strip())
        detail = (
            f"the drawing process ended with code {ended.code}; the log of the service has its "
            "messages"
        )
        raise Refused(500, "drawing-failed", detail)
    return ended.output


def _command(name: str, kind: Kind) -> list[str]:
    return python(Program.DRAWING, name, kind)
