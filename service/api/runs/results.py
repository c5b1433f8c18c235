"""/runs/{run_id}/diagnostics and /figures: what was measured, as tables and pictures."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import APIRouter, Path
from fastapi.responses import FileResponse

from polar.records.events import DIAGNOSTICS_FILE
from service.api import links
from service.api.dependencies import Service, Session
from service.api.files import file_response
from service.api.problems import refusals
from service.api.runs import answers
from service.api.runs.schemas import Diagnostics, Figures
from service.api.schemas import Figure
from service.storage import runs
from service.storage.artifacts import artifact_of, artifacts_of
from service.storage.evaluations import evaluations_of

router = APIRouter(prefix="/runs/{run_id}", tags=["results"], responses=refusals(404, 422, 503))

FIGURES = "figures/"
#: Suffix of pictures; the numbers that a picture shows are in a file with another suffix.
PICTURE = ".png"


@router.get("/diagnostics", response_model=Diagnostics)
async def get_diagnostics(
    run_id: UUID, session: Session, service: Service, format: Literal["json", "parquet"] = "json"
) -> Diagnostics | FileResponse:
    """Show all evaluations so far with the measures of every latent; at the end also Parquet."""
    run = await runs.get(session, run_id)
    if format == "parquet":
        artifact = await artifact_of(session, run.id, DIAGNOSTICS_FILE)
        return file_response(service.settings.artifacts, artifact.path)
    return answers.diagnostics(run, await evaluations_of(session, run.id))


@router.get("/figures")
async def list_figures(run_id: UUID, session: Session) -> Figures:
    """List the pictures of a run that has ended."""
    run = await runs.get(session, run_id)
    files = [file.name for file in await artifacts_of(session, run.id)]
    pictures = [name for name in files if name.startswith(FIGURES) and name.endswith(PICTURE)]
    names = [name.removeprefix(FIGURES) for name in pictures]
    figures = [Figure(name=name, url=links.to_figure(run.id, name)) for name in names]
    return Figures(run_id=run.id, figures=figures)


@router.get("/figures/{name}", response_class=FileResponse)
async def get_figure(
    run_id: UUID,
    # The name is looked up among the files that the run's worker recorded, and never on the disk.
    name: Annotated[str, Path(pattern=r"^[\w.-]+$", max_length=200)],
    session: Session,
    service: Service,
) -> FileResponse:
    """Send a picture as PNG."""
    artifact = await artifact_of(session, run_id, FIGURES + name)
    return file_response(service.settings.artifacts, artifact.path)
