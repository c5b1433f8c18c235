"""/runs/{run_id}/diagnostics, /findings, /figures, /log and /model: what a run has made."""

import asyncio
from pathlib import PurePath
from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import FileResponse, PlainTextResponse
from sqlalchemy.ext.asyncio import AsyncSession

from polar.records.events import DIAGNOSTICS_FILE, MODEL_FILE
from service.api import links
from service.api.dependencies import Reading, Service, Session
from service.api.door import needs
from service.api.files import file_response
from service.api.ids import RunId
from service.api.once import ONCE, Remembering
from service.api.pictures import REDRAWN, redrawn
from service.api.problems import Refused, refusals, refused
from service.api.runs import answers
from service.api.runs.log import MOST_LINES, last_lines, read_on
from service.api.runs.schemas import Diagnostics, Figures, FindingsView
from service.api.schemas import Figure
from service.storage import findings, runs
from service.storage.artifacts import artifact_of, artifacts_of
from service.storage.errors import NotFound
from service.storage.evaluations import evaluations_of
from service.storage.states import FindingsState, RunState
from service.storage.tables import Artifact, FindingsRow
from service.tokens import Scope

router = APIRouter(
    prefix="/runs/{run_id}",
    tags=["results"],
    responses=refusals(404, 409, 422, 503),
    route_class=Remembering,
)

FIGURES = "figures/"
#: Suffix of pictures; the numbers that a picture shows are in a file with another suffix.
PICTURE = ".png"
#: Seconds after which a client may ask again for a figure that is still to come.
RETRY_S = 5


@router.get(
    "/diagnostics",
    response_model=Diagnostics,
    responses={200: {"content": {"text/csv": {}, "application/vnd.apache.parquet": {}}}},
)
async def get_diagnostics(
    run_id: RunId,
    session: Reading,
    service: Service,
    format: Literal["json", "csv", "parquet"] = "json",
) -> Diagnostics | Response:
    """Show all evaluations so far with the measures of every latent; at the end also Parquet.

    CSV has a row for each latent at each evaluation, without the verdicts.
    """
    run = await runs.get(session, run_id)
    if format == "parquet":
        artifact = await artifact_of(session, run.id, DIAGNOSTICS_FILE)
        return file_response(service.settings.artifacts, artifact.path)
    found = answers.diagnostics(run, await evaluations_of(session, run.id))
    if format == "csv":
        return Response(await asyncio.to_thread(answers.latents_csv, found), media_type="text/csv")
    return found


@router.get("/figures")
async def list_figures(run_id: RunId, session: Reading) -> Figures:
    """List the pictures of a run that has ended, and say whether more are to come."""
    run = await runs.get(session, run_id)
    files = [file.name for file in await artifacts_of(session, run.id)]
    pictures = [name for name in files if name.startswith(FIGURES) and name.endswith(PICTURE)]
    names = [name.removeprefix(FIGURES) for name in pictures]
    figures = [Figure(name=name, url=links.to_figure(run.id, name)) for name in names]
    of_findings = await answers.findings_view(session, run.id)
    return Figures(run_id=run.id, figures=figures, findings=of_findings)


@router.get("/figures/{name}", response_class=FileResponse, responses=refusals(500))
async def get_figure(
    request: Request,
    run_id: RunId,
    # The name is looked up among the files that the run's worker recorded, and never on the disk.
    name: Annotated[str, Path(pattern=r"^[\w.-]+$", max_length=200)],
    service: Service,
) -> Response:
    """Send a picture as PNG; one that is still to come is asked for, and comes before others.

    A picture `NAME.png` is also there as `NAME.svg` and `NAME.pdf`, drawn once more for this
    request from the tables of the run.
    """
    kind = REDRAWN.get(PurePath(name).suffix)
    stored = f"{PurePath(name).stem}{PICTURE}" if kind else name
    async with service.database.transaction() as session:  # it ends before anything is drawn
        found = await _picture(request, session, run_id, stored)
    if isinstance(found, Response):
        return found
    if kind is None:
        return file_response(service.settings.artifacts, found.path)
    path, there = service.settings.artifacts / found.path, links.to_figure(run_id, stored)
    return await redrawn(request, service.drawing, path, kind, there)


@router.get("/model", response_class=FileResponse)
async def get_model(run_id: RunId, session: Reading, service: Service) -> FileResponse:
    """Send the trained model of a run as a file of safetensors, which `polar.load` loads."""
    run = await runs.get(session, run_id)
    try:
        artifact = await artifact_of(session, run.id, MODEL_FILE)
    except NotFound:
        days = service.settings.keep_weights_days
        if days is None or run.state is not RunState.SUCCEEDED:
            raise
        detail = (
            f"run {run.id} has no model here: weights are removed {days:g} days after the end of "
            "a run (POLAR_KEEP_WEIGHTS_DAYS); MLflow keeps its copy"
        )
        raise Refused(404, "weights-removed", detail) from None
    return file_response(service.settings.artifacts, artifact.path)


@router.get("/log", response_class=PlainTextResponse)
async def get_log(
    run_id: RunId,
    service: Service,
    tail: Annotated[int, Query(ge=1, le=MOST_LINES, description="How many lines at most.")] = 200,
    attempt: Annotated[
        int | None, Query(ge=1, lt=2**31, description="Number of the attempt.")
    ] = None,
    after: Annotated[
        int | None,
        Query(
            ge=0,
            lt=2**63,
            description="The header Log-End of an earlier answer, which this one goes on from.",
        ),
    ] = None,
) -> PlainTextResponse:
    """Send the last lines of what an attempt at a run, by default the newest, has logged."""
    async with service.database.reading() as session:  # it ends before the file is read
        run = await runs.get(session, run_id)
    part = await asyncio.to_thread(read_on, service.settings.artifacts, run, after, attempt)
    text = last_lines(part.text, tail) if after is None else part.text
    headers = {"Log-Attempt": str(part.attempt), "Log-End": str(part.end)}
    return PlainTextResponse(text, headers=headers)


@router.post("/findings", status_code=202, dependencies=[ONCE, needs(Scope.SUBMIT)])
async def ask_for_findings(run_id: RunId, session: Session) -> FindingsView:
    """Have the findings of a run made before others; those that failed are tried again."""
    return FindingsView.model_validate(await findings.ask(session, run_id))


async def _picture(
    request: Request, session: AsyncSession, run_id: UUID, name: str
) -> Artifact | Response:
    """The file of a picture, or the refusal of one that failed or is to come."""
    run = await runs.get(session, run_id)
    try:
        return await artifact_of(session, run.id, FIGURES + name)
    except NotFound:
        if not name.endswith(PICTURE):  # such as what browsers ask for by themselves
            raise
        row = await findings.of_run(session, run_id)
        if row is not None and row.state is FindingsState.TO_COME:
            row = await findings.ask(session, run_id)
        if row is not None and row.state is not FindingsState.MADE:
            return _refusal(request, row)
        return await artifact_of(session, run_id, FIGURES + name)  # made in the meantime


def _refusal(request: Request, row: FindingsRow) -> Response:
    """The refusal of a figure that failed or is to come.

    It is an answer, because an exception would undo the request for the findings.
    """
    if row.state is FindingsState.FAILED:
        again = links.to_findings(row.run_id)
        why = f"they could not be made: {row.message}; POST {again} tries again"
        return refused(request, Refused(404, "findings-failed", f"this run has no figures: {why}"))
    why = f"; the last attempt was lost: {row.message}" if row.message else ""
    detail = f"the figures of this run are still to come, and have been asked for now{why}"
    answer = refused(request, Refused(404, "findings-to-come", detail))
    answer.headers["Retry-After"] = str(RETRY_S)
    return answer
