"""/studies/{id}/figures: pictures of a study, drawn on request by another process."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Literal
from uuid import UUID

from fastapi import APIRouter, Request, Response
from sqlalchemy.ext.asyncio import AsyncSession

from polar.errors import InvalidInput
from polar.records.phases import LossEnvelope, Phases
from polar.records.record import Record
from service.api.dependencies import Service, unless_gone
from service.api.problems import Refused, refusals
from service.api.short_processes import ShortProcesses
from service.api.stored import Reader
from service.api.studies.models import envelope_of, read_solutions
from service.api.studies.phases import (
    Gather,
    budgets_of,
    completed_of,
    hysteresis_of,
    phases_of,
)
from service.programs import Program, python
from service.storage import studies
from service.storage.study_tables import Study

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
    gather = partial(_phases, phases_of)
    return await _figure(study_id, "phase_diagram", kind, gather, request, service)


@router.get("/hysteresis.{kind}", response_class=Response, responses=refusals(409, 500))
async def get_hysteresis(
    study_id: UUID, kind: Kind, request: Request, service: Service
) -> Response:
    """Draw active latents and R of trainings from scratch and from inside the band, by weight."""
    gather = partial(_phases, hysteresis_of)
    return await _figure(study_id, "hysteresis", kind, gather, request, service)


@router.get("/weight_by_steps.{kind}", response_class=Response, responses=refusals(409, 500))
async def get_weight_by_steps(
    study_id: UUID, kind: Kind, request: Request, service: Service
) -> Response:
    """Draw the verdict of trainings at all their evaluations, and the edges at every budget."""
    gather = partial(_phases, budgets_of)
    return await _figure(study_id, "weight_by_steps", kind, gather, request, service)


@router.get("/loss_envelope.{kind}", response_class=Response, responses=refusals(409, 500))
async def get_loss_envelope(
    study_id: UUID, kind: Kind, request: Request, service: Service
) -> Response:
    """Draw the loss of all known models of the study's problem by weight, and the least of all."""
    return await _figure(study_id, "loss_envelope", kind, _envelope, request, service)


async def _phases(gather: Gather, session: AsyncSession, study: Study) -> Callable[[], Phases]:
    trials = await studies.trials_of(session, study.id)
    spec = studies.spec_of(study)
    reader = Reader()
    completed = completed_of(trials, reader)
    found = reader.readable("range", study.range)
    return lambda: gather(spec, found, completed)


async def _envelope(session: AsyncSession, study: Study) -> Callable[[], LossEnvelope]:
    solutions = await read_solutions(session, study)
    found = Reader().readable("range", study.range)
    return lambda: envelope_of(solutions.spec, found, solutions.page())


async def _figure(
    study_id: UUID,
    name: str,
    kind: Kind,
    gather: Callable[[AsyncSession, Study], Awaitable[Callable[[], Record]]],
    request: Request,
    service: Service,
) -> Response:
    try:
        async with service.database.transaction() as session:  # it only reads what is to be drawn
            compute = await gather(session, await studies.get(session, study_id))
        content = await asyncio.to_thread(compute)
    except InvalidInput as error:
        detail = f"study {study_id} has no {name.replace('_', ' ')}: {error}"
        raise Refused(404, "not-found", detail) from None
    picture = await unless_gone(request, _drawn(service.drawing, content, name, kind))
    return Response(picture, media_type=KINDS[kind])


async def _drawn(processes: ShortProcesses, content: Record, name: str, kind: Kind) -> bytes:
    stdin = content.model_dump_json().encode()
    try:
        ended = await processes.run(_command(name, kind), stdin=stdin)
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
