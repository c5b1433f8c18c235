"""/measurements: measure uploaded codes of any model, and read the report."""

from pathlib import Path, PurePath
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends, Form, Request, Response, UploadFile
from fastapi import Path as PathParameter
from fastapi.responses import FileResponse
from pydantic import ValidationError

from polar.records.measurement import MEASUREMENT_FILE, Measurement
from polar.spec.training import DEFAULT_RENYI_ALPHA, DEFAULT_SIGMA, DEFAULT_TAU_STD, Ruler
from service.api import links
from service.api.dependencies import Service, only_forms, unless_gone
from service.api.door import needs
from service.api.files import file_response
from service.api.ids import Digits, in_path
from service.api.measurements.schemas import MeasurementView
from service.api.measuring import FOLDER
from service.api.once import Remembering, once_computed
from service.api.pictures import REDRAWN, redrawn
from service.api.problems import refusals
from service.api.schemas import Figure
from service.ids import is_whole
from service.storage.errors import EarlierVersion, NotFound
from service.storage.ids import only_one
from service.tokens import Scope

router = APIRouter(prefix="/measurements", tags=["measurements"], route_class=Remembering)


@router.post(
    "",
    status_code=201,
    dependencies=[Depends(only_forms), needs(Scope.SUBMIT), Depends(once_computed)],
    responses=refusals(400, 413, 415, 422, 500, 503),
)
async def measure(
    request: Request,
    service: Service,
    response: Response,
    mean: UploadFile,
    variance: UploadFile | None = None,
    labels: UploadFile | None = None,
    usage: UploadFile | None = None,
    prior_mean: UploadFile | None = None,
    prior_variance: UploadFile | None = None,
    ruler: Annotated[
        Ruler,
        Form(
            description="`scaled` divides the codes by the scale of the prior, or without a prior "
            "by the largest std of a latent; `absolute` takes them as they are."
        ),
    ] = "scaled",
    sigma: Annotated[float, Form(description="Kernel width, in units of the ruler.")] = (
        DEFAULT_SIGMA
    ),
    renyi_alpha: Annotated[float, Form(description="Order of the entropy.")] = DEFAULT_RENYI_ALPHA,
    tau_std: Annotated[
        float,
        Form(description="Active is what has more entropy than a Gaussian of this std."),
    ] = DEFAULT_TAU_STD,
) -> MeasurementView:
    """Measure codes as `polar measure` does, with its options; each file is an `.npy` file."""
    uploads = {
        "mean": mean,
        "variance": variance,
        "labels": labels,
        "usage": usage,
        "prior_mean": prior_mean,
        "prior_variance": prior_variance,
    }
    files = {name: upload for name, upload in uploads.items() if upload is not None}
    options = {
        "ruler": ruler,
        "sigma": sigma,
        "renyi_alpha": renyi_alpha,
        "tau_std": tau_std,
    }
    id = await unless_gone(request, service.measuring.measure(files, options))
    response.headers["Location"] = links.to_measurement(id)
    return _view(service.settings.artifacts, id)


def _id_of(id: Annotated[Digits, in_path("measurement_id")], service: Service) -> UUID:
    if is_whole(id):
        return UUID(id)
    return only_one("measurement", id, service.measuring.ids_that_begin(id))


MeasurementId = Annotated[UUID, Depends(_id_of)]


@router.get("/{measurement_id}", responses=refusals(404, 409, 422))
def get_measurement(measurement_id: MeasurementId, service: Service) -> MeasurementView:
    """Show the report of a measurement, and its figures."""
    return _view(service.settings.artifacts, measurement_id)


@router.get(
    "/{measurement_id}/figures/{name}",
    response_class=FileResponse,
    responses=refusals(404, 409, 422, 500, 503),
)
async def get_figure(
    request: Request,
    measurement_id: MeasurementId,
    # Without a slash the name cannot leave the folder; `.` and `..` are not files.
    name: Annotated[str, PathParameter(pattern=r"^[\w.-]+$", max_length=200)],
    service: Service,
) -> Response:
    """Send a figure as PNG, or the numbers that it shows.

    A figure `NAME.png` is also there as `NAME.svg` and `NAME.pdf`, drawn once more for this
    request, but for those of the codes and their usage, which no table keeps.
    """
    kind = REDRAWN.get(PurePath(name).suffix)
    stored = f"{PurePath(name).stem}.png" if kind else name
    sent = file_response(service.settings.artifacts, f"{FOLDER}/{measurement_id}/figures/{stored}")
    if kind is None:
        return sent
    there = links.to_measured_figure(measurement_id, stored)
    return await redrawn(request, service.drawing, Path(sent.path), kind, there)


def _view(artifacts: Path, id: UUID) -> MeasurementView:
    folder = artifacts / FOLDER / str(id)
    try:
        report = Measurement.model_validate_json((folder / MEASUREMENT_FILE).read_bytes())
    except FileNotFoundError:
        raise NotFound("measurement", id) from None
    except ValidationError:
        raise EarlierVersion(
            f"measurement {id} is of an earlier version, whose report this one cannot read; "
            "measure the codes again"
        ) from None
    names = sorted(path.name for path in (folder / "figures").iterdir())
    return MeasurementView(
        id=id,
        report=report,
        figures=[Figure(name=name, url=links.to_measured_figure(id, name)) for name in names],
        links={"self": links.to_measurement(id)},
    )
