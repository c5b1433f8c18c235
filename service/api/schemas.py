"""What all answers of the API share. Its clients read these same models."""

from pydantic import BaseModel, ConfigDict

from polar.spec.faults import Fault

#: Relation -> address: paths of this API, and whole URLs of MLflow and of optuna-dashboard; none
#: as long as MLflow knows nothing of the run.
Links = dict[str, str | None]


class ResponseModel(BaseModel):
    """Base of all answers: frozen, read from rows."""

    model_config = ConfigDict(frozen=True, from_attributes=True)


class Problem(ResponseModel):
    """Why a request was refused (RFC 9457), with all faults of a spec at once."""

    #: `urn:polar:problem:` and a stable word, such as `invalid-spec`.
    type: str
    title: str
    status: int
    detail: str
    instance: str
    #: Finds this refusal in the log of the service.
    request_id: str
    errors: list[Fault]


class Figure(ResponseModel):
    name: str
    url: str
